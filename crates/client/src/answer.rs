use std::time::{Duration, SystemTime};

use reqwest::{Response, StatusCode};
use tidings_protocol::Problem;
use tokio::time::timeout;

use crate::retry_after::retry_after;
use crate::{Interruption, defaults};

/// Why a request came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt may do better, not before the time that the hub named.
    Passing { reason: Interruption, after: Option<Duration> },
    /// Another token may do better.
    Unauthorized(Problem),
    /// No other attempt will do better.
    Lasting(Problem),
}

impl From<Interruption> for Failure {
    fn from(reason: Interruption) -> Self {
        Self::Passing { reason, after: None }
    }
}

/// Lets an answer through that a hub gives where all is well: 200, 201 or 204.
pub(crate) async fn check(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    match status.as_u16() {
        200 | 201 | 204 => Ok(response),
        401 | 403 => Err(Failure::Unauthorized(problem(response).await)),
        408 | 425 | 429 | 500.. => {
            let after = retry_after(response.headers(), SystemTime::now());
            Err(Failure::Passing { reason: Interruption::Unavailable(problem(response).await), after })
        }
        400..=499 => Err(Failure::Lasting(problem(response).await)),
        _ => Err(Interruption::unexpected(status, response.headers()).into()),
    }
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

/// The problem that an error answer tells; where it tells none, what its status says.
async fn problem(response: Response) -> Problem {
    let status = response.status();
    let told = is_of_type(&response, "application/problem+json");
    let body = if told {
        body(response, defaults::ANSWER_BYTES, defaults::POLL_GRACE).await.unwrap_or_default()
    } else {
        Vec::new()
    };
    serde_json::from_slice(&body).unwrap_or_else(|_| of_status(status))
}

fn of_status(status: StatusCode) -> Problem {
    Problem {
        kind: "about:blank".into(),
        title: status.canonical_reason().unwrap_or("no reason given").to_lowercase(),
        status: status.as_u16(),
        detail: String::new(),
    }
}
