//! Publishing as a stream: items that are appended one after the other as they come.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tidings_log::{AppendError, Appended, Batch, Close, Idempotency, ReadLimits, Scope};
use tidings_protocol::{Cursor, EndReason, NewEvent, Topic};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::Hub;
use crate::ends::{End, EndWatch};
use crate::journal::Open;
use crate::seats::Seat;

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

struct Stream {
    hub: Hub,
    topic: Topic,
    options: ProducerOptions,
    limits: ReadLimits,
    /// Items that are not on their way to the log.
    waiting: VecDeque<NewEvent>,
    waiting_bytes: usize,
    /// Those that are.
    appending: Option<Appending>,
    appending_bytes: usize,
    /// The sizes of those, one by one where they have keys.
    sizes: Vec<usize>,
    /// How many items are on their way, or were.
    sent: u64,
    progress: Progress,
    /// Tells of an end by somebody else.
    end: Option<EndWatch>,
    asking: Option<Asking>,
    /// Its place among those with the same key.
    seat: Option<Seat>,
    /// What is remembered of it until it has ended, also after a crash.
    open: Option<Open>,
    failed: Option<ProducerError>,
    /// Whether it counts as under way.
    is_counted: bool,
}

/// What a hub's streams of items have come to.
#[derive(Debug, Default)]
pub(crate) struct ProducerCounts {
    under_way: AtomicU64,
    items: AtomicU64,
    ends: [AtomicU64; StreamEnd::ALL.len()],
}

/// What a hub's streams of items have come to, so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// How many are under way.
    pub under_way: u64,
    /// How many items were appended, or were there already.
    pub items: u64,
    /// How many have ended in each way.
    pub ends: Vec<(StreamEnd, u64)>,
}

/// How a stream of items has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamEnd {
    /// With its last item.
    Complete,
    /// It broke off.
    Aborted,
    /// Somebody else had ended its topic.
    Stopped,
    /// The log refused an item.
    Refused,
    /// The hub shut down.
    Suspended,
}

type Appending = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Asking = Pin<Box<dyn Future<Output = bool> + Send>>;

enum Answer {
    /// To so many items at once.
    Together(Result<Appended, AppendError>),
    /// To each of them, up to the first that was refused.
    Each(Vec<Result<Appended, AppendError>>),
}

/// So much of items waits to be durable before no more is to be read.
pub const PRODUCER_BYTES: usize = 1 << 20;
/// What an item takes beside its data, about.
const ITEM_BYTES: usize = 128;
/// How many items with keys go to the log at once.
const KEYED_ITEMS: usize = 1_024;
/// How long is rested between attempts to end a topic, while the log takes no writes, in seconds.
const END_PAUSES: [u64; 6] = [1, 2, 4, 8, 16, 32];

// === impl ProducerError ===

impl ProducerError {
    /// Whether the topic has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

// === impl StreamEnd ===

impl StreamEnd {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Complete, Self::Aborted, Self::Stopped, Self::Refused, Self::Suspended];

    /// The name, as metrics have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
            Self::Suspended => "suspended",
        }
    }
}

// === impl ProducerCounts ===

impl ProducerCounts {
    pub(crate) fn stats(&self) -> StreamStats {
        let ends = StreamEnd::ALL.into_iter().zip(&self.ends);
        StreamStats {
            under_way: self.under_way.load(Ordering::Relaxed),
            items: self.items.load(Ordering::Relaxed),
            ends: ends.map(|(end, count)| (end, count.load(Ordering::Relaxed))).collect(),
        }
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
        let limits = hub.log().stream_limits();
        let seat = options.key.clone().map(|key| hub.shared().seats.take((topic.clone(), key)));
        let end = hub.shared().ends.watch(topic.clone());
        let mut stream = Box::new(Stream {
            hub,
            topic,
            options,
            limits,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            appending: None,
            appending_bytes: 0,
            sent: 0,
            sizes: Vec::new(),
            progress: Progress::default(),
            end: Some(end),
            asking: None,
            seat,
            open: None,
            failed: None,
            is_counted: true,
        });
        stream.counts().under_way.fetch_add(1, Ordering::Relaxed);
        // What has ended already may be what this producer has published before: then its items are there.
        if stream.options.key.is_none() && stream.hub.has_ended(&stream.topic).await {
            let error = ended(&stream.hub, &stream.topic).await;
            stream.count_end(StreamEnd::Stopped);
            return Err(error);
        }
        if stream.options.close {
            stream.open = stream.hub.shared().journal.begin(&stream.topic, &stream.options);
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
            stream.waiting_bytes += event.data().len() + ITEM_BYTES;
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

// === impl Stream ===

impl Stream {
    fn counts(&self) -> &ProducerCounts {
        &self.hub.shared().producers
    }

    /// It is under way no longer.
    fn count_end(&mut self, end: StreamEnd) {
        if std::mem::take(&mut self.is_counted) {
            let end = match &self.failed {
                Some(ProducerError::Ended { .. }) => StreamEnd::Stopped,
                Some(ProducerError::Refused(_)) => StreamEnd::Refused,
                None => end,
            };
            let counts = self.counts();
            counts.under_way.fetch_sub(1, Ordering::Relaxed);
            if let Some(count) =
                StreamEnd::ALL.iter().position(|own| *own == end).and_then(|at| counts.ends.get(at))
            {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.appending.is_none()
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, ProducerError>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(error.clone()));
        }
        if self.poll_end(cx).is_ready() {
            return Poll::Ready(Err(self.fail(None)));
        }
        self.send();
        let Some(appending) = &mut self.appending else { return Poll::Pending };
        let answer = ready!(appending.as_mut().poll(cx));
        self.appending = None;
        self.appending_bytes = 0;
        let taken = self.take(answer);
        // The next ones need not wait until somebody asks how far it is.
        self.send();
        Poll::Ready(match taken {
            Ok(()) => Ok(self.progress),
            Err(error) => Err(self.fail(Some(error))),
        })
    }

    /// Whether somebody else has ended the topic.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(asking) = &mut self.asking {
                let has_ended = ready!(asking.as_mut().poll(cx));
                self.asking = None;
                if has_ended {
                    return Poll::Ready(());
                }
            }
            let Some(end) = &self.end else { return Poll::Pending };
            match ready!(end.poll(cx)) {
                End::Told(reason) => {
                    self.end = None;
                    // A producer with the same key has ended it: the items are there.
                    if self.seat.as_ref().is_some_and(Seat::is_finished) && reason == self.options.reason {
                        return Poll::Pending;
                    }
                    self.failed = Some(ProducerError::Ended { topic: self.topic.clone(), reason });
                    return Poll::Ready(());
                }
                End::Doubtful => {
                    let (hub, topic) = (self.hub.clone(), self.topic.clone());
                    self.asking = Some(Box::pin(async move { hub.has_ended(&topic).await }));
                }
            }
        }
    }

