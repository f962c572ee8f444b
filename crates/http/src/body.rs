use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use tidings_protocol::ProblemKind;
use tokio::time::{Instant, timeout_at};

use crate::limit::Limit;
use crate::memory::Portion;
use crate::problem::Refusal;
use crate::{Face, defaults};

/// A body, and the memory that it takes among all that are under way.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    pub(crate) memory: Portion,
}

/// Reads a body of at most `limit` bytes. Where its length is declared, one that is too long is refused before
/// any of it is read. What does not come in time is refused.
pub(crate) async fn read(
    face: &Face,
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
) -> Result<Whole, Refusal> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = declared
        && length > limit as u64
    {
        return Err(too_large(limit));
    }
    // What arrives are pieces of the connection's buffer, which would live as long as the event does.
    let mut whole = Vec::new();
    let mut memory = face.bodies.portion();
    let begun = Instant::now();
    loop {
        // It may neither pause for long nor dribble for ever.
        let pace = Duration::from_secs((whole.len() / defaults::BODY_RATE) as u64);
        let by = Instant::now().min(begun + pace) + face.config.body_timeout;
        let frame = timeout_at(by, body.frame()).await.map_err(|_| {
            face.metrics.count_limit(Limit::BodyTimeout);
            Refusal::data(format!("the body had not come whole after {} s", begun.elapsed().as_secs()))
        })?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|error| Refusal::data(format!("the body did not arrive whole: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        memory.grow(whole.len() + data.len())?;
        if whole.is_empty() {
            whole.reserve_exact(data.len());
        }
        whole.extend_from_slice(&data);
    }
    whole.shrink_to_fit();
    Ok(Whole { bytes: Bytes::from(whole), memory })
}

pub(crate) fn too_large(limit: usize) -> Refusal {
    Refusal::new(ProblemKind::EventTooLarge, format!("the limit is {limit} bytes"))
}
