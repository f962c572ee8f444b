//! The one thread that writes: it takes all that waits, writes it in one piece, waits for the disk once, and
//! answers everybody. Who comes meanwhile shares the next round. Who is alone writes for itself ([`direct`]).

mod direct;
mod pace;
mod roll;
mod tidy;

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidings_protocol::{Sequence, Timestamp};

use self::pace::Pace;
use super::files::{self, File, Lock};
use super::group::Group;
use super::index::{Index, Noted};
use super::keeper::Keeper;
use super::keys::{self, Fresh};
use super::queue::{Append, Request};
use super::recovery::{self, Opened};
use super::segment::{self, Header};
use super::state::State;
use super::view::DiskState;
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

/// The thread that writes, and what it writes with.
#[derive(Debug)]
pub(crate) struct Handle {
    /// `None` once the log is closed, or its writer has ended otherwise.
    writer: Arc<Mutex<Option<Writer>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What it takes to write. Whoever has it locked is the writer: nearly always the thread.
#[derive(Debug)]
struct Writer {
    shared: Arc<DiskState>,
    state: State,
    active: Active,
    next: Sequence,
    time: Timestamp,
    /// Numbered and encoded, and not yet written.
    group: Group,
    keeper: Keeper,
    pace: Pace,
    tidied: Instant,
    /// When it was last looked whether the files are where they were.
    looked: Instant,
    whereabouts: Whereabouts,
    /// Whether a full disk was reported since the last write that went well.
    told_full: bool,
    /// When it was last reported that the clock is behind, and that keys were forgotten early.
    told_clock: Option<Instant>,
    told_keys: Option<Instant>,
    /// Held until the thread has ended.
    _lock: Lock,
}

/// Which files have the names of the log's lock and of the segment that is written to.
type Whereabouts = [Option<files::Identity>; 2];

/// Ends the writing with the thread, also where that ends in a panic.
struct Ending(Arc<Mutex<Option<Writer>>>);

/// Starts the thread that writes; it ends after [`Request::Close`].
pub(crate) fn start(opened: Opened) -> io::Result<Handle> {
    let Opened { shared, state, active, lock } = opened;
    let keeper = Keeper::start(Arc::clone(&shared))?;
    let latest = shared.range().1;
    let time = shared.view().segments.last().map_or(Timestamp::default(), |it| it.index().summary().time);
    let mut writer = Writer {
        shared: Arc::clone(&shared),
        state,
        active,
        next: latest + 1,
        time,
        group: Group::default(),
        keeper,
        pace: Pace::default(),
        tidied: Instant::now(),
        looked: Instant::now(),
        whereabouts: Whereabouts::default(),
        told_full: false,
        told_clock: None,
        told_keys: None,
        _lock: lock,
    };
    writer.whereabouts = writer.look_around();
    writer.tidy();
    let writer = Arc::new(Mutex::new(Some(writer)));
    let ending = Ending(Arc::clone(&writer));
    let thread =
        thread::Builder::new().name("tidings-log-write".into()).spawn(move || run(&ending, &shared))?;
    Ok(Handle { writer, thread: Mutex::new(Some(thread)) })
}

fn run(Ending(writer): &Ending, shared: &DiskState) {
    let housekeeping = shared.config.housekeeping();
    let patience = housekeeping.min(limits::PLACE_CHECK);
    let (mut requests, mut crowded) = (Vec::new(), false);
    loop {
        if crowded {
            // Where they share a core with this thread, those who are about to publish come first, and into this round.
            thread::yield_now();
        }
        shared.queue.take(&mut requests, patience);
        crowded = requests.len() > 1;
        // A panic of whoever had it leaves a state that nobody knows.
        let Ok(mut writer) = writer.lock() else { return };
        let more = writer.as_mut().is_some_and(|writer| writer.round(&mut requests, housekeeping));
        if !more {
            return;
        }
    }
}

// === impl Handle ===

impl Handle {
    /// Waits for the end of the thread.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer of the log ended in a panic");
        }
    }
}

