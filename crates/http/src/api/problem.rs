use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tidings_log::{AppendError, ReadError};
use tidings_protocol::{EndReason, InvalidData, InvalidSelector, InvalidTopic, Problem, ProblemKind};

use crate::defaults;
use crate::delivery::memory::{Portion, Short};

/// A request that is answered with an error (§4): as a response it is `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    kind: ProblemKind,
    detail: String,
    allow: Option<Box<str>>,
    /// In a box, as few have one and errors are to be small.
    challenge: Option<Box<HeaderValue>>,
    accept_encoding: Option<&'static str>,
    retry_after: Option<u64>,
    stream: Option<Box<StreamPlace>>,
}

/// How far a stream of items was that is refused (§2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct StreamPlace {
    pub(crate) events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<String>,
    /// Why its topic has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<EndReason>,
}

/// What is said of a problem. It may tell of what a client sent, which is of any length.
fn short(mut detail: String) -> String {
    if detail.len() > defaults::DETAIL_BYTES {
        let end = (0..=defaults::DETAIL_BYTES).rev().find(|&end| detail.is_char_boundary(end));
        detail.truncate(end.unwrap_or(0));
        detail.push('…');
    }
    detail
}

/// A problem, with what is known of the stream that it ended.
#[derive(Serialize)]
struct StreamProblem<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(flatten)]
    place: Option<&'a StreamPlace>,
}

pub(crate) type Answer = Result<Response, Refusal>;

// === impl Refusal ===

impl Refusal {
    /// Refuses for a reason of this kind. `detail` says what was wrong, and what would be right.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: short(detail.into()),
            allow: None,
            challenge: None,
            accept_encoding: None,
            retry_after: None,
            stream: None,
        }
    }

    /// Says what it is about.
    pub(crate) fn about(mut self, what: impl std::fmt::Display) -> Self {
        self.detail = format!("{what}: {}", self.detail);
        self
    }

    /// Says how far a stream was.
    pub(crate) fn at(mut self, place: StreamPlace) -> Self {
        let last = place.last.as_ref().map(|last| format!(", the last one `{last}`")).unwrap_or_default();
        self.detail = format!("{} ({} events were appended{last})", self.detail, place.events);
        self.stream = Some(Box::new(place));
        self
    }

    /// The problem as the last line of acknowledgements.
    pub(crate) fn stream_line(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Line<'a> {
            problem: StreamProblem<'a>,
            #[serde(flatten)]
            place: Option<&'a StreamPlace>,
        }
        let (problem, place) = (self.kind.problem(&*self.detail), self.stream.as_deref());
        json_line(&Line { problem: StreamProblem { problem: &problem, place }, place })
    }

    /// The problem as JSON.
    pub(crate) fn json(&self) -> Vec<u8> {
        let problem = self.kind.problem(&*self.detail);
        json_line(&StreamProblem { problem: &problem, place: self.stream.as_deref() })
    }

    pub(crate) fn query(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::InvalidQuery, detail)
    }

    pub(crate) fn data(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::InvalidData, detail)
    }

    pub(crate) fn topic(text: &str, reason: &impl ToString) -> Self {
        let shown: String = text.chars().take(64).collect();
        Self::new(ProblemKind::InvalidTopic, format!("`{}`: {}", shown.escape_debug(), reason.to_string()))
    }

    /// The path does not take the method, but these.
    pub fn method(allow: impl Into<Box<str>>) -> Self {
        let allow = allow.into();
        let detail = format!("this path takes {allow}");
        Self { allow: Some(allow), ..Self::new(ProblemKind::MethodNotAllowed, detail) }
    }

    /// The log takes no writes. The reason may name files and addresses, which are nobody's business outside.
    pub(crate) fn no_writes() -> Self {
        Self::new(ProblemKind::Unavailable, "the log takes no writes now; the hub's own log says why")
    }

    /// Whether it passes by itself, so that the same request may do better later.
    pub(crate) fn passes(&self) -> bool {
        matches!(self.kind, ProblemKind::Unavailable | ProblemKind::Busy | ProblemKind::TooManyRequests)
    }

    pub(crate) fn kind(&self) -> ProblemKind {
        self.kind
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// After how many seconds another attempt may do better, where it passes.
    pub(crate) fn seconds(&self) -> u64 {
        self.retry_after.unwrap_or(defaults::RETRY_AFTER_SECONDS)
    }

    /// Says how to show a token (RFC 9110 §11.6.1).
    pub(crate) fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(Box::new(challenge));
        self
    }

    /// Says which codings of a body are taken (RFC 9110 §15.5.16).
    pub(crate) fn accept_encoding(mut self, codings: &'static str) -> Self {
        self.accept_encoding = Some(codings);
        self
    }

    /// Says after how many seconds another attempt may do better.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// A value as the body of an answer: a line, for those who read it in a terminal.
pub(crate) fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    body
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (passes, seconds) = (self.passes(), self.seconds());
        let mut response = Response::new(Body::from(self.json()));
        *response.status_mut() = StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::BAD_REQUEST);
        // For whoever counts.
        response.extensions_mut().insert(self.kind);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        if passes {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(codings) = self.accept_encoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(codings));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, *challenge);
        }
        response
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let kind = match &error {
            AppendError::TopicClosed { .. } => ProblemKind::TopicClosed,
            AppendError::KeyConflict { .. } => ProblemKind::IdempotencyConflict,
            AppendError::InvalidKey => ProblemKind::InvalidQuery,
            AppendError::Full { .. } => ProblemKind::LogFull,
            AppendError::TooLarge { .. } | AppendError::TooMany { .. } => ProblemKind::EventTooLarge,
            AppendError::Unavailable(_) => {
                // Logs say so themselves when it begins; to say it for each request would be a flood.
                tracing::debug!(%error, "failed to publish");
                return Self::no_writes();
            }
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        if let ReadError::Away { .. } = error {
            tracing::debug!(%error, "failed to read the log");
            return Self::new(ProblemKind::Unavailable, "the log cannot be read until its engine is back");
        }
        tracing::error!(%error, "failed to read the log");
        // The reason names files, which are nobody's business outside.
        Self::new(ProblemKind::Unavailable, "the log cannot be read now; the hub's own log says why")
    }
}

impl From<InvalidData> for Refusal {
    fn from(error: InvalidData) -> Self {
        Self::data(error.to_string())
    }
}

impl From<(&str, InvalidTopic)> for Refusal {
    fn from((text, error): (&str, InvalidTopic)) -> Self {
        Self::topic(text, &error)
    }
}

impl From<(&str, InvalidSelector)> for Refusal {
    fn from((text, error): (&str, InvalidSelector)) -> Self {
        Self::topic(text, &error)
    }
}

impl Portion {
    /// Refuses what there is no memory for. `what` is what the budget is for.
    pub(crate) fn refuse(&self, short: Short, what: &str) -> Refusal {
        Refusal::new(ProblemKind::Busy, self.explain(short, what))
    }
}
