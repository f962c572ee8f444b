//! The one thread that writes: it takes all that waits, writes it in one piece, waits for the disk once, and
//! answers everybody. Who comes meanwhile shares the next round.

use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidings_protocol::{Sequence, Timestamp};

use super::files::{self, File, Lock};
use super::group::Group;
use super::index::{Index, MemoryIndex, Noted};
use super::keeper::{Job, Keeper};
use super::keys::{self, Fresh, Keys};
use super::queue::{Append, Request};
use super::recovery::{self, Opened};
use super::segment::{self, Header, Segment};
use super::state::State;
use super::view::Shared;
use super::{Durability, limits, record};
use crate::append::number;
use crate::idempotency::Answer;
use crate::{AppendError, LogUnavailable};

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active {
    header: Header,
    file: Arc<dyn File>,
    /// Where the next record begins.
    end: u64,
    /// The answers to its idempotent batches.
    answers: Fresh,
    /// Whether a fence stands at the end.
    fenced: bool,
}

/// The state of the thread that writes.
struct Writer {
    shared: Arc<Shared>,
    state: State,
    active: Active,
    next: Sequence,
    time: Timestamp,
    /// Numbered and encoded, and not yet written.
    group: Group,
    keeper: Keeper,
    tidied: Instant,
    /// Held until the thread has ended.
    _lock: Lock,
}

/// Starts the thread that writes; it ends after [`Request::Close`].
pub(crate) fn start(opened: Opened) -> io::Result<JoinHandle<()>> {
    let Opened { shared, state, active, lock } = opened;
    let keeper = Keeper::start(Arc::clone(&shared))?;
    let latest = shared.range().1;
    let time = shared.view().segments.last().map_or(Timestamp::default(), |it| it.index().summary().time);
    let mut writer = Writer {
        shared,
        state,
        active,
        next: latest + 1,
        time,
        group: Group::default(),
        keeper,
        tidied: Instant::now(),
        _lock: lock,
    };
    thread::Builder::new().name("tidings-log-write".into()).spawn(move || writer.run())
}

// === impl Active ===

impl Active {
    pub(crate) fn new(header: Header, file: Arc<dyn File>, end: u64, answers: Fresh) -> Self {
        Self { header, file, end, answers, fenced: false }
    }
}

// === impl Writer ===

impl Writer {
    fn run(&mut self) {
        let patience = self.shared.config.housekeeping();
        self.tidy();
        let mut requests = Vec::new();
        loop {
            self.shared.queue.take(&mut requests, patience);
            let mut tidied = Vec::new();
            let mut closed = Vec::new();
            for request in requests.drain(..) {
                match request {
                    Request::Append(append) => self.stage(append),
                    Request::Tidy(done) => tidied.push(done),
                    Request::Close(done) => closed.push(done),
                }
            }
            // The failure is in every answer already.
            drop(self.commit());
            if !tidied.is_empty() || self.tidied.elapsed() >= patience {
                self.tidy();
                if !tidied.is_empty() {
                    self.keeper.settle();
                }
                tidied.into_iter().for_each(|done| _ = done.send(()));
            }
            if !closed.is_empty() {
                let ended = self.close();
                closed.into_iter().for_each(|done| drop(done.send(ended.clone())));
                return;
            }
            if self.shared.queue.is_empty() {
                self.fence();
            }
        }
    }

    /// Numbers a batch and adds it to the group, or adds the answer that it gets without being written.
    fn stage(&mut self, append: Append) {
        let Append { batch, fingerprint, bytes, answer } = append;
        self.group.reserved += bytes;
        if let Some(reason) = self.poisoned() {
            return self.group.answer(answer, Err(reason.into()));
        }
        let now = (self.shared.clock)().max(self.time).max(self.group.time);
        if let Some(fingerprint) = fingerprint {
            match self.known(fingerprint.key, now) {
                Ok(Some(known)) => {
                    let repeated = known.repeat(&batch, fingerprint.content);
                    if self.group.answers.contains_key(&fingerprint.key) {
                        return self.group.answer_after(answer, repeated);
                    }
                    return self.group.answer(answer, repeated);
                }
                Ok(None) => {}
                Err(error) => return self.group.answer(answer, Err(error)),
            }
        }
        let first = self.next + self.group.entries.len() as u64;
        let numbered = {
            let topics = self.shared.topics();
            let earliest = self.active_earliest();
            let is_closed = |topic: &tidings_protocol::Topic| {
                self.group.closed.contains(topic.as_str()) || topics.is_closed_since(topic.as_str(), earliest)
            };
            number(batch, first, now, is_closed)
        };
        let entries = match numbered {
            Ok(entries) => entries,
            Err(error) => return self.group.answer_after(answer, Err(error)),
        };
        let size: u64 = entries
            .iter()
            .enumerate()
            .map(|(place, entry)| record::size(entry, place == 0 && fingerprint.is_some()))
            .sum();
        if let Err(error) = self.make_room(size) {
            return self.group.answer(answer, Err(error));
        }
        let fence = self.shared.config.durability == Durability::Sync;
        self.group.add(entries, fingerprint, now, self.active.header.stamp, fence, answer);
        if self.group.bytes() >= limits::GROUP_BYTES {
            drop(self.commit());
        }
    }

