use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, ReplayPolicy, pull};
use async_nats::jetstream::message::Info;
use async_nats::jetstream::{Message, stream::Stream as JetStream};
use futures_util::{FutureExt as _, StreamExt as _};
use tidings_engine::{EngineError, Fed, Feed};
use tidings_log::BoxFuture;
use tidings_protocol::{Event, Timestamp};
use tokio::time::{sleep, timeout};

use crate::connection::{Connection, lost, pull_bytes};
use crate::epoch;
use crate::limits::{ASK_AGAIN, CONSUMER, FED, HEARTBEAT, PROBE, PULL, PULL_MESSAGES, SILENCE};
use crate::message::{self, Contents};
use crate::options::chain;
use crate::read;
use crate::stream::first_kept;

/// What comes into a stream, in order: a consumer of its own, whose count of messages tells whether one is missing.
pub(crate) struct NatsFeed {
    connection: Arc<Connection>,
    consumer: PullConsumer,
    /// How often it was asked before it gave anything.
    tries: u32,
    messages: pull::Stream,
    /// The last message that was given.
    number: u64,
    count: Count,
    /// What went wrong after what was given last.
    failed: Option<EngineError>,
}

/// Counts what comes from a consumer. NATS sends each message at most once, so that one is missing where, for instance, the
/// way between two nodes of a cluster broke; only the consumer's own count tells.
#[derive(Debug, Default)]
pub(crate) struct Count(u64);

// === impl NatsFeed ===

impl NatsFeed {
    /// Follows from after a message.
    pub(crate) async fn begin(connection: Arc<Connection>, after: u64) -> Result<Self, EngineError> {
        let policy = DeliverPolicy::ByStartSequence { start_sequence: after + 1 };
        let consumer = consumer(&connection.stream, policy, CONSUMER).await?;
        let messages = pull(&consumer, &connection).await?;
        let count = Count::default();
        Ok(Self { connection, consumer, tries: 0, messages, number: after, count, failed: None })
    }

    /// Takes one message, and adds its entries to `fed`.
    async fn take(
        &mut self,
        message: Result<Message, pull::MessagesError>,
        fed: &mut Fed,
    ) -> Result<(), EngineError> {
        let message =
            message.map_err(|error| EngineError::away(format!("failed to follow: {}", chain(&error))))?;
        let info = self.count.next(&message)?;
        if info.stream_sequence <= self.number {
            return Err(EngineError::away("messages are out of order"));
        }
        let next = self.number + 1;
        if info.stream_sequence > next
            && read::look(&self.connection, next, info.stream_sequence).await? > next
        {
            return Err(overtaken());
        }
        self.number = info.stream_sequence;
        fed.next = message::last(self.number);
        let time = timestamp(info.published);
        let subjects = &self.connection.subjects;
        let subject = message.subject.as_str();
        if subject == subjects.mark() {
            return Ok(());
        }
        if subject == subjects.void()
            && let Some(number) = message::void(&message.payload)
        {
            self.connection.ledger().note_void(number);
            return Ok(());
        }
        if subject == subjects.epoch()
            && let Some(told) = epoch::read(&message.payload)
        {
            // What is before the message that decided is an epoch that another one has followed.
            let begun = self.connection.begun;
            let renewed = self.number > begun.number && told != begun.epoch;
            return if renewed { Err(EngineError::Renewed) } else { Ok(()) };
        }
        match message::read(&message.payload) {
            Ok(contents) if self.connection.ledger().note(self.number, time, &contents) => {
                fed.entries.extend(entries(self.number, time, contents));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(number = self.number, subject = %message.subject, %error, "passed over a message");
            }
        }
        Ok(())
    }

    /// Where all was discarded that was still to come, nothing comes that would show it.
    /// Where that cannot be said now, it is asked again; and whether the engine is there, the heartbeats tell.
    async fn is_overtaken(&self) -> bool {
        let asked = timeout(PROBE, self.connection.stream.get_info()).await;
        asked.is_ok_and(|info| info.is_ok_and(|info| first_kept(&info.state) > self.number + 1))
    }

