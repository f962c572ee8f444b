//! A stream of items on its way to the log, and what becomes of its topic.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tidings_log::{AppendError, Appended, Batch, Close, Idempotency, ReadLimits, Scope};
use tidings_protocol::{Cursor, EndReason, NewEvent, Sequence, Topic};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::counts::{ProducerCounts, StreamEnd};
use super::{ProducerError, ProducerOptions, Progress};
use crate::Hub;
use crate::ends::{End, EndWatch};
use crate::journal::Open;
use crate::leases::{Elsewhere, Lease};
use crate::seats::Seat;

/// A stream of items on its way to the log, with what is needed until its end.
pub(super) struct Stream {
    pub(super) hub: Hub,
    pub(super) topic: Topic,
    pub(super) options: ProducerOptions,
    limits: ReadLimits,
    /// Items that are not on their way to the log.
    pub(super) waiting: VecDeque<NewEvent>,
    pub(super) waiting_bytes: usize,
    /// Those that are.
    appending: Option<Appending>,
    pub(super) appending_bytes: usize,
    /// The sizes of those, one by one where they have keys.
    sizes: Vec<usize>,
    /// How many items are on their way, or were.
    pub(super) sent: u64,
    pub(super) progress: Progress,
    /// Tells of an end by somebody else.
    end: Option<EndWatch>,
    asking: Option<Asking>,
    /// Its place among those with the same key.
    pub(super) seat: Option<Seat>,
    /// What is remembered of it until it has ended, also after a crash.
    pub(super) open: Option<Open>,
    /// What other hubs know of it.
    pub(super) lease: Option<Lease>,
    failed: Option<ProducerError>,
    /// Whether it counts as under way.
    is_counted: bool,
}

type Appending = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Asking = Pin<Box<dyn Future<Output = bool> + Send>>;

enum Answer {
    /// To so many items at once.
    Together(Result<Appended, AppendError>),
    /// To each of them, up to the first that was refused.
    Each(Vec<Result<Appended, AppendError>>),
}

/// What an item takes beside its data, about.
pub(super) const ITEM_BYTES: usize = 128;
/// How many items with keys go to the log at once.
const KEYED_ITEMS: usize = 1_024;
/// How long is rested after the first attempt to end a topic, while the log takes no writes. Each pause is twice the one before.
const END_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: however long the log takes no writes, the topic ends when it does again.
const LONGEST_END_PAUSE: Duration = Duration::from_secs(60);

// === impl Stream ===

impl Stream {
    /// One of which nothing has come yet, and of which nothing is remembered or counted.
    pub(super) fn new(hub: Hub, topic: Topic, options: ProducerOptions, seat: Option<Seat>) -> Box<Self> {
        let limits = hub.log().stream_limits();
        Box::new(Self {
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
            end: None,
            asking: None,
            seat,
            open: None,
            lease: None,
            failed: None,
            is_counted: false,
        })
    }

    /// It is under way from now on, and hears of it where somebody else ends its topic.
    pub(super) fn begin(&mut self) {
        self.end = Some(self.hub.shared().ends.watch(self.topic.clone()));
        self.is_counted = true;
        self.counts().begin();
    }

    fn counts(&self) -> &ProducerCounts {
        &self.hub.shared().producers
    }