    fn active_earliest(&self) -> Sequence {
        self.shared.range().0
    }

    /// What was answered to a batch with this key, if it is known.
    fn known(&self, key: u128, now: Timestamp) -> Result<Option<Answer>, AppendError> {
        let window = self.shared.config.idempotency_window;
        let recent = self.group.answers.get(&key).or_else(|| self.active.answers.get(&key));
        if let Some(answer) = recent {
            return Ok(keys::is_current(answer, now, window).then_some(*answer));
        }
        for keys in self.shared.keys().iter().rev() {
            let answer = keys.get(key).map_err(|error| LogUnavailable {
                reason: format!("the idempotency keys of segment {} are not readable: {error}", keys.base),
            })?;
            if let Some(answer) = answer {
                return Ok(keys::is_current(&answer, now, window).then_some(answer));
            }
        }
        Ok(None)
    }

    /// Goes on to the next segment where the active one has no room for so many bytes and a fence.
    fn make_room(&mut self, size: u64) -> Result<(), AppendError> {
        let fits = |active: &Active, group: u64| {
            active.end + group + size + record::FENCE_BYTES <= active.header.capacity
        };
        if fits(&self.active, self.group.bytes() as u64) {
            return Ok(());
        }
        self.commit()?;
        if fits(&self.active, 0) {
            return Ok(());
        }
        self.roll(size)
    }

    /// Writes the group, waits for the disk, shows it to readers and the follower, and answers.
    fn commit(&mut self) -> Result<(), AppendError> {
        let mut group = mem::take(&mut self.group);
        let written = if group.entries.is_empty() { Ok(()) } else { self.write(&group) };
        match &written {
            Ok(()) => self.publish(&mut group),
            Err(error) => group.fail(error),
        }
        group.resolve();
        self.shared.queue.release(group.reserved);
        group.clear();
        self.group = group;
        written
    }

    fn write(&mut self, group: &Group) -> Result<(), AppendError> {
        if let Some(reason) = self.poisoned() {
            return Err(reason.into());
        }
        let end = self.active.end;
        if let Err(error) = self.active.file.write_at(&group.buffer, end) {
            if !files::is_full(&error) {
                return Err(self.poison("write to", &error).into());
            }
            // Nothing of what is refused now may come back at the next start.
            let retracted = segment::zero(&*self.active.file, end, end + group.bytes() as u64);
            self.active.fenced = false;
            if let Err(error) = retracted {
                return Err(self.poison("retract a write from", &error).into());
            }
            return Err(AppendError::Full { reason: error.to_string() });
        }
        if self.shared.config.durability == Durability::Sync
            && let Err(error) = self.active.file.sync()
        {
            return Err(self.poison("sync", &error).into());
        }
        self.active.end += group.bytes() as u64;
        self.active.fenced = false;
        Ok(())
    }

