use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_log::{
    AppendError, Appended, Batch, Bounds, Chunk, Close, Follower, Idempotency, Log, LogStats, LogUnavailable,
    Position, ReadError, ReadLimits, Scope, TopicInfo, TopicQuery,
};
use tidings_protocol::{
    Cursor, EndReason, Epoch, Gap, GapReason, Lineage, Selection, Sequence, Start, Topic,
};

use crate::hub_state::HubState;
use crate::leases;
use crate::producer::end_abandoned;
use crate::tail::Tail;
use crate::task_waker::TaskWaker;
use crate::{
    Audience, Census, End, Entry, Producer, ProducerError, ProducerOptions, PullLimits, Recent, StreamStats,
    Subscription, Supervisor, ThreadFailure,
};

/// How a hub is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubConfig {
    /// Memory for the newest entries and what they are framed as for readers, in bytes (`tail-bytes`).
    pub tail_bytes: usize,
    /// The most topics of the log (`max-topics`). Each takes some 140 bytes beside its name for as long as its last event is
    /// kept; where there are as many, a publication to a new one is refused with [`AppendError::Full`].
    pub max_topics: usize,
}

/// One log and those who read it. Clones are the same hub.
///
/// ```
/// # use std::sync::Arc;
/// use tidings_hub::{Hub, HubConfig, PullLimits};
/// use tidings_log::{Batch, MemoryLog, Retention};
/// use tidings_protocol::{NewEvent, Selection, Start, Topic};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let log = MemoryLog::new(Retention::default(), std::time::Duration::from_secs(3_600));
/// let hub = Hub::new(Arc::new(log), HubConfig::default());
/// let topic = Topic::new("orders/42")?;
/// hub.publish(Batch::of(NewEvent::text(topic.clone(), "shipped"))).await?;
///
/// let mut subscription = hub.subscribe(Selection::new([topic.into()]), Start::Earliest).await?;
/// let pull = subscription.next(PullLimits::default()).await?;
/// assert_eq!(pull.entries[0].event().data, "shipped");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hub {
    log: Arc<dyn Log>,
    shared: Arc<HubState>,
    tasks: Arc<TaskWaker>,
    supervisor: Supervisor,
    max_topics: usize,
    /// Whether whoever runs the hub was told that there are as many topics as there may be.
    told_of_topics: Arc<AtomicBool>,
}

