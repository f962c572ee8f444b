//! The topics of a log, for a hub that starts.
//!
//! NATS knows the last message of each subject, so that no more is read than there are topics; only messages with events
//! of several topics have to be read all.

use std::collections::HashMap;

use async_nats::jetstream::consumer::{DeliverPolicy, PullConsumer};
use async_nats::jetstream::{Message, stream::Stream};
use futures_util::StreamExt as _;
use tidings_engine::EngineError;
use tidings_log::TopicInfo;
use tidings_protocol::{Closing, Topic};
use tokio::time::{Instant, timeout};

use crate::feed::{Count, consumer_of, timestamp};
use crate::ledger::Ledger;
use crate::limits::{ANSWER, CONSUMER, HEARTBEAT, PULL, PULL_MESSAGES};
use crate::message;
use crate::options::chain;
use crate::subject::Subjects;

/// The topics, and which of them have ended. NATS may send so many bytes ahead.
pub(crate) async fn topics(
    stream: &Stream,
    bytes: usize,
    subjects: &Subjects,
    ledger: &mut Ledger,
) -> Result<Vec<TopicInfo>, EngineError> {
    let begun = Instant::now();
    let consumer = consumer_of(stream, subjects.void(), false, DeliverPolicy::All, CONSUMER).await?;
    each(&consumer, bytes, |_, found| {
        message::void(&found.payload).into_iter().for_each(|number| ledger.note_void(number));
        Ok(())
    })
    .await?;
    // In the order of the stream, so that each message is judged by the ends before it.
    let mut several = Vec::new();
    for filter in [subjects.ends(), subjects.batch()] {
        let consumer = consumer_of(stream, filter, false, DeliverPolicy::All, CONSUMER).await?;
        each(&consumer, bytes, |number, message| {
            if let Ok(contents) = message::read(&message.payload) {
                several.push((number, time_of(&message)?, contents));
            }
            Ok(())
        })
        .await?;
    }
    several.sort_by_key(|(number, ..)| *number);
    let mut known: HashMap<Topic, TopicInfo> = HashMap::new();
    let mut note = |info: TopicInfo| {
        let known = known.entry(info.topic.clone()).or_insert_with(|| info.clone());
        if known.latest < info.latest {
            *known = info;
        }
    };
    for (number, time, contents) in several {
        if ledger.note(number, time, &contents) {
            for event in crate::feed::entries(number, time, contents) {
                let closed = event.closing != Closing::No;
                note(TopicInfo { topic: event.topic.clone(), latest: event.sequence, time, closed });
            }
        }
    }
    let consumer =
        consumer_of(stream, subjects.topics(), true, DeliverPolicy::LastPerSubject, CONSUMER).await?;
    each(&consumer, bytes, |number, message| {
        // What came after a topic's end counts for nothing, or begins the topic anew.
        if let Some(topic) = subjects.topic_of(&message.subject)
            && ledger.ended([&topic]).is_none()
            && !ledger.is_void(number)
        {
            note(TopicInfo { topic, latest: message::last(number), time: time_of(&message)?, closed: false });
        }
        Ok(())
    })
    .await?;
    tracing::info!(topics = known.len(), after = ?begun.elapsed(), "read the topics of the log");
    Ok(known.into_values().collect())
}

fn time_of(message: &Message) -> Result<tidings_protocol::Timestamp, EngineError> {
    message
        .info()
        .map(|info| timestamp(info.published))
        .map_err(|error| EngineError::away(format!("a message has no time: {error}")))
}

/// Calls back with each message that a consumer has now, and its number.
async fn each(
    consumer: &PullConsumer,
    bytes: usize,
    mut visit: impl FnMut(u64, Message) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let mut left = consumer.cached_info().num_pending;
    if left == 0 {
        return Ok(());
    }
    let away = |error: &(dyn std::error::Error + 'static)| {
        EngineError::away(format!("failed to read the topics: {}", chain(error)))
    };
    let messages = consumer
        .stream()
        .max_messages_per_batch(PULL_MESSAGES)
        .max_bytes_per_batch(bytes)
        .heartbeat(HEARTBEAT)
        .expires(PULL);
    let mut messages = messages.messages().await.map_err(|error| away(&error))?;
    let mut count = Count::default();
    while left > 0 {
        let next = timeout(ANSWER, messages.next()).await;
        let next = next.map_err(|_| EngineError::away("NATS stopped sending the topics"))?;
        let message = next.ok_or_else(|| EngineError::away("NATS stopped sending the topics"))?;
        let message = message.map_err(|error| away(&error))?;
        let number = {
            let info = count.next(&message)?;
            left = info.pending;
            info.stream_sequence
        };
        visit(number, message)?;
    }
    Ok(())
}