    /// It is under way no longer.
    pub(super) fn count_end(&mut self, end: StreamEnd) {
        if std::mem::take(&mut self.is_counted) {
            let end = match &self.failed {
                Some(ProducerError::Ended { .. }) => StreamEnd::Stopped,
                Some(ProducerError::Refused(_)) => StreamEnd::Refused,
                None => end,
            };
            self.counts().end(end);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.appending.is_none()
    }

    pub(super) fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, ProducerError>> {
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
            self.hub.shared().producers.add(appended.count);
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
    pub(super) async fn flush_anyway(&mut self) {
        drop(self.flush().await);
        // What was on its way when something failed is not waited for above.
        if let Some(appending) = self.appending.take() {
            let answer = appending.await;
            drop(self.take(answer));
        }
    }

    pub(super) async fn finish(&mut self) -> Result<Progress, ProducerError> {
        self.flush().await?;
        if self.options.close && !self.progress.closed {
            if let Some(seat) = &self.seat {
                seat.finish();
            }
            // It is this stream that ends the topic now.
            self.end = None;
            let close = Close::for_reason(self.topic.clone(), self.options.reason.clone());
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
    pub(super) fn forget(&mut self) {
        self.hand_over();
        if let Some(open) = self.open.take() {
            open.end();
        }
    }

    /// Nothing is left to be done here. What is remembered of it in the journal is now remembered of another.
    fn hand_over(&mut self) {
        self.seat = None;
        self.lease = None;
    }

    /// Remembers it until it has ended, also after a crash of this hub.
    pub(super) fn remember(&mut self, works: bool) {
        let shared = self.hub.shared();
        self.open = shared.journal.begin(&self.topic, &self.options);
        self.lease = shared.leases.begin(&self.topic, &self.options, works);
    }

    /// It is left to whoever looks after what this hub leaves open.
    pub(super) fn leave_to_others(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.keep();
        }
    }

    /// It has broken off.
    pub(super) async fn give_up(mut self: Box<Self>, reason: EndReason) {
        self.count_end(StreamEnd::Aborted);
        let is_over = matches!(self.failed, Some(ProducerError::Ended { .. }));
        if !self.options.close || is_over {
            return self.forget();
        }
        self.end = None;
        if let Some(seat) = &self.seat {
            seat.leave();
            if seat.is_taken_over() {
                self.open = None;
                return self.hand_over();
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
    async fn wait_for_return(mut self: Box<Self>, grace: Duration, reason: EndReason) {
        if let Some(lease) = &self.lease {
            lease.leave();
        }
        let latest = self.hub.latest_of(&self.topic).await;
        let deleted = self.hub.log().deleted_upto(&self.topic);
        sleep(grace).await;
        // A topic that was deleted is none of its concern, nor what begins anew under its name.
        if self.hub.is_deleted(&self.topic).await || self.hub.log().deleted_upto(&self.topic) != deleted {
            return self.forget();
        }
        if self.is_taken_over(latest).await {
            self.open = None;
            return self.hand_over();
        }
        self.end_for(reason).await;
    }

    /// Whether a producer with the same key has come back since the topic's latest entry was this one.
    async fn is_taken_over(&mut self, latest: Option<Sequence>) -> bool {
        let Some(seat) = &self.seat else { return false };
        if seat.is_taken_over() {
            return true;
        }
        if !self.hub.log().is_shared() {
            return false;
        }
        // Without notes, whatever was published since may be from a producer at another hub.
        let elsewhere = match self.hub.shared().leases.elsewhere(&self.hub, &self.name()).await {
            Some(elsewhere) => elsewhere,
            None => Elsewhere::Waits,
        };
        match elsewhere {
            Elsewhere::Nobody => false,
            Elsewhere::Works => true,
            // Both wait; the one to which it came last still has something of its time.
            Elsewhere::Waits => self.hub.latest_of(&self.topic).await != latest,
        }
    }

    fn name(&self) -> (Topic, Option<String>) {
        (self.topic.clone(), self.options.key.clone())
    }

    async fn end_for(mut self: Box<Self>, reason: EndReason) {
        let close = Close::for_reason(self.topic.clone(), Some(reason));
        let mut pause = END_PAUSE;
        loop {
            match self.hub.close_topic(close.clone(), None).await {
                // Where it has ended, that was somebody else.
                Ok(()) | Err(AppendError::TopicClosed { .. }) => return self.forget(),
                // Whoever opens the journal next, or looks after this hub, tries it again.
                Err(_) if self.hub.is_closed() => return self.leave_to_others(),
                Err(error) => {
                    let topic = &self.topic;
                    tracing::warn!(%topic, %error, "a stream broke off, and its topic cannot be ended now");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_END_PAUSE);
        }
    }
}

pub(super) async fn ended(hub: &Hub, topic: &Topic) -> ProducerError {
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
        // It is there before anybody can come back.
        let seat = options.key.clone().map(|key| {
            let seat = hub.shared().seats.take((topic.clone(), key));
            seat.leave();
            seat
        });
        let grace = if seat.is_some() { options.grace } else { Duration::ZERO };
        let mut stream = Stream::new(hub.clone(), topic, options, seat);
        stream.remember(false);
        runtime.spawn(stream.wait_for_return(grace, EndReason::aborted()));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.count_end(StreamEnd::Aborted);
    }
}
