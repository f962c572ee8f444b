//! What relays ask of the API that they stand beside: who may use one, what its topics are, and how its answers are counted.

use std::fmt;
use std::sync::Arc;

use axum::response::Response;
use http::HeaderMap;
use http::request::Parts;
use prometheus_client::encoding::EncodeLabelSet;
use tidings_protocol::{ProblemKind, Start, Topic};

use crate::api::problem::Refusal;
use crate::metrics::Counted;
use crate::server::socket::{Attention, Waits};
use crate::{Api, HttpConfig, api::read};

/// The topics of a relay: a topic with `{id}` in it once, like `llm/{id}`. Whoever may use the relay may read them by their
/// names. As nobody can guess an id, that is what keeps the runs of one caller from others.
///
/// ```
/// use tidings_http::RelayTopics;
/// let topics: RelayTopics = "llm/{id}".parse()?;
/// let topic = topics.fresh()?;
/// assert!(topic.as_str().starts_with("llm/") && topics.matches(&topic));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayTopics {
    before: String,
    after: String,
}

/// The text does not say what the topics of a relay are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no topic with `{{id}}` in it once, like `llm/{{id}}`")]
pub struct InvalidRelayTopics {
    text: String,
}

/// The system has no random numbers, so that a topic would be one that others could guess.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct NoRandomness(String);

/// Notices that the client of a request leaves while its answer waits: the answer is dropped then. For as long as this lives.
#[derive(Debug)]
pub struct ClientWatch(#[allow(dead_code, reason = "it is kept for what dropping it does")] Option<Waits>);

/// What became of a request to a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// Its answer is a stream of events, with a topic of its own.
    Stream,
    /// Its answer was passed on as it is.
    Other,
    /// There was no answer, or none that could be passed on.
    Failed,
}

/// A run of a relay, which is counted for as long as this lives.
#[derive(Debug)]
pub struct RelayRun(#[allow(dead_code, reason = "it is kept for what dropping it does")] Counted);

/// The relays of an API, by name.
pub(crate) type Relays = Vec<(String, RelayTopics)>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RelayedLabels {
    relay: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RelayLabels {
    relay: String,
}

const ID: &str = "{id}";
/// 128 bits, five in each.
const ID_CHARACTERS: usize = 26;
/// Without characters that are easily confused.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

// === impl RelayTopics ===

impl RelayTopics {
    /// A topic that nobody has used.
    ///
    /// # Errors
    /// [`NoRandomness`], where the system has none.
    pub fn fresh(&self) -> Result<Topic, NoRandomness> {
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
        let bits = u128::from_le_bytes(bytes);
        let character = |place: usize| {
            let index = usize::try_from((bits >> (5 * place)) & 31).unwrap_or_default();
            char::from(ALPHABET[index])
        };
        let id: String = (0..ID_CHARACTERS).map(character).collect();
        self.named(&id).map_err(|InvalidRelayTopics { text }| NoRandomness(text))
    }

    fn named(&self, id: &str) -> Result<Topic, InvalidRelayTopics> {
        let Self { before, after } = self;
        Topic::new(&format!("{before}{id}{after}"))
            .map_err(|_| InvalidRelayTopics { text: format!("{before}{ID}{after}") })
    }

    /// Whether a topic is one of these.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        let rest = topic.as_str().strip_prefix(&*self.before);
        let id = rest.and_then(|rest| rest.strip_suffix(&*self.after));
        id.is_some_and(|id| id.len() == ID_CHARACTERS && id.bytes().all(|byte| ALPHABET.contains(&byte)))
    }

    /// What all of them begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.before
    }
}

impl std::str::FromStr for RelayTopics {
    type Err = InvalidRelayTopics;

    fn from_str(text: &str) -> Result<Self, InvalidRelayTopics> {
        let invalid = || InvalidRelayTopics { text: text.to_owned() };
        let (before, after) = text.split_once(ID).ok_or_else(invalid)?;
        if after.contains(ID) || text.contains('*') {
            return Err(invalid());
        }
        let topics = Self { before: before.to_owned(), after: after.to_owned() };
        topics.named(&"a".repeat(ID_CHARACTERS)).map_err(|_| invalid())?;
        Ok(topics)
    }
}