    /// Notes why it does not go on; what waits is given up.
    fn fail(&mut self, error: Option<AppendError>) -> ProducerError {
        let error = match (self.failed.take(), error) {
            (Some(failed), _) => failed,
            (None, Some(AppendError::TopicClosed { topic })) => ProducerError::Ended { topic, reason: None },
            (None, Some(error)) => error.into(),
            (None, None) => ProducerError::Ended { topic: self.topic.clone(), reason: None },
        };
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.failed = Some(error.clone());
        error
    }

    /// Sends what waits on its way, where nothing else is.
    fn send(&mut self) {
        if self.appending.is_some() || self.waiting.is_empty() || self.failed.is_some() {
            return;
        }
        let most = if self.options.key.is_some() { KEYED_ITEMS } else { self.limits.entries };
        let mut bytes = 0;
        let mut count = 0;
        for event in self.waiting.iter().take(most) {
            bytes += event.data().len() + ITEM_BYTES;
            if count > 0 && bytes > self.limits.bytes {
                bytes -= event.data().len() + ITEM_BYTES;
                break;
            }
            count += 1;
        }
        let events: Vec<_> = self.waiting.drain(..count).collect();
        if self.waiting.is_empty() {
            // A burst is over: a stream that goes on slowly keeps nothing of it.
            self.waiting = VecDeque::new();
        }
        self.waiting_bytes -= bytes;
        self.appending_bytes = bytes;
        self.sizes.clear();
        if self.options.key.is_some() {
            self.sizes.extend(events.iter().map(|event| event.data().len()));
        } else {
            self.sizes.push(bytes - count * ITEM_BYTES);
        }
        let first = self.options.from + self.sent + 1;
        self.sent += count as u64;
        let hub = self.hub.clone();
        self.appending = Some(match &self.options.key {
            None => Box::pin(async move {
                let batch = Batch { events, close: None, idempotency: None };
                Answer::Together(hub.publish(batch).await.map(|published| published.appended))
            }),
            Some(key) => {
                let scope = Scope::Topic(self.topic.clone());
                let keyed = |(event, number): (NewEvent, u64)| Batch {
                    idempotency: Some(Idempotency { scope: scope.clone(), key: format!("{key}/{number}") }),
                    ..Batch::of(event)
                };
                let batches = events.into_iter().zip(first..).map(keyed).collect();
                Box::pin(async move { Answer::Each(hub.publish_each(batches).await) })
            }
        });
    }