/// Why a hub does not do all that it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Its log takes no writes.
    #[error(transparent)]
    Log(#[from] LogUnavailable),
    /// A thread of its own, or of who serves it, has ended.
    #[error(transparent)]
    Thread(#[from] ThreadFailure),
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Where it is in which log, and whether it was known before.
    pub appended: Appended,
}

/// What a hub and its log can say of themselves to whoever runs them.
#[derive(Debug, Clone, Default)]
pub struct HubStats {
    /// What the log says.
    pub log: LogStats,
    /// Topics in memory.
    pub topics: u64,
    /// Entries in memory.
    pub tail_entries: u64,
    /// Bytes that they and their framings take, about.
    pub tail_bytes: u64,
    /// Reads that were answered from memory.
    pub tail_hits: u64,
    /// Reads that had to go to the log.
    pub tail_misses: u64,
    /// Streams of items that are published.
    pub streams: StreamStats,
}

// === impl HubConfig ===

impl HubConfig {
    /// 64 MiB of recent entries.
    pub const DEFAULT_TAIL_BYTES: usize = 64 << 20;
    /// A million topics.
    pub const DEFAULT_MAX_TOPICS: usize = 1_000_000;
}

impl Default for HubConfig {
    fn default() -> Self {
        Self { tail_bytes: Self::DEFAULT_TAIL_BYTES, max_topics: Self::DEFAULT_MAX_TOPICS }
    }
}

// === impl Published ===

impl Published {
    /// The ids of the events, in order.
    pub fn ids(&self) -> impl Iterator<Item = Cursor> + use<> {
        let epoch = self.appended.epoch;
        self.appended.sequences().map(move |sequence| Cursor::new(epoch, sequence))
    }
}

// === impl Hub ===

impl Hub {
    /// Takes a log into service. The hub becomes its follower.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, config: HubConfig) -> Self {
        let tail = Tail::new(log.bounds().lineage, 0, config.tail_bytes);
        let shared = Arc::new(HubState::new(tail));
        // Entries may be pushed before the tail knows where it begins: they all come after that place.
        while {
            let bounds = log.follow(Arc::clone(&shared) as Arc<dyn Follower>);
            !shared.tail_mut().begin(bounds)
        } {}
        let tasks = Arc::new(TaskWaker::start(&shared));
        let hub = Self {
            log,
            shared,
            tasks,
            supervisor: Supervisor::default(),
            max_topics: config.max_topics,
            told_of_topics: Arc::default(),
        };
        hub.attach(hub.tasks.audience());
        hub
    }

    /// Reads the newest entries of the log into memory, so that readers who come back after a restart of the
    /// hub share them. Needed for nothing but speed.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    pub async fn warm(&self) -> Result<(), ReadError> {
        let all = Selection::all();
        let (lineage, upto, room, framed) = self
            .shared
            .with_tail(|tail| (tail.lineage().clone(), tail.after(), tail.room(), Arc::clone(tail.framed())));
        let count = room / Entry::LEAST.max(self.usual_bytes());
        let mut start = self.log.locate(Position::Last(count), &all).await?;
        let (mut after, mut entries, mut bytes) = (start, VecDeque::new(), 0);
        while after < upto {
            let chunk = self.log.read(after, &all, WARM_LIMITS).await?;
            if chunk.next == after {
                break;
            }
            after = chunk.next;
            for event in chunk.entries.into_iter().filter(|event| event.sequence <= upto) {
                let written_in = lineage.epoch_of(event.sequence);
                let entry = Arc::new(Entry::counted(event, written_in, &framed));
                bytes += entry.bytes();
                entries.push_back(entry);
            }
            // What has no room any more is not held until all is read.
            while bytes > room
                && let Some(entry) = entries.pop_front()
            {
                bytes -= entry.bytes();
                start = entry.event().sequence;
            }
        }
        // The log calls the hub with its own lock held, so it is never asked under the tail's.
        let epoch = lineage.present();
        if self.log.bounds().epoch() != epoch {
            return Ok(());
        }
        let mut tail = self.shared.tail_mut();
        if tail.epoch() == epoch {
            tail.extend_back(start.min(upto), entries.into(), upto);
        }
        drop(tail);
        // Retention may have moved on meanwhile.
        let earliest = self.log.bounds().earliest;
        self.shared.tail_mut().trim(earliest);
        Ok(())
    }

    /// What an entry of the log takes on the average, as far as the log can tell.
    fn usual_bytes(&self) -> usize {
        let stats = self.log.stats();
        let usual = stats.bytes.zip(stats.entries).and_then(|(bytes, entries)| bytes.checked_div(entries));
        usual.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Publishes a batch: appends it, as durably as the log promises, and wakes those who wait for it.
    ///
    /// # Errors
    /// [`AppendError`], as the log has it; [`AppendError::InvalidKey`]; and [`AppendError::Full`], where there are as many topics
    /// as there may be, and the batch has another.
    pub async fn publish(&self, batch: Batch) -> Result<Published, AppendError> {
        if batch.idempotency.as_ref().is_some_and(|idempotency| !Idempotency::is_key(&idempotency.key)) {
            return Err(AppendError::InvalidKey);
        }
        self.admit(&batch).await?;
        Ok(Published { appended: self.log.append(batch).await? })
    }

    /// Deletes a topic (§2.2): its readers are told the end, no event that it had is read again, and its name may be used anew.
    ///
    /// # Errors
    /// [`AppendError`], as for [`publish`](Self::publish).
    pub async fn delete(&self, topic: Topic) -> Result<Published, AppendError> {
        self.publish(Batch::deletion(topic)).await
    }

    /// Publishes batches one after the other, up to the first that is refused. They are on their way together.
    pub async fn publish_each(&self, batches: Vec<Batch>) -> Vec<Result<Appended, AppendError>> {
        let events: usize = batches.iter().map(|batch| batch.events.len()).sum();
        if self.log.topic_count().saturating_add(events) < self.max_topics {
            return self.log.append_each(batches).await;
        }
        // Each may be the one that makes a topic too many.
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            let answer = self.publish(batch).await.map(|published| published.appended);
            let is_refused = answer.is_err();
            answers.push(answer);
            if is_refused {
                break;
            }
        }
        answers
    }

    /// Begins to publish a stream of items to a topic (§2.1).
    ///
    /// # Errors
    /// [`ProducerError`], where the topic has ended or the key is none.
    pub async fn produce(&self, topic: Topic, options: ProducerOptions) -> Result<Producer, ProducerError> {
        Producer::open(self.clone(), topic, options).await
    }

    /// Remembers in a file which [streams](Self::produce) are under way that end their topics. Those that an earlier hub left
    /// there broke off with it: their topics end now, or where no producer with the same key comes back in time. To be
    /// called in a Tokio runtime.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn remember_streams(&self, path: &Path) -> io::Result<()> {
        let left = self.shared.journal.open(path)?;
        end_abandoned(self, left);
        Ok(())
    }

    /// How long a hub may say nothing before its streams are taken to be left open: 15 s.
    pub const DEFAULT_STREAM_LEASE: Duration = Duration::from_secs(15);

    /// Tells the other hubs of the log which [streams](Self::produce) are under way here that end their topics, and looks after
    /// those of the others: where one of them has said nothing for the time of a `lease`, what it left open is ended, now or where
    /// no producer with the same key comes back in time. Nothing is done where the log is of one hub. It goes on until the hub is
    /// [closed](Self::close). To be called once, in a Tokio runtime.
    pub fn share_streams(&self, lease: Duration) {
        let leases = &self.shared.leases;
        let own_name = format!("{:016x}", random());
        if !self.log.is_shared() || !leases.share(own_name.clone()) {
            return;
        }
        tokio::spawn(leases::tell(self.clone(), own_name.clone(), lease));
        tokio::spawn(leases::watch(self.clone(), own_name, lease));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Acquire)
    }

    /// Whether a topic has ended, as far as can be told now.
    pub(crate) async fn has_ended(&self, topic: &Topic) -> bool {
        matches!(self.log.topic(topic).await, Ok(Some(info)) if info.closed)
    }

    /// The last entry of a topic, as far as can be told now.
    pub(crate) async fn latest_of(&self, topic: &Topic) -> Option<Sequence> {
        let deleted = Some(self.log.deleted_upto(topic)).filter(|&deleted| deleted > 0);
        deleted.max(self.log.topic(topic).await.ok().flatten().map(|info| info.latest))
    }

    /// Whether a topic was deleted, and nothing was published to it since, as far as can be told now.
    pub(crate) async fn is_deleted(&self, topic: &Topic) -> bool {
        self.log.deleted_upto(topic) > 0 && matches!(self.log.topic(topic).await, Ok(None))
    }

    /// Ends a topic, once, where there is a key.
    pub(crate) async fn close_topic(&self, close: Close, key: Option<String>) -> Result<(), AppendError> {
        let scope = Scope::Topic(close.topic.clone());
        let idempotency = key.map(|key| Idempotency { scope, key });
        self.publish(Batch { events: Vec::new(), close: Some(close), idempotency }).await?;
        Ok(())
    }

    /// Refuses topics that the log does not know, where it has as many as it may. Those who publish at the same time do not
    /// count each other's.
    async fn admit(&self, batch: &Batch) -> Result<(), AppendError> {
        let known = self.log.topic_count();
        if known.saturating_add(batch.events.len()) < self.max_topics {
            return Ok(());
        }
        let mut new = HashSet::new();
        for topic in batch.topics() {
            // A log that cannot be asked takes no writes either, and says why.
            if new.contains(topic) || !matches!(self.log.topic(topic).await, Ok(None)) {
                continue;
            }
            new.insert(topic);
            if known.saturating_add(new.len()) > self.max_topics {
                let max = self.max_topics;
                if !self.told_of_topics.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        max,
                        "the log has as many topics as it may have, and takes no new ones; set max-topics"
                    );
                }
                let reason = format!(
                    "it has {max} topics and takes no new ones until older ones are discarded, or `max-topics` is higher"
                );
                return Err(AppendError::Full { reason });
            }
        }
        Ok(())
    }

    /// Opens a subscription at a place in the log. It reads nothing yet and keeps nothing waiting.
    ///
    /// A cursor that cannot be continued is no error: the subscription begins at the earliest entry, and its
    /// first pull carries the gap (§3.4).
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    pub async fn subscribe(&self, selection: Selection, start: Start) -> Result<Subscription, ReadError> {
        Subscription::open(self.clone(), selection, start).await
    }

    /// Why a topic has ended, where its last entry is this one and that was no clean end.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    pub(crate) async fn end_reason(
        &self,
        topic: &Topic,
        last: Sequence,
    ) -> Result<Option<EndReason>, ReadError> {
        let selection = Selection::new([topic.clone().into()]);
        let (after, one) = (last.saturating_sub(1), PullLimits { events: 1, bytes: 1 });
        let recent = match self.read(self.epoch(), after, &selection, one).await {
            Ok(recent) => recent,
            // Retention has overtaken it, so readers are not told of the end either.
            Err(ReadError::Expired { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(recent.entries.first().and_then(|entry| entry.event().end_reason()))
    }

    /// Topics, in the order of their bytes.
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read.
    pub async fn topics(&self, query: TopicQuery<'_>) -> Result<Vec<TopicInfo>, ReadError> {
        self.log.topics(query).await
    }

    /// How many subscribers would get an event of this topic now.
    #[must_use]
    pub fn subscribers(&self, topic: &Topic) -> usize {
        self.census().subscribers(topic)
    }

    /// Who waits, to be asked about many topics. Many questions are work for a thread that may block.
    #[must_use]
    pub fn census(&self) -> Census {
        Census::new(self.audiences())
    }

    fn audiences(&self) -> Vec<Arc<dyn Audience>> {
        self.shared.audiences()
    }

    /// Adds somebody who wants to hear of new entries, until it is [taken out](Self::detach).
    pub fn attach(&self, audience: Arc<dyn Audience>) {
        self.shared.attach(audience);
    }

    /// Takes out somebody who was [attached](Self::attach).
    pub fn detach(&self, audience: &Arc<dyn Audience>) {
        self.shared.detach(audience);
    }

    /// Every entry after a place, of any topic, up to `limits`; `None` where memory does not reach back so far.
    /// What is found is of [`Recent::lineage`], whichever the place was of.
    #[must_use]
    pub fn recent(&self, after: Sequence, limits: PullLimits) -> Option<Recent> {
        self.shared.with_tail(|tail| tail.all(after, limits))
    }

    /// Entries after a place that [concern](Selection::concerns) a selection, from memory; `None` where memory
    /// does not reach back so far. What is found is of [`Recent::lineage`], whichever the place was of.
    #[must_use]
    pub fn recent_of(&self, after: Sequence, selection: &Selection, limits: PullLimits) -> Option<Recent> {
        let recent = self.shared.with_tail(|tail| tail.read(after, selection, limits));
        if recent.is_some() {
            self.shared.hits.fetch_add(1, Ordering::Relaxed);
        }
        recent
    }

    /// Entries after a place that [concern](Selection::concerns) a selection, from memory where it reaches back
    /// so far, and else from the log. `epoch` is the present one as far as the reader knows: where [`Recent::epoch`] is
    /// another, there are no entries, and the reader has to ask whether it can [`resume`](Bounds::resume).
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read, or no longer has all that followed.
    pub async fn read(
        &self,
        epoch: Epoch,
        after: Sequence,
        selection: &Selection,
        limits: PullLimits,
    ) -> Result<Recent, ReadError> {
        let other = |lineage| Recent { lineage, entries: Vec::new(), next: after };
        if let Some(recent) = self.recent_of(after, selection, limits) {
            return Ok(if recent.epoch() == epoch { recent } else { other(recent.lineage) });
        }
        self.shared.misses.fetch_add(1, Ordering::Relaxed);
        let limits = ReadLimits { entries: limits.events, bytes: limits.bytes };
        let chunk = self.log.read(after, selection, limits).await;
        let lineage = self.lineage();
        if lineage.present() != epoch || self.log.bounds().epoch() != epoch {
            return Ok(other(lineage));
        }
        let Chunk { entries, next } = chunk?;
        let entries = entries.into_iter().map(|event| Arc::new(Entry::of(event, &lineage))).collect();
        Ok(Recent { lineage, entries, next })
    }

    /// The gap that a reader at `since` is told of, and the place that it goes on from: before the earliest
    /// entry that is kept (§3.4).
    #[must_use]
    pub fn gap(&self, reason: GapReason, since: String) -> (Gap, End) {
        let bounds = self.bounds();
        let resumed = bounds.earliest.saturating_sub(1);
        let gap = Gap { reason, since, resumed: bounds.lineage.id(resumed).to_string() };
        (gap, End { lineage: bounds.lineage, latest: resumed })
    }

    /// The last entry that readers can see.
    #[must_use]
    pub fn latest(&self) -> Sequence {
        self.shared.with_tail(Tail::latest)
    }

    /// Which log this is, and the last entry that readers can see.
    #[must_use]
    pub fn end(&self) -> End {
        self.shared.with_tail(Tail::end)
    }

    /// The epoch that events are written in. It may change while the hub runs, where others keep the log and have lost some
    /// of it.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.with_tail(Tail::epoch)
    }

    /// The epochs of the log.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.shared.with_tail(|tail| tail.lineage().clone())
    }

    /// Which log this is, and what it holds.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    /// Whether the log takes writes, and the threads are there that the hub cannot do without.
    ///
    /// # Errors
    /// [`NotReady`] says what is missing.
    pub fn ready(&self) -> Result<(), NotReady> {
        self.log.ready()?;
        Ok(self.supervisor.check()?)
    }

    /// Who misses the threads that the hub cannot do without. Whoever serves the hub has its own threads started there.
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// What the hub and its log can say of themselves.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        let (tail_entries, tail_bytes) = self.shared.with_tail(Tail::size);
        HubStats {
            log: self.log.stats(),
            topics: self.log.topic_count() as u64,
            tail_entries: tail_entries as u64,
            tail_bytes: tail_bytes as u64,
            tail_hits: self.shared.hits.load(Ordering::Relaxed),
            tail_misses: self.shared.misses.load(Ordering::Relaxed),
            streams: self.shared.producers.stats(),
        }
    }

    /// Closes the log, after what it has accepted.
    ///
    /// # Errors
    /// [`LogUnavailable`] where the log could not be closed cleanly.
    pub async fn close(&self) -> Result<(), LogUnavailable> {
        self.shared.is_closed.store(true, Ordering::Release);
        self.log.close().await
    }

    pub(crate) fn log(&self) -> &dyn Log {
        &*self.log
    }

    pub(crate) fn shared(&self) -> &HubState {
        &self.shared
    }
}

/// What is read at once of the entries that memory is filled with at the start.
const WARM_LIMITS: ReadLimits = ReadLimits { entries: 10_000, bytes: 4 << 20 };

/// A number that no other hub draws.
fn random() -> u64 {
    // Each of these has keys of its own, from the system's randomness.
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
