use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use tidings_log::{AppendError, ReadError};
use tidings_protocol::{InvalidData, InvalidSelector, InvalidTopic, ProblemKind};

use crate::defaults;

/// A request that is answered with an error (§4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    kind: ProblemKind,
    detail: String,
    allow: Option<&'static str>,
}

pub(crate) type Answer = Result<Response, Refusal>;

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), allow: None }
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

    pub(crate) fn method(allow: &'static str) -> Self {
        let detail = format!("this path takes {allow}");
        Self { kind: ProblemKind::MethodNotAllowed, detail, allow: Some(allow) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.kind.problem(self.detail);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if matches!(self.kind, ProblemKind::Unavailable | ProblemKind::TooManyRequests) {
            headers.insert(RETRY_AFTER, HeaderValue::from(defaults::RETRY_AFTER_SECONDS));
        }
        response
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let kind = match &error {
            AppendError::TopicClosed { .. } => ProblemKind::TopicClosed,
            AppendError::KeyConflict { .. } => ProblemKind::IdempotencyConflict,
            AppendError::Full { .. } => ProblemKind::LogFull,
            AppendError::TooLarge { .. } | AppendError::TooMany { .. } => ProblemKind::EventTooLarge,
            AppendError::Unavailable(_) => ProblemKind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
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
