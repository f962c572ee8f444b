use std::path::PathBuf;
use std::time::Duration;

use tidings_http::InvalidRelayTopics;

use crate::defaults;

/// How an endpoint is relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where the endpoint is (`url`): requests below `/relay/NAME/` go below it, and nowhere else.
    pub url: String,
    /// Fields that its requests have (`headers`), and no caller sees.
    pub headers: Vec<(String, FieldSource)>,
    /// The topics of its answers (`topic`): one with `{id}` in it, `relay/NAME/{id}` where it is `None`.
    pub topic: Option<String>,
    /// What becomes of an answer that nobody reads any more (`on-leave`).
    pub on_leave: OnLeave,
    /// The methods that it takes (`methods`): `POST` where it is `None`, and `GET` where it is shared.
    pub methods: Option<Vec<String>>,
    /// Whether callers of the same URL share one answer (`share`).
    pub share: bool,
    /// How long what callers share is kept when nobody reads it any more (`share-linger`).
    pub share_linger: Duration,
    /// How long connecting may take (`connect-timeout`).
    pub connect_timeout: Duration,
    /// How long the first byte of an answer may take (`first-byte-timeout`).
    pub first_byte_timeout: Duration,
    /// How long an answer may pause (`silence-timeout`).
    pub silence_timeout: Duration,
    /// The most answers at once that are under way, read or not (`max-runs`).
    pub max_runs: usize,
    /// Whether the keys that callers show are the endpoint's own, and are passed on. It is for a hub that asks for no tokens, and
    /// for nobody but whoever is on its machine.
    pub passes_keys: bool,
}

/// What becomes of an answer when its caller and every other reader has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLeave {
    /// It goes on, and is found in its topic.
    #[default]
    Continue,
    /// The request to the endpoint is cancelled, and the topic ends as `aborted`.
    Cancel,
}

/// Where the value of a field is.
#[derive(Clone, PartialEq, Eq)]
pub enum FieldSource {
    /// Here.
    Text(String),
    /// In a file, which is looked at again every few seconds; blanks around it do not count.
    File {
        /// The file.
        file: PathBuf,
        /// What stands before it in the field, like `Bearer `.
        prefix: String,
    },
    /// In a variable of the environment.
    Variable {
        /// The name of the variable.
        name: String,
        /// What stands before it in the field, like `Bearer `.
        prefix: String,
    },
}

/// A relay cannot be set up. It says which setting is wrong.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum InvalidRelay {
    #[error("`{0}` is no name of a relay: 1 to {most} characters of a-z, 0-9, `-` and `_`", most = defaults::NAME_BYTES)]
    Name(String),
    #[error("`{0}` is there twice")]
    Twice(String),
    #[error(
        "`url`: it is no address like `https://api.example` or `https://api.example/v1`, without a user, a query or a fragment"
    )]
    Url,
    #[error("`topic`: {0}")]
    Topic(#[from] InvalidRelayTopics),
    #[error("`topic`: another relay has `{0}` as well")]
    SharedTopic(String),
    #[error("`methods`: `{0}` is no method that can be relayed")]
    Method(String),
    #[error("`share` is for `GET` alone")]
    Share,
    #[error("`headers`: `{0}` is no field that can be set")]
    Field(String),
    #[error("`headers`: the value of `{field}` cannot be used: {problem}")]
    Value { field: String, problem: String },
    #[error("`{name}`: it is from {least:?} to {most:?}")]
    Time { name: &'static str, least: Duration, most: Duration },
    #[error("`max-runs`: it is at least 1")]
    MaxRuns,
    #[error("no client for HTTPS could be set up: {0}")]
    Client(String),
}

/// One of several relays cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("the relay `{name}`: {problem}")]
pub struct InvalidRelays {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub problem: InvalidRelay,
}

// === impl RelayConfig ===

impl RelayConfig {
    /// Relays what is at this address, in every other way as it is usual.
    #[must_use]
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            topic: None,
            on_leave: OnLeave::default(),
            methods: None,
            share: false,
            share_linger: defaults::SHARE_LINGER,
            connect_timeout: defaults::CONNECT_TIMEOUT,
            first_byte_timeout: defaults::FIRST_BYTE_TIMEOUT,
            silence_timeout: defaults::SILENCE_TIMEOUT,
            max_runs: defaults::MAX_RUNS,
            passes_keys: false,
        }
    }
}

// === impl FieldSource ===

impl std::fmt::Debug for FieldSource {
    /// A value may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File { file, .. } => f.debug_struct("File").field("file", file).finish_non_exhaustive(),
            Self::Variable { name, .. } => {
                f.debug_struct("Variable").field("name", name).finish_non_exhaustive()
            }
        }
    }
}
