//! Reading the past: a consumer for each block, which begins where the block does.

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::{Info, RawMessageErrorKind};
use futures_util::StreamExt as _;
use tidings_engine::{Block, EngineError};
use tidings_log::ReadLimits;
use tidings_protocol::{Sequence, Timestamp};
use tokio::time::sleep;

use crate::connection::{Connection, pull_bytes};
use crate::feed::{Count, consumer, entries, timestamp};
use crate::limits::{ANSWER, ASK_AGAIN, PULL_MESSAGES};
use crate::message;
use crate::options::chain;
use crate::stream::first_kept;

/// What NATS says with status 409 where a request's bytes are used up.
const FULL: &str = "Message Size Exceeds MaxBytes";

pub(crate) async fn block(
    connection: &Connection,
    after: Sequence,
    limits: ReadLimits,
) -> Result<Block, EngineError> {
    if limits.entries == 1 {
        return one(connection, after).await;
    }
    // What is after that cannot be judged yet: the end of its topic may be in what the follower has still to come to.
    let progress = *connection.progress.borrow();
    let start_sequence = message::after(after).max(1);
    let policy = DeliverPolicy::ByStartSequence { start_sequence };
    let consumer = consumer(&connection.stream, policy, ANSWER).await?;
    let away = |error: &(dyn std::error::Error + 'static)| {
        EngineError::away(format!("failed to read the stream: {}", chain(error)))
    };
    let bytes = pull_bytes(&connection.client);
    let mut tries = 0;
    let (mut messages, mut next) = loop {
        let fetch = consumer.fetch().max_messages(limits.entries.min(PULL_MESSAGES)).max_bytes(bytes);
        let mut messages = fetch.messages().await.map_err(|error| away(&error))?;
        match messages.next().await {
            // The node that keeps the consumer may have to become known to the one that is asked.
            Some(Err(_)) if tries < ASK_AGAIN.0 => tries += 1,
            first => break (messages, first),
        }
        sleep(ASK_AGAIN.1).await;
    };
    let mut block = Block { epoch: connection.begun.epoch, entries: Vec::new(), next: after, earliest: 0 };
    let mut count = Count::default();
    let mut expected = start_sequence;
    while let Some(message) = next {
        let message = match message {
            Ok(message) => message,
            // So NATS ends what it sends where the next message has no room in it.
            Err(error) if block.next > after && error.to_string().contains(FULL) => break,
            Err(error) => return Err(EngineError::away(error)),
        };
        let info = count.next(&message)?;
        let number = info.stream_sequence;
        let judged = number.min(progress + 1);
        if judged > expected {
            if expected > start_sequence {
                // For the next read to look into.
                break;
            }
            block.earliest = earliest(look(connection, expected, judged).await?);
        }
        if number > progress {
            block.next = block.next.max(message::last(progress));
            break;
        }
        expected = number + 1;
        block.add(connection, number, timestamp(info.published), &message.payload, after);
        next = messages.next().await;
    }
    let gone = format!(
        "$JS.API.CONSUMER.DELETE.{}.{}",
        consumer.cached_info().stream_name,
        consumer.cached_info().name
    );
    // It would be forgotten anyway, somewhat later.
    drop(connection.client.publish(gone, bytes::Bytes::new()).await);
    if block.next == after && start_sequence <= progress {
        block.earliest = earliest(look(connection, start_sequence, progress + 1).await?);
        block.next = message::last(progress);
    }
    Ok(block)
}

/// Looks for what a node has no message of, from `from` to before `to`, and says which message is the first that is
/// kept. Where that is after `from`, retention has discarded some; else somebody has deleted them with NATS's own tools.
///
/// # Errors
/// Another node still has a message of these, or the leader of the stream has not come to them.
pub(crate) async fn look(connection: &Connection, from: u64, to: u64) -> Result<u64, EngineError> {
    let stream = &connection.stream;
    let away =
        || EngineError::away("a message has not come to each node of NATS yet, or is not discarded there");
    let info = || async { stream.get_info().await.map_err(|error| EngineError::away(chain(&error))) };
    let leader = |info: &Info| info.cluster.as_ref().and_then(|cluster| cluster.leader.clone());
    let before = info().await?;
    if before.state.last_sequence + 1 < to {
        return Err(away());
    }
    let next = stream.raw_message_builder().sequence(from).next_by_subject(connection.subjects.all());
    let is_there = match next.send().await {
        Ok(found) => found.sequence < to,
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => false,
        Err(error) => return Err(EngineError::away(chain(&error))),
    };
    // Asked for again: what was not there, and may still be kept now, was not discarded. And another leader may have
    // answered that has come to it only since.
    let after = info().await?;
    if is_there || leader(&before) != leader(&after) {
        return Err(away());
    }
    Ok(first_kept(&after.state))
}

/// The first sequence number that belongs to a message.
fn earliest(number: u64) -> Sequence {
    message::last(number - 1) + 1
}

/// The first message that has an entry after a place.
async fn one(connection: &Connection, after: Sequence) -> Result<Block, EngineError> {
    let mut block = Block { epoch: connection.begun.epoch, entries: Vec::new(), next: after, earliest: 0 };
    let progress = *connection.progress.borrow();
    let mut number = message::after(after).max(1);
    while block.entries.is_empty() {
        let wanted = connection.stream.raw_message_builder().sequence(number);
        match wanted.next_by_subject(connection.subjects.all()).send().await {
            Ok(found) if found.sequence > progress => break,
            Ok(found) => {
                block.add(connection, found.sequence, timestamp(found.time), &found.payload, after);
                number = found.sequence + 1;
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                if number <= progress {
                    look(connection, number, progress + 1).await?;
                }
                break;
            }
            Err(error) => return Err(EngineError::away(chain(&error))),
        }
    }
    Ok(block)
}

trait Add {
    fn add(&mut self, connection: &Connection, number: u64, time: Timestamp, body: &[u8], after: Sequence);
}

impl Add for Block {
    /// Adds what a message has after a place, where it counts.
    fn add(&mut self, connection: &Connection, number: u64, time: Timestamp, body: &[u8], after: Sequence) {
        if let Ok(contents) = message::read(body)
            && connection.ledger().void(number, &contents).is_none()
        {
            self.entries.extend(entries(number, time, contents).filter(|entry| entry.sequence > after));
        }
        self.next = self.next.max(message::last(number));
    }
}
