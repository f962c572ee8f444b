use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_protocol::{Epoch, Event, Lineage, Selection, Sequence, Timestamp, Topic};

use crate::append::{Numbered, number};
use crate::idempotency::{Answer, Answers, Fingerprint};
use crate::{
    AppendError, Appended, Batch, Bounds, BoxFuture, Budget, Chunk, Follower, Log, LogStats, LogUnavailable,
    Position, ReadError, ReadLimits, Retention, TopicInfo, TopicQuery, TopicTable, list_in_parts,
};

/// A log that lives as long as the process, for tests and for events that need no tomorrow. Its epoch is new
/// each time, so that readers who come back after a restart are told of the gap.
pub struct MemoryLog {
    lineage: Lineage,
    secret: [u8; 16],
    retention: Retention,
    state: Mutex<State>,
}

struct State {
    entries: VecDeque<Arc<Event>>,
    /// The sequence number of the front entry, or of the next one where there is none.
    earliest: Sequence,
    bytes: u64,
    time: Timestamp,
    topics: TopicTable,
    answers: Answers,
    expire_at: usize,
    follower: Option<Arc<dyn Follower>>,
    closed: bool,
}

/// What an entry costs beside its data and topic, for retention by bytes.
const ENTRY_BYTES: u64 = 128;
/// How many idempotent batches are remembered before the expired ones are looked for.
const ANSWERS_BEFORE_EXPIRY: usize = 1_024;

// === impl MemoryLog ===

