//! The answers to idempotent batches of sealed segments. They outlive their segment: a key is known for its
//! window, whatever retention does.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tidings_protocol::{Sequence, Timestamp};

use super::bytes::{u32_at, u64_at, u128_at};
use super::handles::{Handles, Kind};
use super::limits;
use super::table::{self, Filter, TableError};
use crate::append::Numbered;
use crate::idempotency::{Answer, Fingerprint};

const MAGIC: &[u8; 8] = b"TIDINGSK";
const HEADER: usize = 64;
const ENTRY: usize = 56;

/// The answers of one segment.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) base: Sequence,
    /// The time of the latest answer.
    pub(crate) newest: Timestamp,
    contents: RwLock<Contents>,
}

#[derive(Debug)]
enum Contents {
    Memory(HashMap<u128, Answer>),
    File { filter: Option<Filter>, start: u64, count: u64, handles: Arc<Handles> },
}

/// The answers of the segment that is written to.
pub(crate) type Fresh = HashMap<u128, Answer>;

pub(crate) fn note(fresh: &mut Fresh, fingerprint: Fingerprint, appended: Numbered) {
    fresh.insert(fingerprint.key, Answer { content: fingerprint.content, appended });
}

/// Whether an answer is still given.
pub(crate) fn is_current(answer: &Answer, now: Timestamp, window: Duration) -> bool {
    answer.appended.time.until(now) < window
}

fn encode(answers: &HashMap<u128, Answer>, newest: Timestamp, base: Sequence, log: u64) -> Vec<u8> {
    let mut sorted: Vec<_> = answers.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| **key);
    let mut filter = Filter::for_keys(sorted.len());
    sorted.iter().for_each(|(key, _)| filter.insert(**key));
    let mut out = Vec::with_capacity(HEADER + filter.bytes() + sorted.len() * ENTRY);
    out.extend_from_slice(MAGIC);
    let head = [
        u64::from(limits::FORMAT),
        log,
        base,
        newest.as_millis(),
        sorted.len() as u64,
        filter.bytes() as u64,
    ];
    head.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    let mut filter_bytes = Vec::with_capacity(filter.bytes());
    filter.write(&mut filter_bytes);
    out.extend_from_slice(&crc32c::crc32c(&filter_bytes).to_le_bytes());
    table::seal_entry(&mut out, 0);
    out.extend_from_slice(&filter_bytes);
    for (key, answer) in sorted {
        let start = out.len();
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&answer.content.to_le_bytes());
        out.extend_from_slice(&answer.appended.first.to_le_bytes());
        out.extend_from_slice(&answer.appended.time.as_millis().to_le_bytes());
        out.extend_from_slice(&answer.appended.count.to_le_bytes());
        table::seal_entry(&mut out, start);
    }
    out
}

/// What so many answers will take on the disk.
pub(crate) fn bytes(answers: usize) -> u64 {
    match answers {
        0 => 0,
        count => (HEADER + Filter::bytes_for(count) + count * ENTRY) as u64,
    }
}

// === impl Keys ===

impl Keys {
    /// The answers of a segment that was just sealed.
    pub(crate) fn fresh(base: Sequence, answers: Fresh) -> Option<Self> {
        let newest = answers.values().map(|answer| answer.appended.time).max()?;
        Some(Self { base, newest, contents: RwLock::new(Contents::Memory(answers)) })
    }

    /// The bytes of the file, where the answers are still in memory.
    pub(crate) fn encode(&self, log: u64) -> Option<Vec<u8>> {
        match &*self.contents.read().unwrap_or_else(PoisonError::into_inner) {
            Contents::Memory(answers) => Some(encode(answers, self.newest, self.base, log)),
            Contents::File { .. } => None,
        }
    }

    /// Goes over to the file, which holds the same.
    pub(crate) fn leave_memory(&self, loaded: Self) {
        let loaded = loaded.contents.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.contents.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    pub(crate) fn load(handles: &Arc<Handles>, base: Sequence, log: u64) -> Result<Self, TableError> {
        let damaged = |reason| TableError::Damaged { offset: 0, reason };
        let file = handles.get(base, Kind::Keys)?;
        let mut header = [0; HEADER];
        if file.read_at(&mut header, 0)? < HEADER || &header[..8] != MAGIC || !table::is_sound(&header) {
            return Err(damaged("the file does not begin as the keys of a segment do"));
        }
        let number = |place: usize| u64_at(&header, 8 + place * 8);
        if number(0) != u64::from(limits::FORMAT) || number(1) != log || number(2) != base {
            return Err(damaged("the keys belong to something else"));
        }
        let (count, filter) = (number(4), number(5));
        let start = (HEADER as u64).saturating_add(filter);
        if count.checked_mul(ENTRY as u64).and_then(|bytes| bytes.checked_add(start)) != Some(file.len()?) {
            return Err(damaged("the keys have impossible sizes"));
        }
        let mut bytes = vec![0; usize::try_from(filter).unwrap_or(0)];
        if file.read_at(&mut bytes, HEADER as u64)? < bytes.len()
            || crc32c::crc32c(&bytes) != u32_at(&header, 56)
        {
            return Err(damaged("the filter of the keys does not match its checksum"));
        }
        let filter = Some(Filter::from_bytes(&bytes));
        let contents = Contents::File { filter, start, count, handles: Arc::clone(handles) };
        Ok(Self { base, newest: Timestamp::from_millis(number(3)), contents: RwLock::new(contents) })
    }

    pub(crate) fn get(&self, key: u128) -> Result<Option<Answer>, TableError> {
        match &*self.contents.read().unwrap_or_else(PoisonError::into_inner) {
            Contents::Memory(answers) => Ok(answers.get(&key).copied()),
            Contents::File { filter, start, count, handles } => {
                if filter.as_ref().is_some_and(|filter| !filter.may_hold(key)) {
                    return Ok(None);
                }
                let file = handles.get(self.base, Kind::Keys)?;
                let entry = table::search::<ENTRY>(&*file, *start, *count, key)?;
                Ok(entry.map(|entry| Answer {
                    content: u128_at(&entry, 16),
                    appended: Numbered {
                        first: u64_at(&entry, 32),
                        time: Timestamp::from_millis(u64_at(&entry, 40)),
                        count: u32_at(&entry, 48),
                        duplicate: false,
                    },
                }))
            }
        }
    }

    /// What it takes on the disk.
    pub(crate) fn bytes(&self) -> u64 {
        match &*self.contents.read().unwrap_or_else(PoisonError::into_inner) {
            Contents::Memory(answers) => bytes(answers.len()),
            Contents::File { start, count, .. } => start + count * ENTRY as u64,
        }
    }

    pub(crate) fn filter_bytes(&self) -> usize {
        match &*self.contents.read().unwrap_or_else(PoisonError::into_inner) {
            Contents::File { filter: Some(filter), .. } => filter.bytes(),
            _ => 0,
        }
    }

    /// Gives the filter's memory back.
    pub(crate) fn drop_filter(&self) {
        if let Contents::File { filter, .. } =
            &mut *self.contents.write().unwrap_or_else(PoisonError::into_inner)
        {
            *filter = None;
        }
    }
}
