use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;
use tidings_protocol::ProblemKind;
use tokio::time::{Instant, timeout_at};

use crate::api::coding::Coding;
use crate::api::problem::Refusal;
use crate::delivery::memory::{Client, Portion};
use crate::limit::Limit;
use crate::{Api, defaults};

/// A body, and the memory that it takes among all that are under way.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    pub(crate) memory: Portion,
}

/// Reads a body of at most `limit` bytes. Where its length is declared, one that is too long is refused before
/// any of it is read. What does not come in time is refused. It takes memory as it arrives, whatever it declares.
pub(crate) async fn read(
    api: &Api,
    client: Client,
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
    let coding = Coding::of(headers)?;
    // What arrives are pieces of the connection's buffer, which would live as long as the event does.
    let mut whole = Vec::new();
    let mut memory = api.bodies.portion(client);
    let limits = (api.config.body_timeout, defaults::BODY_RATE as u64);
    let begun = Instant::now();
    let mut by = begun + limits.0;
    loop {
        let frame = timeout_at(by, body.frame()).await.map_err(|_| {
            api.metrics.count_limit(Limit::BodyTimeout);
            Refusal::data(format!(
                "the body had not come whole after {} s; it may pause for {} s, and has to bring {} bytes a second",
                begun.elapsed().as_secs(),
                limits.0.as_secs_f32(),
                limits.1,
            ))
        })?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|error| Refusal::data(format!("the body did not arrive whole: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        // Each byte gives it time for more, but never more than one pause: whoever was fast may not dribble then.
        by = Instant::now()
            .min(by - limits.0 + Duration::from_micros(data.len() as u64 * 1_000_000 / limits.1))
            + limits.0;
        if let Err(short) = memory.grow(whole.len() + data.len()) {
            return Err(memory.refuse(short, "bodies that are under way"));
        }
        if whole.is_empty() {
            whole.reserve_exact(data.len());
        }
        whole.extend_from_slice(&data);
    }
    whole.shrink_to_fit();
    match coding {
        Some(coding) if !whole.is_empty() => unpack(coding, whole, limit, memory).await,
        _ => Ok(Whole { bytes: Bytes::from(whole), memory }),
    }
}

/// Unpacks a body where it keeps nobody waiting: a small one may unpack to much.
async fn unpack(
    coding: Coding,
    packed: Vec<u8>,
    limit: usize,
    mut memory: Portion,
) -> Result<Whole, Refusal> {
    let unpacking = tokio::task::spawn_blocking(move || {
        let mut bytes = coding.decode(&packed, limit, &mut memory)?;
        bytes.shrink_to_fit();
        drop(packed);
        memory.shrink(bytes.len());
        Ok(Whole { bytes: Bytes::from(bytes), memory })
    });
    unpacking.await.map_err(|_| Refusal::new(ProblemKind::Unavailable, "the body cannot be read now"))?
}

pub(crate) fn too_large(limit: usize) -> Refusal {
    Refusal::new(ProblemKind::EventTooLarge, format!("the limit is {limit} bytes"))
}