impl MemoryLog {
    /// An empty log that keeps what `retention` says, and repeats the answer to an idempotent batch for
    /// `idempotency_window`.
    #[must_use]
    pub fn new(retention: Retention, idempotency_window: Duration) -> Self {
        let mut random = [0; 24];
        if getrandom::fill(&mut random).is_err() {
            fastrand::fill(&mut random);
        }
        let (secret, epoch) = random.split_at(16);
        Self {
            lineage: Lineage::of(Epoch::from_random(u64::from_le_bytes(
                epoch.try_into().unwrap_or_default(),
            ))),
            secret: secret.try_into().unwrap_or_default(),
            retention,
            state: Mutex::new(State {
                entries: VecDeque::new(),
                earliest: 1,
                bytes: 0,
                time: Timestamp::default(),
                topics: TopicTable::default(),
                answers: Answers::new(idempotency_window),
                expire_at: ANSWERS_BEFORE_EXPIRY,
                follower: None,
                closed: false,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A follower that failed may have missed something, so it gets nothing more.
    fn takes_writes(&self, state: &State) -> Result<(), LogUnavailable> {
        let reason = match (state.closed, self.state.is_poisoned()) {
            (true, _) => "it was closed",
            (_, true) => "its follower has failed; restart the hub",
            _ => return Ok(()),
        };
        Err(LogUnavailable { reason: reason.into() })
    }

    fn append_now(&self, batch: Batch) -> Result<Numbered, AppendError> {
        let fingerprint = Fingerprint::of(&batch, self.secret);
        let mut state = self.state();
        self.takes_writes(&state)?;
        let time = Timestamp::now().max(state.time);
        if let Some(fingerprint) = fingerprint
            && let Some(answer) = state.answers.get(fingerprint.key, time)
            && !state.is_forgotten(&batch, &answer)
        {
            return answer.repeat(&batch, fingerprint.content);
        }
        let entries = number(batch, state.next(), time, |topic| state.topics.is_closed(topic.as_str()))?;
        state.time = time;
        let first = state.next();
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let appended = Numbered { first, count, time, duplicate: false };
        if let Some(fingerprint) = fingerprint
            && count > 0
        {
            state.answers.insert(fingerprint, appended);
            if state.answers.len() >= state.expire_at {
                state.answers.expire(time);
                state.expire_at = (2 * state.answers.len()).max(ANSWERS_BEFORE_EXPIRY);
            }
        }
        for entry in &entries {
            state.bytes += cost(entry);
            state.topics.note(entry);
            state.entries.push_back(Arc::clone(entry));
        }
        if let Some(follower) = &state.follower {
            follower.appended(&entries);
        }
        state.trim(self.retention, time);
        Ok(appended)
    }
}

impl MemoryLog {
    fn read_now(
        &self,
        after: Sequence,
        selection: &Selection,
        limits: ReadLimits,
    ) -> Result<Chunk, ReadError> {
        let mut chunk = Chunk { entries: Vec::new(), next: after };
        let (mut bytes, mut steps) = (0, 0);
        'looking: while steps < READ_STEPS {
            let block = match self.state().after(chunk.next) {
                Err(error) if chunk.next == after => return Err(error),
                // Retention has overtaken it.
                Err(_) => break,
                Ok(block) if block.is_empty() => break,
                Ok(block) => block,
            };
            for entry in block {
                if steps >= READ_STEPS {
                    break;
                }
                if selection.concerns_counting(&entry, &mut steps) {
                    bytes += entry.data.len() + entry.topic.as_str().len();
                    let full = chunk.entries.len() >= limits.entries || bytes > limits.bytes;
                    if full && !chunk.entries.is_empty() {
                        break 'looking;
                    }
                    chunk.entries.push(Arc::clone(&entry));
                }
                chunk.next = entry.sequence;
            }
        }
        self.state().topics.retain_readable(&mut chunk.entries, Timestamp::now());
        Ok(chunk)
    }

    /// Before the last so many events of a selection, as far as the budget reaches.
    async fn last(&self, count: usize, selection: &Selection) -> Sequence {
        let (mut budget, mut wanted) = (Budget::default(), count.max(1));
        let (mut place, mut steps) = (self.state().next() - 1, 0);
        loop {
            let block = self.state().upto(place, Timestamp::now());
            if block.is_empty() {
                return self.state().earliest.saturating_sub(1);
            }
            for (entry, is_readable) in block.iter().rev() {
                place = entry.sequence - 1;
                wanted -= usize::from(*is_readable && selection.matches_counting(entry, &mut steps));
                budget.spend(cost(entry));
                if wanted == 0 || budget.is_spent() {
                    return place;
                }
                if steps >= READ_STEPS {
                    budget.compare(std::mem::take(&mut steps));
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

fn cost(entry: &Event) -> u64 {
    (entry.data.len() + entry.topic.as_str().len()) as u64 + ENTRY_BYTES
}

impl State {
    fn next(&self) -> Sequence {
        self.earliest + self.entries.len() as u64
    }

    fn bounds(&self, lineage: &Lineage) -> Bounds {
        Bounds { lineage: lineage.clone(), earliest: self.earliest, latest: self.next() - 1 }
    }

    fn trim(&mut self, retention: Retention, now: Timestamp) {
        let before = self.earliest;
        while let Some(front) = self.entries.front() {
            if self.bytes <= retention.bytes && front.time.until(now) <= retention.age {
                break;
            }
            self.bytes -= cost(front);
            self.earliest += 1;
            self.topics.forget(front.topic.as_str(), self.earliest);
            self.entries.pop_front();
        }
        if self.earliest != before
            && let Some(follower) = &self.follower
        {
            follower.trimmed(self.earliest);
        }
    }

    /// Some entries after a place. They are looked at without the lock, which whoever writes waits for.
    fn after(&self, after: Sequence) -> Result<Vec<Arc<Event>>, ReadError> {
        if after.saturating_add(1) < self.earliest {
            return Err(ReadError::Expired { after, earliest: self.earliest });
        }
        let skip = usize::try_from(after.saturating_add(1) - self.earliest).unwrap_or(usize::MAX);
        Ok(self.entries.iter().skip(skip).take(BLOCK_ENTRIES).cloned().collect())
    }

    /// Whether an answer is of a topic that was deleted since.
    fn is_forgotten(&self, batch: &Batch, answer: &Answer) -> bool {
        let deleted = batch.scope_topic().map_or(0, |topic| self.topics.deleted_upto(topic.as_str()));
        answer.appended.first < deleted
    }

    /// Some entries up to a place, and the last of them; and whether each is still to be read.
    fn upto(&self, place: Sequence, now: Timestamp) -> Vec<(Arc<Event>, bool)> {
        let end = usize::try_from((place + 1).saturating_sub(self.earliest)).unwrap_or(usize::MAX);
        let end = end.min(self.entries.len());
        let is_readable = |entry: &Event| !entry.is_expired(now) && !self.topics.is_deleted(entry);
        let block = self.entries.range(end.saturating_sub(BLOCK_ENTRIES)..end);
        block.map(|entry| (Arc::clone(entry), is_readable(entry))).collect()
    }
}

/// How many entries are taken under the lock at a time.
const BLOCK_ENTRIES: usize = 1_024;
/// How much one read compares, so that nobody whose events are rare holds up its thread for long; a look at an entry is one.
const READ_STEPS: u64 = 100_000;

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog").field("bounds", &self.bounds()).finish_non_exhaustive()
    }
}

impl Log for MemoryLog {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move { self.append_now(batch).map(|numbered| numbered.of(&self.lineage)) })
    }

    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>> {
        Box::pin(async move { self.read_now(after, selection, limits) })
    }

    fn locate<'a>(
        &'a self,
        place: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>> {
        Box::pin(async move {
            match place {
                Position::Earliest => Ok(self.state().earliest.saturating_sub(1)),
                Position::Time(time) => {
                    let state = self.state();
                    Ok(state.earliest + state.entries.partition_point(|entry| entry.time < time) as u64 - 1)
                }
                Position::Last(count) => Ok(self.last(count, selection).await),
            }
        })
    }

    fn topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Option<TopicInfo>, ReadError>> {
        Box::pin(async move { Ok(self.state().topics.get(topic.as_str())) })
    }

    fn topics<'a>(&'a self, query: TopicQuery<'a>) -> BoxFuture<'a, Result<Vec<TopicInfo>, ReadError>> {
        Box::pin(async move {
            Ok(list_in_parts(query, |part, steps| self.state().topics.list(part, 0, steps)).await)
        })
    }

    fn deleted_upto(&self, topic: &Topic) -> Sequence {
        self.state().topics.deleted_upto(topic.as_str())
    }

    fn topic_count(&self) -> usize {
        self.state().topics.len()
    }

    fn bounds(&self) -> Bounds {
        let mut state = self.state();
        // Time passes also where nothing is appended.
        let now = Timestamp::now().max(state.time);
        state.trim(self.retention, now);
        state.bounds(&self.lineage)
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Bounds {
        let mut state = self.state();
        state.follower = Some(follower);
        state.bounds(&self.lineage)
    }

    fn ready(&self) -> Result<(), LogUnavailable> {
        self.takes_writes(&self.state())
    }

    fn stats(&self) -> LogStats {
        let state = self.state();
        LogStats {
            entries: Some(state.entries.len() as u64),
            bytes: Some(state.bytes),
            ..LogStats::default()
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        Box::pin(async move {
            self.state().closed = true;
            Ok(())
        })
    }
}
