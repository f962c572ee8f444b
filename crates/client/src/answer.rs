use std::time::{Duration, SystemTime};

use reqwest::{Response, StatusCode};
use serde_json::{Map, Value};
use tidings_protocol::Problem;
use tokio::time::timeout;

use crate::retry_after::retry_after;
use crate::{Interruption, defaults};

/// How the types of problems begin that a hub tells.
const OWN_PROBLEMS: &str = "urn:tidings:";

/// Why a request came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt may do better, not before the time that the hub named.
    Passing { reason: Interruption, after: Option<Duration> },
    /// Another token may do better.
    Unauthorized(Problem),
    /// No other attempt will do better.
    Lasting(Problem),
    /// The hub's certificate is not trusted, which no other attempt mends.
    Untrusted(String),
}

impl From<Interruption> for Failure {
    fn from(reason: Interruption) -> Self {
        Self::Passing { reason, after: None }
    }
}

/// Lets an answer through that a hub gives where all is well: 200 or 201, of the type that is `wanted`. `None` is the end
/// of a topic.
///
/// Only a hub's own problem is final: what else comes may be a proxy's, while the hub behind it is deployed.
pub(crate) async fn check(response: Response, wanted: &str) -> Result<Option<Response>, Failure> {
    let status = response.status();
    match status.as_u16() {
        200 | 201 if is_of_type(&response, wanted) => return Ok(Some(response)),
        204 => return Ok(None),
        _ => {}
    }
    let after = retry_after(response.headers(), SystemTime::now());
    let unexpected = Interruption::unexpected(status, response.headers());
    let told = if status.as_u16() >= 400 { problem(response).await } else { None };
    let is_own = told.as_ref().is_some_and(|problem| problem.kind.starts_with(OWN_PROBLEMS));
    Err(match told {
        Some(problem) if is_own || passes(status.as_u16()) => refused(problem, after),
        None if passes(status.as_u16()) => refused(of_status(status.as_u16()), after),
        _ => Failure::Passing { reason: unexpected, after },
    })
}

/// What a hub's problem means.
pub(crate) fn refused(problem: Problem, after: Option<Duration>) -> Failure {
    match problem.status {
        status if passes(status) => Failure::Passing { reason: Interruption::Unavailable(problem), after },
        401 | 403 => Failure::Unauthorized(problem),
        _ => Failure::Lasting(problem),
    }
}

/// Whether a status is one of those that pass by themselves.
fn passes(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}

/// The whole body, up to `limit` bytes. It may take its time as long as something comes every `patience`.
pub(crate) async fn body(
    mut response: Response,
    limit: usize,
    patience: Duration,
) -> Result<Vec<u8>, Interruption> {
    let mut bytes = Vec::new();
    loop {
        let chunk = timeout(patience, response.chunk())
            .await
            .map_err(|_| Interruption::TimedOut { after: patience })?
            .map_err(Interruption::of_body)?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if chunk.len() > limit - bytes.len() {
            return Err(Interruption::Malformed(format!("it is larger than {limit} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
}

pub(crate) fn is_of_type(response: &Response, wanted: &str) -> bool {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(wanted)
}

/// The problem that an error answer tells, if it tells one. What it leaves open is filled in from its status.
async fn problem(response: Response) -> Option<Problem> {
    if !is_of_type(&response, "application/problem+json") {
        return None;
    }
    let status = response.status().as_u16();
    let body = body(response, defaults::ANSWER_BYTES, defaults::POLL_GRACE).await.ok()?;
    Some(told(&serde_json::from_slice(&body).ok()?, status))
}

/// The problem that an object tells which came with this status.
pub(crate) fn told(object: &Map<String, Value>, status: u16) -> Problem {
    let text = |name| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let plain = of_status(status);
    Problem {
        kind: text("type").unwrap_or(plain.kind),
        title: text("title").unwrap_or(plain.title),
        status,
        detail: text("detail").unwrap_or_default(),
    }
}

fn of_status(status: u16) -> Problem {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    Problem {
        kind: "about:blank".into(),
        title: reason.unwrap_or("no reason given").to_lowercase(),
        status,
        detail: String::new(),
    }
}