    fn publish(&mut self, group: &mut Group) {
        if group.entries.is_empty() {
            return;
        }
        let start = self.active.end - group.bytes() as u64;
        let view = self.shared.view();
        if let Some(segment) = view.segments.last()
            && let Index::Memory(index) = &mut *segment.index_mut()
        {
            for (entry, place) in group.entries.iter().zip(&group.places) {
                let noted = Noted {
                    sequence: entry.sequence,
                    time: entry.time,
                    topic: entry.topic.as_str(),
                    closes: entry.closes(),
                    keyed: place.keyed,
                    offset: start + place.offset,
                    length: place.length,
                };
                index.push(noted, || Some(entry.topic.clone()));
            }
        }
        {
            let mut topics = self.shared.topics_mut();
            group.entries.iter().for_each(|entry| topics.note(entry));
        }
        self.active.answers.extend(group.answers.drain());
        self.next += group.entries.len() as u64;
        self.time = group.time;
        let follower = self.shared.follower();
        self.shared.view_mut().latest = self.next - 1;
        if let Some(follower) = &*follower {
            follower.appended(&group.entries);
        }
    }

    /// Says, where nothing more waits, that all that was written is on the disk: so damage to the last record
    /// is told from a torn end. The next group is written over it.
    fn fence(&mut self) {
        let is_due = self.shared.config.durability == Durability::Sync
            && !self.active.fenced
            && self.active.end > segment::HEADER
            && self.poisoned().is_none();
        if is_due {
            let mut bytes = Vec::new();
            record::encode_fence(&mut bytes, self.next, self.time, self.active.header.stamp);
            // It is a help, and nothing depends on it.
            drop(self.active.file.write_at(&bytes, self.active.end));
            self.active.fenced = true;
        }
    }

    /// Begins a segment that holds `size` bytes of records.
    fn roll(&mut self, size: u64) -> Result<(), AppendError> {
        let usual = self.shared.config.segment_bytes();
        let capacity = usual.max(segment::HEADER + size + record::FENCE_BYTES);
        let shared = Arc::clone(&self.shared);
        if let Some(reason) = self.poisoned() {
            return Err(reason.into());
        }
        if self.shared.config.durability == Durability::Os
            && let Err(error) = self.active.file.sync()
        {
            // Only the newest segment may have a torn end, whatever the log promises.
            return Err(self.poison("sync", &error).into());
        }
        let prepared = match self.keeper.take(capacity) {
            Some(prepared) => prepared,
            None => segment::prepare(&*shared.files, shared.preparation(), capacity)
                .map_err(|error| refusal(&error))?,
        };
        let base = self.next;
        let begun = segment::begin(&*shared.files, &shared.dir, &prepared, shared.log, base, self.time);
        let header = match begun {
            Ok(header) => header,
            Err(error) => {
                self.undo_roll(&prepared, base)?;
                return Err(refusal(&error));
            }
        };
        shared.set_full(None);
        let active = Active::new(header, prepared.file, segment::HEADER, Fresh::new());
        let before = mem::replace(&mut self.active, active);
        let is_empty = before.end == segment::HEADER;
        shared.handles.keep(base, super::handles::Kind::Log, Arc::clone(&self.active.file));
        let segment = Arc::new(Segment::new(header, Index::Memory(MemoryIndex::new(&header))));
        let mut segments = shared.view().segments.to_vec();
        if is_empty {
            // The new one has replaced it under the same name.
            segments.pop();
        } else if let Some(sealed) = segments.last() {
            let keys = Keys::fresh(sealed.base(), before.answers).map(Arc::new);
            shared.keys().extend(keys.clone());
            self.keeper.send(Job::Seal(Arc::clone(sealed), keys));
        }
        segments.push(segment);
        shared.view_mut().segments = Arc::new(segments);
        self.keeper.send(Job::Prepare(usual));
        self.tidy();
        Ok(())
    }

    /// Removes a segment that was perhaps begun: with it on the disk, the active one would count as sealed.
    fn undo_roll(&self, prepared: &segment::Prepared, base: Sequence) -> Result<(), LogUnavailable> {
        let shared = &self.shared;
        if shared.files.remove(&prepared.path).is_ok() {
            return Ok(());
        }
        if self.active.header.base == base {
            // It has the active one's name, and what is written to that would be gone with the next start.
            let error = io::Error::other("it is not known which file has the name of the segment");
            return Err(self.poison("replace", &error));
        }
        let removed = shared.files.remove(&segment::path(&shared.dir, base, "log"));
        let removed = removed.and_then(|()| shared.files.sync_dir(&shared.dir));
        removed.map_err(|error| self.poison("remove a segment after", &error))
    }

