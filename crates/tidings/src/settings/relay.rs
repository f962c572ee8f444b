use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error as _};
use tidings_protocol::Object;

use crate::value::Span;

/// `[relay.NAME]`: an endpoint whose events are relayed. A file has all of it; `--relay NAME=URL` says where one is.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct RelaySettings {
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, FieldSetting>,
    pub(super) topic: Option<String>,
    #[serde(alias = "on_leave")]
    pub(super) on_leave: Option<OnLeaveSetting>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) share: Option<bool>,
    #[serde(alias = "share_linger")]
    pub(super) share_linger: Option<Span>,
    #[serde(alias = "connect_timeout")]
    pub(super) connect_timeout: Option<Span>,
    #[serde(alias = "first_byte_timeout")]
    pub(super) first_byte_timeout: Option<Span>,
    #[serde(alias = "silence_timeout")]
    pub(super) silence_timeout: Option<Span>,
    #[serde(alias = "max_runs")]
    pub(super) max_runs: Option<usize>,
}

/// What becomes of an answer that nobody reads any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnLeaveSetting {
    Continue,
    Cancel,
}

/// A field of the requests to an endpoint. It may be a secret, and is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum FieldSetting {
    Text(String),
    File { file: PathBuf, prefix: String },
    Variable { name: String, prefix: String },
}

/// The relays of a file, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RelayTables(pub(super) BTreeMap<String, RelaySettings>);

// === impl RelayTables ===

impl RelayTables {
    /// Those that are said here, and others.
    #[cfg(feature = "serve")]
    pub(crate) fn or(self, other: Self) -> Self {
        let mut all = other.0;
        all.extend(self.0);
        Self(all)
    }
}

impl<'de> Deserialize<'de> for RelayTables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tables = BTreeMap::<String, Object<RelaySettings>>::deserialize(deserializer)?;
        Ok(Self(tables.into_iter().map(|(name, Object(table))| (name, table)).collect()))
    }
}

impl<'de> Deserialize<'de> for FieldSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "a text, `{ file = \"…\" }` or `{ env = \"…\" }`")]
        enum Written {
            Text(String),
            Elsewhere(Object<Place>),
        }
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Place {
            file: Option<PathBuf>,
            env: Option<String>,
            #[serde(default)]
            prefix: String,
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self::Text(text)),
            Written::Elsewhere(Object(Place { file: Some(file), env: None, prefix })) => {
                Ok(Self::File { file, prefix })
            }
            Written::Elsewhere(Object(Place { file: None, env: Some(name), prefix })) => {
                Ok(Self::Variable { name, prefix })
            }
            Written::Elsewhere(_) => Err(D::Error::custom("a field is in a `file` or in a variable (`env`)")),
        }
    }
}

impl std::fmt::Debug for FieldSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FieldSetting(…)")
    }
}