// === impl Ending ===

impl Drop for Ending {
    fn drop(&mut self) {
        let writer = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(writer);
    }
}

// === impl Active ===

impl Active {
    pub(crate) fn new(header: Header, file: Arc<dyn File>, end: u64, answers: Fresh) -> Self {
        Self { header, file, end, answers, fenced: false }
    }

    /// Whether the segment is ended for its size rather than its age, where it is ended now.
    fn is_filled(&self) -> bool {
        self.end > self.header.capacity / 2
    }
}

// === impl Writer ===

impl Writer {
    /// Does what waits. Says whether there is more to come.
    fn round(&mut self, requests: &mut Vec<Request>, housekeeping: Duration) -> bool {
        if self.looked.elapsed() >= limits::PLACE_CHECK {
            self.check_place();
        }
        let (mut appends, mut tidied, mut closed) = (0, Vec::new(), Vec::new());
        for request in requests.drain(..) {
            match request {
                Request::Append(append) => {
                    appends += 1;
                    self.stage(append);
                }
                Request::Tidy(done) => tidied.push(done),
                Request::Close(done) => closed.push(done),
            }
        }
        // The failure is in every answer already.
        drop(self.commit());
        if !tidied.is_empty() || self.tidied.elapsed() >= housekeeping {
            self.tidy();
            if !tidied.is_empty() {
                self.keeper.settle();
            }
            tidied.into_iter().for_each(|done| _ = done.send(()));
        }
        if !closed.is_empty() {
            let ended = self.close();
            closed.into_iter().for_each(|done| drop(done.send(ended.clone())));
            return false;
        }
        if appends > 0 {
            self.pace.round(appends);
        }
        if self.shared.queue.is_empty() {
            self.fence();
        }
        true
    }