    async fn next_now(&mut self) -> Result<Fed, EngineError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut fed = Fed { entries: Vec::new(), next: message::last(self.number) };
        let connection = Arc::clone(&self.connection);
        let first = loop {
            let first = tokio::select! {
                biased;
                () = connection.lost.cancelled() => return Err(lost()),
                first = timeout(SILENCE, self.messages.next()) => first,
            };
            match first {
                Err(_) => {
                    return if self.is_overtaken().await { Err(overtaken()) } else { Ok(fed) };
                }
                // The node that keeps the consumer may have to become known to the one that is asked.
                Ok(Some(Err(_))) if self.count.0 == 0 && self.tries < ASK_AGAIN.0 => self.tries += 1,
                Ok(first) => break first,
            }
            sleep(ASK_AGAIN.1).await;
            self.messages = pull(&self.consumer, &connection).await?;
        };
        let first = first.ok_or_else(|| EngineError::away("NATS has ended the feed"))?;
        self.take(first, &mut fed).await?;
        while fed.entries.len() < FED
            && let Some(Some(next)) = self.messages.next().now_or_never()
        {
            if let Err(error) = self.take(next, &mut fed).await {
                self.failed = Some(error);
                break;
            }
        }
        connection.progress.send_replace(self.number);
        Ok(fed)
    }
}

// === impl Count ===

impl Count {
    /// What is known of the next message, if it is the next one.
    pub(crate) fn next<'a>(&mut self, message: &'a Message) -> Result<Info<'a>, EngineError> {
        let info =
            message.info().map_err(|error| EngineError::away(format!("a message has no number: {error}")))?;
        self.0 += 1;
        if info.consumer_sequence != self.0 {
            return Err(EngineError::away("messages are missing"));
        }
        Ok(info)
    }
}

impl Feed for NatsFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Fed, EngineError>> {
        Box::pin(self.next_now())
    }
}

fn overtaken() -> EngineError {
    EngineError::away("messages were discarded before this hub had read them")
}

/// Asks a consumer for what it has, and for what comes.
async fn pull(consumer: &PullConsumer, connection: &Connection) -> Result<pull::Stream, EngineError> {
    let messages = consumer
        .stream()
        .max_messages_per_batch(PULL_MESSAGES)
        .max_bytes_per_batch(pull_bytes(&connection.client))
        .heartbeat(HEARTBEAT)
        .expires(PULL);
    let messages = messages.messages().await;
    messages.map_err(|error| EngineError::away(format!("failed to follow: {}", chain(&error))))
}

/// A consumer that reads the stream once, in order, and is forgotten after `unused`.
pub(crate) async fn consumer(
    stream: &JetStream,
    deliver_policy: DeliverPolicy,
    unused: Duration,
) -> Result<PullConsumer, EngineError> {
    consumer_of(stream, String::new(), false, deliver_policy, unused).await
}

/// The same, of some subjects, and perhaps without bodies.
pub(crate) async fn consumer_of(
    stream: &JetStream,
    filter_subject: String,
    headers_only: bool,
    deliver_policy: DeliverPolicy,
    unused: Duration,
) -> Result<PullConsumer, EngineError> {
    let config = pull::Config {
        deliver_policy,
        filter_subject,
        headers_only,
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        inactive_threshold: unused,
        // It is of no use to anybody but who reads it now.
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let made = stream.create_consumer(config).await;
    made.map_err(|error| EngineError::away(format!("failed to read the stream: {}", chain(&error))))
}

/// The entries of a message.
pub(crate) fn entries(number: u64, time: Timestamp, contents: Contents) -> impl Iterator<Item = Arc<Event>> {
    let first = message::first(number, contents.entries.len());
    let numbered = (first..).zip(contents.entries);
    numbered.map(move |(sequence, (event, closing))| Arc::new(event.at(sequence, time, closing)))
}

pub(crate) fn timestamp(time: async_nats::datetime::DateTime) -> Timestamp {
    let millis = time.unix_timestamp_nanos() / 1_000_000;
    Timestamp::from_millis(u64::try_from(millis).unwrap_or_default())
}
