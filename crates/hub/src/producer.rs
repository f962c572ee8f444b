//! Publishing as a stream: items that are appended one after the other as they come.

use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use tidings_log::{AppendError, Appended, Idempotency};
use tidings_protocol::{Cursor, EndReason, NewEvent, Topic};
use tokio::runtime::Handle;

use crate::Hub;
use stream::Stream;

mod counts;
mod stream;

pub(crate) use counts::ProducerCounts;
pub use counts::{StreamEnd, StreamStats};
pub(crate) use stream::end_abandoned;

/// How a stream of items is published (§2.1).
#[derive(Debug, Clone, Default)]
pub struct ProducerOptions {
    /// Under which the items are known, each with its number: `KEY/1`, `KEY/2` and so on. A producer that was cut off sends
    /// them again from the first one, and those that are there already are passed over.
    pub key: Option<String>,
    /// How many items come before the first one, where a producer sends on only what it has no acknowledgement of.
    pub from: u64,
    /// Whether the topic ends with the stream. One that breaks off instead ends it with the reason `aborted`.
    pub close: bool,
    /// Why the topic ends with the stream, where that is no clean end.
    pub reason: Option<EndReason>,
    /// How long a producer with the same key has to come back, before a stream that broke off ends its topic.
    pub grace: Duration,
}

/// How far a stream of items is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// How many items are as durable as the log promises, those among them that were there already.
    pub events: u64,
    /// How many were there already.
    pub repeated: u64,
    /// The id of the first item.
    pub first: Option<Cursor>,
    /// The id of the last one.
    pub last: Option<Cursor>,
    /// How many bytes of data were appended.
    pub bytes: u64,
    /// Where the items are that became durable last, if they were appended in one piece.
    pub appended: Option<Appended>,
    /// Whether the topic has ended with the stream.
    pub closed: bool,
}

/// Why a stream of items does not go on. What [`Progress`] counts stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// The topic was ended by somebody else.
    #[error("the topic `{topic}` has ended{} and takes no more events", .reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default())]
    Ended {
        /// Which topic.
        topic: Topic,
        /// Why it has ended, where that was no clean end and is known.
        reason: Option<EndReason>,
    },
    /// The log has refused an item.
    #[error(transparent)]
    Refused(#[from] AppendError),
}

/// A stream of items into one topic.
///
/// It appends what it is given in that order: whatever has come while the last items were written is written next. It has no
/// task of its own, so whoever has it awaits [`progress`](Self::progress) beside whatever brings the next item.
///
/// Where it is dropped, it has broken off: what it was given is appended, and then a topic that was to end with it ends with
/// the reason `aborted`.
///
/// ```
/// # use std::sync::Arc;
/// # use tidings_hub::{Hub, HubConfig, ProducerOptions};
/// # use tidings_log::{MemoryLog, Retention};
/// # use tidings_protocol::NewEvent;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let log = MemoryLog::new(Retention::default(), std::time::Duration::from_secs(60));
/// # let hub = Hub::new(Arc::new(log), HubConfig::default());
/// let topic = "chat/42".parse::<tidings_protocol::Topic>()?;
/// let options = ProducerOptions { close: true, ..ProducerOptions::default() };
/// let mut producer = hub.produce(topic.clone(), options).await?;
/// for token in ["Hel", "lo"] {
///     producer.push(NewEvent::text(topic.clone(), token));
/// }
/// let progress = producer.finish().await?;
/// assert_eq!((progress.events, progress.closed), (2, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Producer {
    /// Until the stream has come to its end.
    stream: Option<Box<Stream>>,
    /// What becomes of it where this is dropped.
    ending: Ending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ending {
    Finish,
    Abort(EndReason),
}

/// So much of items waits to be durable before no more is to be read.
pub const PRODUCER_BYTES: usize = 1 << 20;

// === impl ProducerError ===

impl ProducerError {
    /// Whether the topic has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

// === impl ProducerOptions ===

impl ProducerOptions {
    /// The longest grace.
    pub const MAX_GRACE: Duration = Duration::from_secs(600);
    /// The longest key: with a number behind it, it is still one.
    pub const KEY_BYTES: usize = tidings_protocol::limits::IDEMPOTENCY_KEY_BYTES - 21;
}

// === impl Producer ===

impl Producer {
    pub(crate) async fn open(
        hub: Hub,
        topic: Topic,
        options: ProducerOptions,
    ) -> Result<Self, ProducerError> {
        if options
            .key
            .as_ref()
            .is_some_and(|key| !Idempotency::is_key(key) || key.len() > ProducerOptions::KEY_BYTES)
        {
            return Err(AppendError::InvalidKey.into());
        }
        let seat = options.key.clone().map(|key| hub.shared().seats.take((topic.clone(), key)));
        let mut stream = Stream::new(hub, topic, options, seat);
        stream.begin();
        // What has ended already may be what this producer has published before: then its items are there.
        if stream.options.key.is_none() && stream.hub.has_ended(&stream.topic).await {
            let error = stream::ended(&stream.hub, &stream.topic).await;
            stream.count_end(StreamEnd::Stopped);
            return Err(error);
        }
        if stream.options.close {
            stream.remember(true);
            if stream.lease.is_some() && !stream.hub.shared().leases.told().await {
                let topic = &stream.topic;
                tracing::warn!(%topic, "a stream begins of which other hubs know nothing yet: were this hub killed now, its topic would stay open");
            }
        }
        Ok(Self { stream: Some(stream), ending: Ending::Abort(EndReason::aborted()) })
    }

