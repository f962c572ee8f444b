//! Reading the past: a consumer for each block, which begins where the block does.

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::RawMessageErrorKind;
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
    let mut block = Block { epoch: connection.begun.epoch, entries: Vec::new(), next: after };
    let mut count = Count::default();
    while let Some(message) = next {
        let message = match message {
            Ok(message) => message,
            // So NATS ends what it sends where the next message has no room in it.
            Err(error) if block.next > after && error.to_string().contains(FULL) => break,
            Err(error) => return Err(EngineError::away(error)),
        };
        let info = count.next(&message)?;
        if info.stream_sequence > progress {
            block.next = block.next.max(message::last(progress));
            break;
        }
        block.add(connection, info.stream_sequence, timestamp(info.published), &message.payload, after);
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
        return Err(EngineError::away(
            "what follows was discarded a moment ago, or has not come to the node that was read",
        ));
    }
    Ok(block)
}

/// The first message that has an entry after a place.
async fn one(connection: &Connection, after: Sequence) -> Result<Block, EngineError> {
    let mut block = Block { epoch: connection.begun.epoch, entries: Vec::new(), next: after };
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
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
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
