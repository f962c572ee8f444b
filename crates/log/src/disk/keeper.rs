//! The work that no publisher should wait for: preparing the next segment, writing indexes, removing files.
//! One thread, which the writer owns.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::files::{self, Files};
use super::handles::{Handles, Kind};
use super::index::Index;
use super::index_file::{self, IndexFile};
use super::keys::Keys;
use super::segment::{self, Prepared, Segment};
use super::view::DiskState;
use crate::LogUnavailable;

/// Something for the keeper to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Prepare a segment of so many bytes.
    Prepare(u64),
    /// Write the index and the keys of a segment that is complete.
    Seal(Arc<Segment>, Option<Arc<Keys>>),
    /// Remove a segment that retention has given up.
    Remove(Arc<Segment>),
    /// Remove keys whose window has passed.
    Forget(Arc<Keys>),
    /// Say when all before is done.
    Barrier(Sender<()>),
}

/// The writer's hold on the keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    jobs: Option<Sender<Job>>,
    prepared: Arc<Mutex<Option<Prepared>>>,
    thread: Option<JoinHandle<()>>,
}

/// Where sealed segments leave their files.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) dir: &'a Path,
    pub(crate) handles: &'a Arc<Handles>,
    pub(crate) log: u64,
    pub(crate) secret: [u8; 16],
}

// === impl Output ===

impl Output<'_> {
    /// Writes the keys and the index of a segment, in this order: where there is an index, there are keys.
    /// Then lets go of what was in memory.
    pub(crate) fn seal(&self, segment: &Segment, keys: Option<&Keys>) -> io::Result<()> {
        let base = segment.base();
        if let Some(keys) = keys
            && let Some(bytes) = keys.encode(self.log)
        {
            files::replace(self.files, &self.handles.path(base, Kind::Keys), &bytes)?;
            self.handles.forget(base, Kind::Keys);
            keys.leave_memory(Keys::load(self.handles, base, self.log).map_err(io::Error::other)?);
        }
        let (bytes, end) = match &*segment.index() {
            Index::File(_) => return Ok(()),
            Index::Memory(index) => {
                (index_file::encode(index, base, self.log, self.secret), index.summary.end)
            }
        };
        // The zeros at the end are given back.
        let file = self.handles.get(base, Kind::Log)?;
        if file.len()? > end {
            file.set_len(end)?;
            file.sync()?;
        }
        files::replace(self.files, &self.handles.path(base, Kind::Index), &bytes)?;
        self.handles.forget(base, Kind::Index);
        let loaded = IndexFile::load(self.handles, base, self.log, self.secret).map_err(io::Error::other)?;
        *segment.index_mut() = Index::File(loaded);
        Ok(())
    }

    /// Removes a file; `false` where it may still be there after a crash.
    fn remove(&self, base: u64, kind: Kind) -> bool {
        self.handles.forget(base, kind);
        let path = self.handles.path(base, kind);
        let removed = match self.files.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // The directory is synced after each: no segment goes before an older one.
            _ => self.files.sync_dir(self.dir),
        };
        if let Err(error) = &removed {
            tracing::warn!(file = %path.display(), %error, "a file that is not needed any more stays");
        }
        removed.is_ok()
    }
}

// === impl Keeper ===

