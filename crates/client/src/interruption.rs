use std::error::Error as StdError;
use std::time::Duration;

use reqwest::StatusCode;
use tidings_protocol::Problem;

use crate::certificate;

/// Why an attempt came to nothing, or a connection to its end, where another attempt follows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Interruption {
    /// No connection could be made.
    #[error("the hub cannot be reached: {0}")]
    Connect(String),
    /// The connection broke before the answer was complete.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The hub ended the stream, as it does when it shuts down.
    #[error("the hub ended the stream")]
    Ended,
    /// The hub says that it cannot serve the stream now, as it does while it shuts down or waits for its log.
    #[error("the hub cannot serve the stream now")]
    Postponed,
    /// The certificate that was shown is not trusted, though it may be again, or another has been before.
    #[error("{0}")]
    Untrusted(String),
    /// No answer came in time.
    #[error("no answer came within {}", seconds(.after))]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// A stream did not begin in time: something on the way may hold it back.
    #[error("the stream did not begin within {}", seconds(.after))]
    Stalled {
        /// How long was waited.
        after: Duration,
    },
    /// No WebSocket was opened: the hub knows none, or something on the way lets none through.
    #[error("no WebSocket was opened: {what}")]
    NoSocket {
        /// What came instead.
        what: String,
    },
    /// An open stream was silent for so long that it counts as dead.
    #[error("the stream was silent for {}", seconds(.after))]
    Silent {
        /// How long it was silent.
        after: Duration,
    },
    /// The hub says that it cannot answer now.
    #[error("the hub answered {}", describe(.0))]
    Unavailable(Problem),
    /// The token was refused, and another one is asked for.
    #[error("the token was refused: {}", describe(.0))]
    Refused(Problem),
    /// No token could be had.
    #[error("no token could be had: {0}")]
    Token(#[source] Box<dyn StdError + Send + Sync>),
    /// The answer is not one that a hub gives; a captive portal or a wrong address may be behind it.
    #[error("the answer is not that of a hub: {what}")]
    Unexpected {
        /// What it is instead.
        what: String,
    },
    /// The answer is that of a hub, but cannot be read.
    #[error("the answer cannot be read: {0}")]
    Malformed(String),
}

// === impl Interruption ===

impl Interruption {
    /// What reqwest says of a request that failed, without its URL and with the cause that says something.
    pub(crate) fn of_request(error: reqwest::Error) -> Self {
        if let Some(reason) = certificate::complaint(&error) {
            return Self::Untrusted(reason);
        }
        if is_not_http(&error) {
            return Self::Unexpected { what: "it is not HTTP".into() };
        }
        let connect = error.is_connect();
        let text = innermost(&error.without_url());
        if connect { Self::Connect(text) } else { Self::Broken(text) }
    }

    /// What reqwest says of a body that broke off.
    pub(crate) fn of_body(error: reqwest::Error) -> Self {
        Self::Broken(innermost(&error.without_url()))
    }

    pub(crate) fn unexpected(status: StatusCode, headers: &reqwest::header::HeaderMap) -> Self {
        let of = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let mut what = format!("status {status}");
        if let Some(kind) = of(reqwest::header::CONTENT_TYPE) {
            what.push_str(&format!(", {kind}"));
        }
        if let Some(place) = of(reqwest::header::LOCATION) {
            what.push_str(&format!(", on to {}", place.chars().take(200).collect::<String>()));
        }
        Self::Unexpected { what }
    }
}

fn is_not_http(error: &(dyn StdError + 'static)) -> bool {
    let here = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    here || error.source().is_some_and(is_not_http)
}

fn innermost(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn seconds(duration: &Duration) -> String {
    tidings_protocol::format_duration(Duration::from_millis(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    ))
}

pub(crate) fn describe(problem: &Problem) -> String {
    let words = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    format!("{}: {words}", problem.status)
}