    /// Does what retention says.
    fn tidy(&mut self) {
        self.tidied = Instant::now();
        let shared = Arc::clone(&self.shared);
        let retention = shared.config.retention;
        let now = (shared.clock)().max(self.time);
        let view = shared.view();
        let first = view.segments.last().and_then(|segment| segment.index().marks().first().copied());
        if let Some(first) = first
            && first.time.until(now) > retention.age / limits::SEGMENTS_IN_AGE
            && self.roll(0).is_ok()
        {
            // It has come back here by itself.
            return;
        }
        let sizes: Vec<u64> = view.segments.iter().map(|segment| segment.index().summary().end).collect();
        let mut bytes: u64 = sizes.iter().sum();
        let sealed = view.segments.len().saturating_sub(1);
        let given_up = view
            .segments
            .iter()
            .zip(sizes)
            .take(sealed)
            .take_while(|(segment, size)| {
                let gone =
                    bytes > retention.bytes || segment.index().summary().time.until(now) > retention.age;
                bytes -= size;
                gone
            })
            .count();
        if given_up > 0 {
            let kept = view.segments[given_up..].to_vec();
            let earliest = kept.first().map_or(self.next, |segment| segment.base());
            let follower = shared.follower();
            {
                let mut view = shared.view_mut();
                view.segments = Arc::new(kept);
                view.earliest = earliest;
            }
            if let Some(follower) = &*follower {
                follower.trimmed(earliest);
            }
            drop(follower);
            for segment in &view.segments[..given_up] {
                self.keeper.send(Job::Remove(Arc::clone(segment)));
            }
        }
        self.tidy_keys(now);
        if !self.keeper.is_ready() {
            self.keeper.send(Job::Prepare(shared.config.segment_bytes()));
        }
    }

    fn tidy_keys(&self, now: Timestamp) {
        let window = self.shared.config.idempotency_window;
        let mut all = self.shared.keys();
        let (current, past): (Vec<_>, Vec<_>) =
            all.drain(..).partition(|keys| keys.newest.until(now) < window);
        *all = current;
        past.into_iter().for_each(|keys| self.keeper.send(Job::Forget(keys)));
        let mut bytes = 0;
        for keys in all.iter().rev() {
            bytes += keys.filter_bytes();
            if bytes > limits::KEY_FILTER_BYTES {
                keys.drop_filter();
            }
        }
    }

    fn close(&mut self) -> Result<(), LogUnavailable> {
        self.shared.queue.refuse(LogUnavailable { reason: "it was closed".into() });
        let mut late = Vec::new();
        self.shared.queue.take(&mut late, Duration::ZERO);
        for request in late {
            match request {
                Request::Append(append) => self.stage(append),
                Request::Tidy(done) => _ = done.send(()),
                // The first one is answered when all is done, and the thread is gone by then.
                Request::Close(done) => drop(done.send(Ok(()))),
            }
        }
        drop(self.commit());
        self.keeper.stop();
        if let Some(reason) = self.poisoned() {
            return Err(reason);
        }
        let failed = |error: io::Error| LogUnavailable { reason: format!("it could not be closed: {error}") };
        self.active.file.sync().map_err(failed)?;
        self.state.clean = Some(recovery::clean_end(&self.shared));
        self.state.write(&*self.shared.files, &self.shared.dir).map_err(failed)
    }

    fn poisoned(&self) -> Option<LogUnavailable> {
        self.shared.poisoned()
    }

    /// After this nothing is acknowledged until a restart: what is on the disk is not known any more.
    fn poison(&self, operation: &str, error: &io::Error) -> LogUnavailable {
        let path = segment::path(&self.shared.dir, self.active.header.base, "log");
        let reason = format!(
            "it failed to {operation} {file}: {error}; restart when the disk is sound",
            file = path.display()
        );
        tracing::error!(%reason, "the log takes no more writes");
        let reason = LogUnavailable { reason };
        self.shared.set_poisoned(reason.clone());
        reason
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Also where the thread ends in a panic: nobody waits for ever.
        self.shared.queue.refuse(LogUnavailable { reason: "its writer has ended".into() });
        self.shared.queue.abandon();
    }
}

/// What a failure to begin a segment means for a batch: nothing was written.
fn refusal(error: &io::Error) -> AppendError {
    if files::is_full(error) {
        AppendError::Full { reason: error.to_string() }
    } else {
        AppendError::Unavailable(LogUnavailable { reason: format!("a segment could not be begun: {error}") })
    }
}