    /// Whether there is room for another item. Where there is none, [`progress`](Self::progress) makes some.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.pending_bytes() < PRODUCER_BYTES
    }

    /// What the items take that are not durable yet.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.waiting_bytes + stream.appending_bytes)
    }

    /// Whether every item is durable.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stream.as_ref().is_none_or(|stream| stream.is_idle())
    }

    /// How far it is.
    #[must_use]
    pub fn so_far(&self) -> Progress {
        self.stream.as_ref().map_or_else(Progress::default, |stream| stream.progress)
    }

    /// Takes an item, of the stream's topic. It is on its way with the next [`progress`](Self::progress).
    pub fn push(&mut self, event: NewEvent) {
        if let Some(stream) = &mut self.stream {
            stream.waiting_bytes += event.data().len() + stream::ITEM_BYTES;
            stream.waiting.push_back(event);
        }
    }

    /// Waits until more items are durable, or the stream cannot go on: where its topic was ended, by whichever hub, that is
    /// known at once. It may be dropped at any point without loss.
    ///
    /// # Errors
    /// [`ProducerError`]; from then on it is always the same.
    pub async fn progress(&mut self) -> Result<Progress, ProducerError> {
        match &mut self.stream {
            Some(stream) => poll_fn(|cx| stream.poll_progress(cx)).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until every item is durable, and ends the topic, where it was to end with the stream. Whatever becomes of this
    /// future, the stream has come to its end.
    ///
    /// # Errors
    /// [`ProducerError`], as [`progress`](Self::progress) has it.
    pub async fn finish(mut self) -> Result<Progress, ProducerError> {
        self.ending = Ending::Finish;
        let Some(stream) = &mut self.stream else { return Ok(Progress::default()) };
        let finished = stream.finish().await;
        if finished.is_ok() {
            self.stream = None;
        } else {
            self.ending = Ending::Abort(EndReason::aborted());
        }
        finished
    }

    /// Appends what it was given, and ends a topic that was to end with the stream for this reason, now or where no producer
    /// with the same key comes back in time.
    pub async fn abort(mut self, reason: EndReason) -> Progress {
        self.ending = Ending::Abort(reason.clone());
        let Some(stream) = &mut self.stream else { return Progress::default() };
        stream.flush_anyway().await;
        let progress = stream.progress;
        if let Some(stream) = self.stream.take() {
            stream.give_up(reason).await;
        }
        progress
    }

    /// Leaves the topic as it is. What was given and is not on its way is not appended.
    pub fn detach(mut self) -> Progress {
        self.stream.take().map_or_else(Progress::default, |mut stream| {
            stream.count_end(StreamEnd::Complete);
            stream.forget();
            stream.progress
        })
    }

    /// Appends what it was given and leaves the topic open, because the hub goes down: whoever opens its journal next waits
    /// for the producer, and ends the topic where it does not come back.
    pub async fn suspend(mut self) -> Progress {
        let Some(mut stream) = self.stream.take() else { return Progress::default() };
        stream.flush_anyway().await;
        stream.leave_to_others();
        stream.count_end(StreamEnd::Suspended);
        stream.progress
    }

    /// Whether a producer with the same key may go on with it.
    #[must_use]
    pub fn may_return(&self) -> bool {
        let options = self.stream.as_ref().map(|stream| &stream.options);
        options.is_some_and(|options| options.key.is_some() && (!options.close || !options.grace.is_zero()))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let ending = self.ending.clone();
        runtime.spawn(async move {
            match ending {
                Ending::Finish => drop(stream.finish().await),
                Ending::Abort(reason) => {
                    stream.flush_anyway().await;
                    stream.give_up(reason).await;
                }
            }
        });
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("topic", &self.stream.as_ref().map(|stream| &stream.topic))
            .field("progress", &self.so_far())
            .finish_non_exhaustive()
    }
}
