//! What becomes of the log when its files do not do as they are told.

mod damage;
mod full;
mod gone;
mod keys;
mod lineage;
mod place;
mod power;
mod searches;
mod sync;
mod tidy;
mod torn;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidings_protocol::{Event, NewEvent, Selection, Selector, Sequence, Timestamp, Topic};
use tokio::runtime::Runtime;

use super::faults::FaultyFiles;
use super::files::Files;
use super::{DiskConfig, DiskLog, OpenError, segment};
use crate::{AppendError, Appended, Batch, Idempotency, Log, ReadError, ReadLimits, Retention, Scope};

/// A log on a disk that fails, with a clock that tests move.
#[derive(Debug, Clone)]
struct Bench {
    disk: FaultyFiles,
    clock: Arc<AtomicU64>,
    config: DiskConfig,
}

const DIR: &str = "/log";

impl Bench {
    fn new(segment_bytes: u64) -> Self {
        let retention = Retention { age: Duration::from_secs(3_600), bytes: 1 << 30 };
        let config = DiskConfig { segment_bytes: Some(segment_bytes), retention, ..DiskConfig::default() };
        Self { disk: FaultyFiles::default(), clock: Arc::new(AtomicU64::new(1_000_000_000)), config }
    }

    fn on(&self, disk: FaultyFiles) -> Self {
        Self { disk, ..self.clone() }
    }

    fn open(&self) -> Result<DiskLog, OpenError> {
        let files: Arc<dyn Files> = Arc::new(self.disk.clone());
        let clock = Arc::clone(&self.clock);
        let clock = Arc::new(move || Timestamp::from_millis(clock.load(Ordering::Relaxed)));
        DiskLog::open_with(Path::new(DIR), self.config, &files, clock)
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// The file and the place of the damage that keeps the log from being opened.
    fn refused(&self) -> (PathBuf, u64) {
        match self.open() {
            Err(OpenError::Damaged { file, offset, .. }) => (file, offset),
            other => panic!("the log should be refused as damaged: {other:?}"),
        }
    }
}

fn log_file(base: Sequence) -> PathBuf {
    segment::path(Path::new(DIR), base, "log")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn one(name: &str, data: &str) -> Batch {
    Batch::of(NewEvent::text(topic(name), data))
}

fn keyed(mut batch: Batch, key: &str) -> Batch {
    batch.idempotency = Some(Idempotency { scope: Scope::Batches, key: key.into() });
    batch
}

fn append(log: &DiskLog, batch: Batch) -> Result<Appended, AppendError> {
    runtime().block_on(log.append(batch))
}

/// Appends so many events, one by one, each with its number as data.
fn fill(log: &DiskLog, count: usize) {
    let runtime = runtime();
    for number in 0..count {
        runtime.block_on(log.append(one(&format!("t/{}", number % 3), &number.to_string()))).unwrap();
    }
}

fn try_read(log: &DiskLog, selector: &str) -> Result<Vec<Arc<Event>>, ReadError> {
    try_read_with(log, &Selection::new([Selector::new(selector).unwrap()]))
}

fn try_read_with(log: &DiskLog, selection: &Selection) -> Result<Vec<Arc<Event>>, ReadError> {
    let limits = ReadLimits { entries: 10_000, bytes: 1 << 30 };
    let (mut after, mut entries) = (log.bounds().earliest - 1, Vec::new());
    loop {
        let chunk = runtime().block_on(log.read(after, selection, limits))?;
        entries.extend(chunk.entries);
        if chunk.next == after {
            return Ok(entries);
        }
        after = chunk.next;
    }
}

fn read(log: &DiskLog) -> Vec<Arc<Event>> {
    try_read(log, "**").unwrap()
}

fn data(entries: &[Arc<Event>]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8(entry.data.to_vec()).unwrap()).collect()
}

/// Where each record of a segment begins, and where the last one ends.
fn offsets(bench: &Bench, base: Sequence) -> Vec<u64> {
    let bytes = bench.disk.contents(&log_file(base));
    let mut offsets = vec![segment::HEADER];
    loop {
        let at = *offsets.last().unwrap();
        let length = super::bytes::u32_at(&bytes, at as usize + 8);
        let flags = super::bytes::u16_at(&bytes, at as usize + 12);
        let is_bare = flags & (1 << 7) != 0;
        if length == 0 || is_bare {
            return offsets;
        }
        offsets.push(at + super::record::padded(u64::from(length)));
    }
}