    /// Takes note of what became of items.
    fn take(&mut self, answer: Answer) -> Result<(), AppendError> {
        let answers = match answer {
            Answer::Together(answer) => vec![answer],
            Answer::Each(answers) => answers,
        };
        self.progress.appended = None;
        let alone = answers.len() == 1;
        for (answer, size) in answers.into_iter().zip(std::mem::take(&mut self.sizes)) {
            let appended = answer?;
            if appended.count == 0 {
                continue;
            }
            let progress = &mut self.progress;
            progress.events += u64::from(appended.count);
            if appended.duplicate {
                progress.repeated += u64::from(appended.count);
            } else {
                progress.bytes += size as u64;
            }
            progress.appended = Some(appended).filter(|_| alone);
            self.hub.shared().producers.items.fetch_add(u64::from(appended.count), Ordering::Relaxed);
            progress.first.get_or_insert(Cursor::new(appended.epoch, appended.first));
            progress.last = Some(Cursor::new(appended.epoch, appended.last()));
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ProducerError> {
        while !self.is_idle() {
            poll_fn(|cx| self.poll_progress(cx)).await?;
        }
        match &self.failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Appends what can be appended.
    async fn flush_anyway(&mut self) {
        drop(self.flush().await);
        // What was on its way when something failed is not waited for above.
        if let Some(appending) = self.appending.take() {
            let answer = appending.await;
            drop(self.take(answer));
        }
    }

    async fn finish(&mut self) -> Result<Progress, ProducerError> {
        self.flush().await?;
        if self.options.close && !self.progress.closed {
            if let Some(seat) = &self.seat {
                seat.finish();
            }
            // It is this stream that ends the topic now.
            self.end = None;
            let close = Close { topic: self.topic.clone(), reason: self.options.reason.clone() };
            let key = self.options.key.as_ref().map(|key| format!("{key}/end"));
            match self.hub.close_topic(close, key).await {
                Ok(()) => self.progress.closed = true,
                Err(error) => return Err(self.fail(Some(error))),
            }
        }
        self.count_end(StreamEnd::Complete);
        self.forget();
        Ok(self.progress)
    }

    /// Nothing is left to be done, also not after a crash.
    fn forget(&mut self) {
        self.seat = None;
        if let Some(open) = self.open.take() {
            open.end();
        }
    }

    /// It has broken off.
    async fn give_up(mut self: Box<Self>, reason: EndReason) {
        self.count_end(StreamEnd::Aborted);
        let is_over = matches!(self.failed, Some(ProducerError::Ended { .. }));
        if !self.options.close || is_over {
            return self.forget();
        }
        self.end = None;
        if let Some(seat) = &self.seat {
            seat.leave();
            if seat.is_taken_over() {
                // What is remembered of it is now remembered of the other.
                self.open = None;
                return self.forget();
            }
        }
        if self.options.grace.is_zero() || self.seat.is_none() {
            return self.end_for(reason).await;
        }
        // Whoever waits here keeps nothing else.
        let grace = self.options.grace;
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                self.wait_for_return(grace, reason).await;
            });
        }
    }

    /// Ends the topic where no producer with the same key comes back in time, to this hub or to another one.
    pub(crate) async fn wait_for_return(mut self: Box<Self>, grace: Duration, reason: EndReason) {
        let latest = self.hub.latest_of(&self.topic).await;
        sleep(grace).await;
        let is_taken_over = self.seat.as_ref().is_some_and(Seat::is_taken_over);
        if is_taken_over || self.hub.latest_of(&self.topic).await != latest {
            self.open = None;
            return self.forget();
        }
        self.end_for(reason).await;
    }

    async fn end_for(mut self: Box<Self>, reason: EndReason) {
        let close = Close { topic: self.topic.clone(), reason: Some(reason) };
        for pause in END_PAUSES {
            match self.hub.close_topic(close.clone(), None).await {
                // Where it has ended, that was somebody else.
                Ok(()) | Err(AppendError::TopicClosed { .. }) => return self.forget(),
                Err(error) => {
                    let topic = &self.topic;
                    tracing::warn!(%topic, %error, "a stream broke off, and its topic cannot be ended now");
                }
            }
            sleep(Duration::from_secs(pause)).await;
        }
        // Whoever opens the journal next tries it again.
    }
}

async fn ended(hub: &Hub, topic: &Topic) -> ProducerError {
    let reason = match hub.latest_of(topic).await {
        Some(latest) => hub.end_reason(topic, latest).await.ok().flatten(),
        None => None,
    };
    ProducerError::Ended { topic: topic.clone(), reason }
}

/// Ends the topics of streams that a hub left open when it ended, each where its producer does not come back in time.
pub(crate) fn end_abandoned(hub: &Hub, left: Vec<(Topic, ProducerOptions)>) {
    let Ok(runtime) = Handle::try_current() else { return };
    for (topic, options) in left {
        let hub = hub.clone();
        // It is there before anybody can come back.
        let seat = options.key.clone().map(|key| {
            let seat = hub.shared().seats.take((topic.clone(), key));
            seat.leave();
            seat
        });
        runtime.spawn(async move {
            let grace = if seat.is_some() { options.grace } else { Duration::ZERO };
            let open = hub.shared().journal.begin(&topic, &options);
            let limits = hub.log().stream_limits();
            let stream = Box::new(Stream {
                topic,
                options,
                limits,
                waiting: VecDeque::new(),
                waiting_bytes: 0,
                appending: None,
                appending_bytes: 0,
                sent: 0,
                sizes: Vec::new(),
                progress: Progress::default(),
                end: None,
                asking: None,
                seat,
                open,
                failed: None,
                is_counted: false,
                hub,
            });
            stream.wait_for_return(grace, EndReason::aborted()).await;
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.count_end(StreamEnd::Aborted);
    }
}
