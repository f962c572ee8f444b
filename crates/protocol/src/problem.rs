use serde::{Deserialize, Serialize};

/// An error answer, `application/problem+json` (§4, RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:tidings:` and the kind's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong, and what would be right.
    pub detail: String,
}

/// What kinds of error answer there are (§4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its own name in the table of §4")]
pub enum ProblemKind {
    InvalidTopic,
    InvalidQuery,
    InvalidData,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    TopicClosed,
    EventTooLarge,
    UnsupportedMediaType,
    IdempotencyConflict,
    Misdirected,
    UpgradeRequired,
    TooManyRequests,
    HeadTooLarge,
    Unavailable,
    Busy,
    LogFull,
    UpstreamFailed,
    UpstreamTimeout,
    LoopDetected,
}

// === impl ProblemKind ===

impl ProblemKind {
    /// Every kind, in the order of the table of §4.
    pub const ALL: [Self; 22] = [
        Self::InvalidTopic,
        Self::InvalidQuery,
        Self::InvalidData,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::TopicClosed,
        Self::EventTooLarge,
        Self::UnsupportedMediaType,
        Self::Misdirected,
        Self::IdempotencyConflict,
        Self::UpgradeRequired,
        Self::TooManyRequests,
        Self::HeadTooLarge,
        Self::Unavailable,
        Self::Busy,
        Self::LogFull,
        Self::UpstreamFailed,
        Self::UpstreamTimeout,
        Self::LoopDetected,
    ];

    /// The name in the table of §4, for example `invalid-topic`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that it is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().1
    }

    /// A problem of this kind. `detail` says what was wrong and what would be right.
    pub fn problem(self, detail: impl Into<String>) -> Problem {
        let (name, status, title) = self.row();
        Problem { kind: format!("urn:tidings:{name}"), title: title.into(), status, detail: detail.into() }
    }

    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::InvalidTopic => ("invalid-topic", 400, "this is not a topic or selector"),
            Self::InvalidQuery => ("invalid-query", 400, "a parameter or header is malformed"),
            Self::InvalidData => ("invalid-data", 400, "the body is not what its content type says"),
            Self::Unauthorized => ("unauthorized", 401, "a valid token is needed"),
            Self::Forbidden => ("forbidden", 403, "this is not allowed"),
            Self::NotFound => ("not-found", 404, "there is no such path"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "this path does not take this method"),
            Self::NotAcceptable => ("not-acceptable", 406, "none of the forms that exist is acceptable"),
            Self::TopicClosed => ("topic-closed", 409, "the topic has ended"),
            Self::EventTooLarge => ("event-too-large", 413, "the event is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", 415, "this content type is not taken here")
            }
            Self::IdempotencyConflict => {
                ("idempotency-conflict", 422, "the idempotency key was used for other data")
            }
            Self::Misdirected => ("misdirected", 421, "this is not answered here"),
            Self::UpgradeRequired => ("upgrade-required", 426, "this is asked for with an upgrade"),
            Self::TooManyRequests => ("too-many-requests", 429, "too many requests"),
            Self::HeadTooLarge => ("head-too-large", 431, "the head of the request is too large"),
            Self::Unavailable => ("unavailable", 503, "the hub takes no writes now"),
            Self::Busy => ("busy", 503, "the hub has too much under way"),
            Self::LogFull => ("log-full", 507, "the disk is full"),
            Self::UpstreamFailed => ("upstream-failed", 502, "the endpoint of the relay did not answer"),
            Self::UpstreamTimeout => ("upstream-timeout", 504, "the endpoint of the relay was too slow"),
            Self::LoopDetected => ("loop-detected", 508, "the relay leads to itself"),
        }
    }
}