impl fmt::Display for RelayTopics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{ID}{}", self.before, self.after)
    }
}

// === impl Relayed ===

impl Relayed {
    fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Other => "other",
            Self::Failed => "failed",
        }
    }
}

impl Api {
    /// Whether the sender of a request may use a relay, as often as it does.
    ///
    /// # Errors
    /// The [`Refusal`] that says what would be right.
    pub async fn admit_to_relay(&self, request: &Parts, name: &str) -> Result<(), Refusal> {
        let access = self.auth.access(request, &self.config.cors).await?;
        access.relay(name)?;
        self.rates.check(self, request, &access)?;
        if self.draining.is_cancelled() {
            return Err(Refusal::new(ProblemKind::Unavailable, "the hub is shutting down"));
        }
        self.hub.ready().map_err(|_| Refusal::no_writes())
    }

    /// Watches whether the client of a request leaves.
    #[must_use]
    pub fn watch_client(request: &Parts) -> ClientWatch {
        ClientWatch(request.extensions.get::<Attention>().map(Attention::waits))
    }

    /// The limits and times that it was built with.
    #[must_use]
    pub fn config(&self) -> &Arc<HttpConfig> {
        &self.config
    }

    /// Counts what became of a request to a relay.
    pub fn count_relayed(&self, name: &str, outcome: Relayed) {
        let labels = RelayedLabels { relay: name.to_owned(), outcome: outcome.name() };
        self.metrics.relayed.get_or_create(&labels).inc();
    }

    /// Counts a run of a relay.
    #[must_use]
    pub fn count_relay_run(&self, name: &str) -> RelayRun {
        let gauge = self.metrics.relay_runs.get_or_create(&RelayLabels { relay: name.to_owned() }).clone();
        RelayRun(Counted::new(gauge))
    }

    /// Answers a reader of a topic who may read it with a plain event stream, as `GET /topics/{topic}?plain=true` does. It begins where the request's
    /// `Last-Event-ID` says, or else at `start`.
    pub async fn read_plainly(&self, request: &Parts, topic: Topic, start: Start) -> Response {
        read::stream_of(self, request, topic, start).await
    }
}

/// The fields that carry the token of a caller who is a client of somebody else, beside `Authorization`.
pub const API_KEY_FIELDS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// Takes the key of a client of somebody else for a token, where it shows no other.
pub fn take_api_key(headers: &mut HeaderMap) {
    if headers.contains_key(http::header::AUTHORIZATION) {
        return;
    }
    let key = API_KEY_FIELDS.iter().find_map(|name| headers.get(*name)).and_then(|key| key.to_str().ok());
    if let Some(value) = key.and_then(|key| format!("Bearer {key}").parse().ok()) {
        headers.insert(http::header::AUTHORIZATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_an_id_in_one_place() {
        for text in ["llm/{id}", "{id}", "a/run-{id}/answer"] {
            let topics: RelayTopics = text.parse().unwrap();
            assert_eq!(topics.to_string(), text);
            let (one, other) = (topics.fresh().unwrap(), topics.fresh().unwrap());
            assert!(topics.matches(&one) && topics.matches(&other) && one != other);
        }
        for text in
            ["", "llm", "llm/", "{id}/{id}", "/{id}", "llm/*/{id}", "llm/{id}/", "a\0{id}", "llm/{ID}"]
        {
            assert!(text.parse::<RelayTopics>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_what_was_drawn_is_one_of_them() {
        let topics: RelayTopics = "llm/{id}".parse().unwrap();
        for text in [
            "llm",
            "llm/x",
            "llm/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "llm/AAAAAAAAAAAAAAAAAAAAAAAAAA",
            "other/aaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(!topics.matches(&Topic::new(text).unwrap()), "{text}");
        }
        assert!(topics.matches(&Topic::new("llm/aaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap()));
    }

    #[test]
    fn a_key_of_another_kind_of_client_is_a_token() {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", "k".parse().unwrap());
        take_api_key(&mut headers);
        assert_eq!(headers["authorization"], "Bearer k");
        headers.insert("x-goog-api-key", "other".parse().unwrap());
        take_api_key(&mut headers);
        assert_eq!(headers["authorization"], "Bearer k");
    }
}