    /// Numbers a batch and adds it to the group, or adds the answer that it gets without being written.
    fn stage(&mut self, append: Append) {
        let Append { batch, fingerprint, bytes, answer } = append;
        self.group.reserved += bytes;
        if let Some(reason) = self.poisoned() {
            return self.group.answer(answer, Err(reason.into()));
        }
        if answer.is_cut_off() {
            let reason = "a batch before it was refused".into();
            return self.group.answer(answer, Err(LogUnavailable { reason }.into()));
        }
        let now = (self.shared.clock)().max(self.time).max(self.group.time);
        if let Some(fingerprint) = fingerprint {
            match self.known(fingerprint.key, now) {
                Ok(Some(known)) if !self.is_forgotten(&batch, &known) => {
                    let repeated = known.repeat(&batch, fingerprint.content);
                    if self.group.answers.contains_key(&fingerprint.key) {
                        return self.group.answer_after(answer, repeated);
                    }
                    return self.group.answer(answer, repeated);
                }
                Ok(_) => {}
                Err(error) => return self.group.answer(answer, Err(error)),
            }
        }
        let first = self.next + self.group.entries.len() as u64;
        let numbered = {
            let topics = self.shared.topics();
            let earliest = self.active_earliest();
            let is_closed = |topic: &tidings_protocol::Topic| {
                let ended = self.group.ended.get(topic.as_str()).copied();
                ended.unwrap_or_else(|| topics.is_closed_since(topic.as_str(), earliest))
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
        let is_new = entries.iter().any(|entry| entry.deletes() || entry.expires.is_some());
        let format = if is_new { limits::FORMAT_STATE } else { limits::FORMAT };
        if let Err(error) = self.make_room(size, format) {
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

    /// Whether an answer is of a topic that was deleted since.
    fn is_forgotten(&self, batch: &crate::Batch, answer: &Answer) -> bool {
        batch.scope_topic().is_some_and(|topic| {
            let deleted = self.group.deleted.get(topic.as_str()).copied();
            let deleted = deleted.unwrap_or_else(|| self.shared.topics().deleted_upto(topic.as_str()));
            answer.appended.first < deleted
        })
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
    ///
    /// So it does where the entries need a newer format than the active one has.
    fn make_room(&mut self, size: u64, format: u32) -> Result<(), AppendError> {
        let fits = |active: &Active, group: u64| {
            active.header.format >= format
                && active.end + group + size + record::FENCE_BYTES <= active.header.capacity
        };
        if fits(&self.active, self.group.bytes() as u64) {
            return Ok(());
        }
        self.commit()?;
        if fits(&self.active, 0) {
            return Ok(());
        }
        self.roll(size, format)
    }

    /// Writes the group, waits for the disk, shows it to readers and the follower, and answers.
    fn commit(&mut self) -> Result<(), AppendError> {
        let mut group = mem::take(&mut self.group);
        let written = if group.entries.is_empty() { Ok(()) } else { self.write(&group) };
        match &written {
            Ok(()) => self.publish(&mut group),
            Err(error) => group.fail(error),
        }
        // Whoever is answered may come back at once, and is no company for itself.
        self.pace.look(!self.shared.queue.is_empty());
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
            let retracted = self.retract(end, end + group.bytes() as u64);
            self.active.fenced = false;
            if let Err(error) = retracted {
                return Err(self.poison("retract a write from", &error).into());
            }
            self.report_full(&error);
            return Err(AppendError::Full { reason: error.to_string() });
        }
        self.told_full = false;
        if self.shared.config.durability == Durability::Sync {
            let start = Instant::now();
            let synced = self.active.file.sync();
            self.shared.syncs.record(start.elapsed(), 1);
            if let Err(error) = synced {
                return Err(self.poison("sync", &error).into());
            }
            self.pace.synced(start.elapsed());
        }
        self.active.end += group.bytes() as u64;
        self.active.fenced = false;
        Ok(())
    }

    /// Takes back what was perhaps written from `from` to `to`. A fence that is whole was not written over, and stays.
    fn retract(&self, from: u64, to: u64) -> io::Result<()> {
        let file = &*self.active.file;
        let fence = self.encode_fence();
        let mut found = vec![0; fence.len()];
        let is_whole = file.read_at(&mut found, from)? == fence.len() && found == fence;
        let from = if is_whole { from + fence.len() as u64 } else { from };
        segment::blank(file, from, to)?;
        file.sync()
    }

    fn encode_fence(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        record::encode_fence(&mut bytes, self.next, self.time, self.active.header.stamp);
        bytes
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
                    deletes: entry.deletes(),
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
            // It is a help, and nothing depends on it.
            drop(self.active.file.write_at(&self.encode_fence(), self.active.end));
            self.active.fenced = true;
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

    fn look_around(&self) -> Whereabouts {
        let shared = &self.shared;
        let active = segment::path(&shared.dir, self.active.header.base, "log");
        [shared.dir.join("LOCK"), active].map(|path| shared.files.identity(&path))
    }

    /// A folder that was removed or replaced takes writes as before, and nothing of them is there at the next start. A
    /// segment that was cut has a hole where events were.
    fn check_place(&mut self) {
        self.looked = Instant::now();
        let is_long = self.active.file.len().map_or(true, |length| length >= self.active.end);
        let is_whole = is_long && Header::is_there(&*self.active.file);
        if (is_whole && self.look_around() == self.whereabouts) || self.poisoned().is_some() {
            return;
        }
        let dir = self.shared.dir.display();
        let reason = format!(
            "the files in {dir} were removed, replaced or cut while the log was open; restart the hub"
        );
        tracing::error!(%reason, "the log takes no more writes");
        self.shared.set_poisoned(LogUnavailable { reason });
    }

    /// Says once why publications are refused, until one is written.
    fn report_full(&mut self, error: &io::Error) {
        if !mem::replace(&mut self.told_full, true) {
            let dir = self.shared.dir.display();
            tracing::error!(%dir, %error, "the log is full: a publication was refused, and so is the next, until there is room");
        }
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
