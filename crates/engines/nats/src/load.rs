//! The topics of a log, for a hub that starts.
//!
//! NATS knows the last message of each subject, so that no more is read than there are topics; only ends of topics, and
//! messages with events of several, have to be read all.

use std::collections::HashMap;

use async_nats::jetstream::consumer::{DeliverPolicy, PullConsumer};
use async_nats::jetstream::{Message, stream::Stream};
use futures_util::StreamExt as _;
use tidings_engine::EngineError;
use tidings_log::{BoxFuture, TopicInfo};
use tidings_protocol::{Closing, Sequence, Topic};
use tokio::time::{Instant, timeout_at};

use crate::feed::{Count, consumer_of, timestamp};
use crate::ledger::Ledger;
use crate::limits::{ANSWER, CONSUMER, HEARTBEAT, PULL, PULL_MESSAGES};
use crate::message;
use crate::options::chain;
use crate::subject::Subjects;

/// Puts a message into the stream, and says which number it has.
type Mark<'a> = &'a (dyn Fn() -> BoxFuture<'a, Result<u64, EngineError>> + Sync);

/// The last messages of the stream.
#[derive(Debug, Default)]
struct Lasts {
    /// The last message of each topic that has one of its own.
    topics: HashMap<Topic, TopicInfo>,
    void: u64,
    end: u64,
    batch: u64,
}

/// The topics, and which of them have ended. NATS may send so many bytes ahead.
///
/// The nodes that are read may be behind the leader of the stream, and the count of what is left may be wrong. But each
/// node has the messages in order. So `mark` puts one into the stream when the consumer is there: where that comes, or a
/// later one, all that was there has come. And that pass says up to where the others have to come.
pub(crate) async fn topics(
    stream: &Stream,
    bytes: usize,
    subjects: &Subjects,
    ledger: &mut Ledger,
    mark: Mark<'_>,
) -> Result<(Vec<TopicInfo>, Vec<(Topic, Sequence)>), EngineError> {
    let begun = Instant::now();
    let lasts = match Lasts::find(stream, DeliverPolicy::LastPerSubject, bytes, subjects, mark).await? {
        Some(lasts) => lasts,
        None => {
            tracing::warn!(
                "NATS does not give the last message of each topic; reading the subjects of all messages"
            );
            let lasts = Lasts::find(stream, DeliverPolicy::All, bytes, subjects, mark).await?;
            lasts.ok_or_else(silent)?
        }
    };
    // In the order of the stream, so that each message is judged by the ends before it.
    let mut several = Vec::new();
    let Lasts { void, end, batch, .. } = lasts;
    for (filter, last) in [(subjects.void(), void), (subjects.ends(), end), (subjects.batch(), batch)] {
        if last == 0 {
            continue;
        }
        let is_void = filter == subjects.void();
        let consumer = consumer_of(stream, filter, false, DeliverPolicy::All, CONSUMER).await?;
        let came = each(&consumer, bytes, last, false, |number, message| {
            if is_void {
                message::void(&message.payload).into_iter().for_each(|number| ledger.note_void(number));
            } else if let Ok(contents) = message::read(&message.payload) {
                several.push((number, time_of(&message)?, contents));
            }
            Ok(())
        });
        if !came.await? {
            return Err(silent());
        }
    }
    several.sort_by_key(|(number, ..)| *number);
    let (mut known, mut deletions) = (HashMap::<Topic, TopicInfo>::new(), HashMap::new());
    for (number, time, contents) in several {
        if ledger.note(number, time, &contents) {
            for event in crate::feed::entries(number, time, contents) {
                if event.deletes() {
                    deletions.insert(event.topic.clone(), event.sequence);
                    continue;
                }
                let closed = event.closing != Closing::No;
                note(
                    &mut known,
                    TopicInfo { topic: event.topic.clone(), latest: event.sequence, time, closed },
                );
            }
        }
    }
    for (topic, last) in lasts.topics {
        // What came after a topic's end counts for nothing, or begins the topic anew.
        if ledger.ended([&topic]).is_none() && !ledger.is_void(message::after(last.latest) - 1) {
            note(&mut known, last);
        }
    }
    tracing::info!(topics = known.len(), after = ?begun.elapsed(), "read the topics of the log");
    Ok((known.into_values().collect(), deletions.into_iter().collect()))
}

// === impl Lasts ===

impl Lasts {
    /// Looks through a stream's subjects; `None` where NATS does not give all that it has promised. (So does NATS 2.9 where
    /// somebody has deleted the last message of a subject.)
    async fn find(
        stream: &Stream,
        policy: DeliverPolicy,
        bytes: usize,
        subjects: &Subjects,
        mark: Mark<'_>,
    ) -> Result<Option<Self>, EngineError> {
        let (void, ends, batch) = (subjects.void(), subjects.ends(), subjects.batch());
        let mut lasts = Self::default();
        let counted = matches!(policy, DeliverPolicy::LastPerSubject);
        let consumer = consumer_of(stream, subjects.all(), true, policy, CONSUMER).await?;
        let marked = mark().await?;
        let came = each(&consumer, bytes, marked, counted, |number, message| {
            let subject = message.subject.as_str();
            if subject == void {
                lasts.void = number;
            } else if subject == batch {
                lasts.batch = number;
            } else if subject.starts_with(ends.trim_end_matches('>')) {
                lasts.end = number;
            } else if let Some(topic) = subjects.topic_of(subject) {
                let (latest, time) = (message::last(number), time_of(&message)?);
                note(&mut lasts.topics, TopicInfo { topic, latest, time, closed: false });
            }
            Ok(())
        });
        Ok(came.await?.then_some(lasts))
    }
}

fn note(known: &mut HashMap<Topic, TopicInfo>, info: TopicInfo) {
    match known.get_mut(&info.topic) {
        Some(known) if known.latest < info.latest => *known = info,
        Some(_) => {}
        None => drop(known.insert(info.topic.clone(), info)),
    }
}

fn silent() -> EngineError {
    EngineError::away("NATS stopped sending the topics, or the node that sends them is behind the others")
}

fn time_of(message: &Message) -> Result<tidings_protocol::Timestamp, EngineError> {
    message
        .info()
        .map(|info| timestamp(info.published))
        .map_err(|error| EngineError::away(format!("a message has no time: {error}")))
}

/// Calls back with each message that a consumer gives up to `upto`, and beyond it until nothing is left that was counted,
/// where `counted`. Says whether it came to that.
async fn each(
    consumer: &PullConsumer,
    bytes: usize,
    upto: u64,
    counted: bool,
    mut visit: impl FnMut(u64, Message) -> Result<(), EngineError>,
) -> Result<bool, EngineError> {
    let (mut left, mut number) = (consumer.cached_info().num_pending, 0);
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
    let mut deadline = Instant::now() + ANSWER;
    while number < upto || (counted && left > 0) {
        let Ok(Some(message)) = timeout_at(deadline, messages.next()).await else { return Ok(false) };
        let message = message.map_err(|error| away(&error))?;
        if number < upto {
            // Beyond that, others may publish for ever.
            deadline = Instant::now() + ANSWER;
        }
        (number, left) = {
            let info = count.next(&message)?;
            (info.stream_sequence, info.pending)
        };
        visit(number, message)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::{self, Context};
    use tidings_engine_servers::NatsServer;
    use tidings_protocol::NewEvent;

    use super::*;

    const BYTES: usize = 1 << 20;

    fn body(seen: u64, topics: &[&str], closing: Closing) -> Vec<u8> {
        let mut body = message::begin(seen);
        for topic in topics {
            message::add(&NewEvent::text(topic.parse().unwrap(), "x"), closing, &mut body);
        }
        body
    }

    async fn put(context: &Context, subject: &str, body: Vec<u8>) -> u64 {
        context.publish(subject.to_owned(), body.into()).await.unwrap().await.unwrap().sequence
    }

    /// A stream with an end and two topics, on a server.
    async fn begin(server: &NatsServer) -> (Context, Stream) {
        let address = format!("127.0.0.1:{}", server.port());
        let context = jetstream::new(async_nats::connect(address).await.unwrap());
        let subjects = vec![Subjects::new("LOG").all()];
        let config = jetstream::stream::Config { name: "LOG".into(), subjects, ..Default::default() };
        let stream = context.create_stream(config).await.unwrap();
        put(&context, "LOG.topic.early", body(0, &["early"], Closing::No)).await;
        put(&context, "LOG.end.ended", body(0, &["ended"], Closing::After)).await;
        (context, stream)
    }

    async fn load(stream: &Stream, mark: Mark<'_>) -> Vec<(String, u64, bool)> {
        let mut ledger = Ledger::new(1);
        let (found, _) = topics(stream, BYTES, &Subjects::new("LOG"), &mut ledger, mark).await.unwrap();
        let found = found.into_iter().map(|info| (info.topic.to_string(), info.latest / 65_536, info.closed));
        let mut found: Vec<_> = found.collect();
        found.sort();
        found
    }

    /// To a consumer, a node that is behind is a stream to which comes later what the leader has already.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_comes_to_a_node_only_later_is_waited_for() {
        let Some(server) = NatsServer::start() else { return };
        let (context, stream) = begin(&server).await;
        let late = async || {
            put(&context, "LOG.topic.late", body(2, &["late"], Closing::No)).await;
            put(&context, "LOG.batch", body(2, &["late/a", "late/b"], Closing::No)).await;
            put(&context, "LOG.end.early", body(2, &["early"], Closing::After)).await;
            put(&context, "LOG.topic.early", body(2, &["early"], Closing::No)).await;
            Ok(put(&context, "LOG.mark", Vec::new()).await)
        };
        let found = load(&stream, &|| Box::pin(late())).await;
        let expected = [
            ("early", 5, true),
            ("ended", 2, true),
            ("late", 3, false),
            ("late/a", 3, false),
            ("late/b", 4, false),
        ];
        // The first of two events has a number that is just below the one of its message.
        assert_eq!(found, expected.map(|(topic, at, end)| (topic.to_owned(), at, end)));
    }

    /// NATS 2.9 then counts a message that it does not give.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn topics_are_found_where_their_last_message_was_deleted() {
        let Some(server) = NatsServer::start() else { return };
        let (context, stream) = begin(&server).await;
        put(&context, "LOG.topic.early", body(2, &["early"], Closing::No)).await;
        stream.delete_message(3).await.unwrap();
        let found =
            load(&stream, &|| Box::pin(async { Ok(put(&context, "LOG.mark", Vec::new()).await) })).await;
        assert_eq!(found, [("early".to_owned(), 1, false), ("ended".to_owned(), 2, true)]);
    }
}