impl Keeper {
    pub(crate) fn start(shared: Arc<DiskState>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let prepared = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&prepared);
        let work = move || {
            let watch = Watch(&shared);
            run(&shared, &queue, &slot);
            std::mem::forget(watch);
        };
        let thread = thread::Builder::new().name("tidings-log-keep".into()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), prepared, thread: Some(thread) })
    }

    pub(crate) fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // It ends only when the writer lets go of it.
            drop(jobs.send(job));
        }
    }

    /// The segment that is ready, where it holds so many bytes.
    pub(crate) fn take(&self, capacity: u64) -> Option<Prepared> {
        let mut slot = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take_if(|prepared| prepared.capacity >= capacity)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits until all that was sent is done.
    pub(crate) fn settle(&self) {
        let (done, wait) = mpsc::channel();
        self.send(Job::Barrier(done));
        let _ = wait.recv();
    }

    /// Waits until all that was sent is done, and ends the thread.
    pub(crate) fn stop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the keeper of the log ended in a panic");
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Ends the log's writing where the thread ends in a panic: without a keeper nothing is sealed and nothing discarded.
struct Watch<'a>(&'a DiskState);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let reason =
            "its keeper, which seals and removes segments, has ended in a panic; restart the hub".to_owned();
        tracing::error!(%reason, "the log takes no more writes");
        self.0.set_poisoned(LogUnavailable { reason });
    }
}

fn run(shared: &DiskState, jobs: &Receiver<Job>, slot: &Mutex<Option<Prepared>>) {
    let output = Output {
        files: &*shared.files,
        dir: &shared.dir,
        handles: &shared.handles,
        log: shared.log,
        secret: shared.secret,
    };
    // What could not be written, as on a full disk. It stays in memory, and is tried again.
    let mut unsealed: Vec<(Arc<Segment>, Option<Arc<Keys>>)> = Vec::new();
    let mut unremoved: VecDeque<Arc<Segment>> = VecDeque::new();
    // What fails is tried again with each job, and told once until it is well again.
    let (mut told_prepare, mut told_seal) = (false, false);
    while let Ok(job) = jobs.recv() {
        let mut settled = None;
        match job {
            Job::Prepare(capacity) => prepare(shared, capacity, slot, &mut told_prepare),
            Job::Seal(segment, keys) => unsealed.push((segment, keys)),
            Job::Remove(segment) => unremoved.push_back(segment),
            Job::Forget(keys) => drop(output.remove(keys.base, Kind::Keys)),
            Job::Barrier(done) => settled = Some(done),
        }
        unsealed.retain(|(segment, keys)| {
            let sealed = output.seal(segment, keys.as_deref());
            if let Err(error) = &sealed
                && !std::mem::replace(&mut told_seal, true)
            {
                tracing::warn!(
                    segment = segment.base(),
                    %error,
                    "the index of a segment stays in memory; it is tried again"
                );
            }
            sealed.is_err()
        });
        told_seal &= !unsealed.is_empty();
        // In order, so that no segment is missing between others; and not before its keys are written.
        while let Some(segment) = unremoved.front()
            && !unsealed.iter().any(|(other, _)| other.base() == segment.base())
            && remove(shared, &output, segment)
        {
            unremoved.pop_front();
        }
        if let Some(done) = settled {
            let _ = done.send(());
        }
    }
    if let Some(prepared) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // The next start would remove it as well.
        drop(shared.files.remove(&prepared.path));
    }
}

fn prepare(shared: &DiskState, capacity: u64, slot: &Mutex<Option<Prepared>>, told: &mut bool) {
    let is_ready = || slot.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    if is_ready() {
        return;
    }
    match segment::prepare(&*shared.files, shared.preparation(), capacity) {
        Ok(prepared) => {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(prepared);
            shared.set_full(None);
            *told = false;
        }
        Err(error) if !*told => {
            *told = true;
            tracing::warn!(%error, "the next segment could not be prepared; it is tried again");
        }
        Err(_) => {}
    }
}

fn remove(shared: &DiskState, output: &Output<'_>, segment: &Segment) -> bool {
    let earliest = shared.range().0;
    match segment.index().topics() {
        Ok(infos) => {
            let mut topics = shared.topics_mut();
            infos.iter().for_each(|known| topics.forget(known.info.topic.as_str(), earliest));
        }
        Err(error) => tracing::warn!(segment = segment.base(), %error, "topics of a segment stay known"),
    }
    output.remove(segment.base(), Kind::Log) && output.remove(segment.base(), Kind::Index)
}
