//! Reading the records of a segment one after the other, through a buffer of a bounded size.

use std::io;
use std::sync::Arc;

use tidings_protocol::{Timestamp, Topic};

use super::files::File;
use super::index::{MemoryIndex, Noted};
use super::keys::{self, Fresh};
use super::record::{ALIGN, Flaw, HEADER, Record, Stamp};
use super::segment::{self, Header};
use crate::append::Numbered;
use crate::idempotency::Fingerprint;

/// A window that moves over a segment.
#[derive(Debug)]
pub(crate) struct Scanner {
    file: Arc<dyn File>,
    stamp: Stamp,
    buffer: Vec<u8>,
    /// The place of the first byte in `buffer`.
    start: u64,
}

/// Why no record was read.
#[derive(Debug)]
pub(crate) enum ScanError {
    /// Nothing was written here.
    Blank,
    /// What is here is no record.
    Bad(&'static str),
    Io(io::Error),
}

/// What the records of a segment say.
#[derive(Debug)]
pub(crate) struct Contents {
    /// Of the batches that are whole.
    pub(crate) index: MemoryIndex,
    pub(crate) answers: Fresh,
    /// The last place where a record says that all before it is on disk.
    pub(crate) fence: u64,
    /// Where the records end, and why.
    pub(crate) stop: (u64, ScanError),
}

struct Pending {
    topic: Topic,
    time: Timestamp,
    closes: bool,
    deletes: bool,
    offset: u64,
    length: u64,
}

// === impl Scanner ===

impl Scanner {
    pub(crate) fn new(file: Arc<dyn File>, stamp: Stamp) -> Self {
        Self { file, stamp, buffer: Vec::new(), start: 0 }
    }

    /// The record at `offset`. Where it is not in the buffer, `chunk` bytes are read, or more where it is longer.
    pub(crate) fn record(&mut self, offset: u64, chunk: usize) -> Result<Record<'_>, ScanError> {
        // First what tells its length, and then, where that is not enough, all of it.
        for _ in 0..2 {
            let Err(Flaw::Short { needed }) = Record::decode(self.buffered(offset), self.stamp) else {
                break;
            };
            // The length is not covered by the checksum yet; no record is longer than the file.
            let rest = self.file.len().map_err(ScanError::Io)?.saturating_sub(offset);
            let needed = needed.min(usize::try_from(rest).unwrap_or(usize::MAX));
            self.fill(offset, chunk.max(needed)).map_err(ScanError::Io)?;
        }
        match Record::decode(self.buffered(offset), self.stamp) {
            Ok(record) => Ok(record),
            Err(Flaw::Blank) => Err(ScanError::Blank),
            Err(Flaw::Bad(reason)) => Err(ScanError::Bad(reason)),
            Err(Flaw::Short { .. }) if self.buffered(offset).iter().all(|&byte| byte == 0) => {
                Err(ScanError::Blank)
            }
            Err(Flaw::Short { .. }) => Err(ScanError::Bad("the file ends within the record")),
        }
    }

    fn buffered(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.buffer.get(skip..)).unwrap_or_default()
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        self.buffer.resize(length, 0);
        self.start = offset;
        let read = self.file.read_at(&mut self.buffer, offset)?;
        self.buffer.truncate(read);
        Ok(())
    }

    /// The first place after `offset` with a record that `is_wanted`.
    pub(crate) fn find(
        &mut self,
        offset: u64,
        chunk: usize,
        is_wanted: impl Fn(&Record<'_>) -> bool,
    ) -> io::Result<Option<u64>> {
        let mark = self.stamp.mark.to_le_bytes();
        let mut at = offset.next_multiple_of(ALIGN);
        if at == offset {
            at += ALIGN;
        }
        let mut window = vec![0; chunk];
        loop {
            let read = self.file.read_at(&mut window, at)?;
            for place in (0..read.saturating_sub(HEADER - 1)).step_by(8) {
                if window[place..].starts_with(&mark)
                    && let Ok(record) = self.record(at + place as u64, HEADER)
                    && is_wanted(&record)
                {
                    return Ok(Some(at + place as u64));
                }
            }
            if read < chunk {
                return Ok(None);
            }
            at += (chunk - HEADER.next_multiple_of(8)) as u64;
        }
    }
}

/// Reads all records of a segment, up to the first place without one.
pub(crate) fn contents(scanner: &mut Scanner, header: &Header, chunk: usize) -> Contents {
    let mut index = MemoryIndex::new(header);
    let mut answers = Fresh::new();
    let mut fence = segment::HEADER;
    let mut pending: Vec<Pending> = Vec::new();
    let mut fingerprint: Option<Fingerprint> = None;
    let mut offset = segment::HEADER;
    let stop = loop {
        let record = match scanner.record(offset, chunk) {
            Ok(record) => record,
            Err(error) => break error,
        };
        let due = index.summary.last + pending.len() as u64 + 1;
        if record.sequence != due {
            break ScanError::Bad("the record has another sequence number than is due here");
        }
        if record.is_fence() {
            fence = offset;
        }
        if record.is_bare() {
            offset += record.length;
            continue;
        }
        if pending.is_empty() {
            fingerprint = record.fingerprint;
        }
        if record.continues() {
            let Ok(topic) = Topic::new(record.topic) else {
                break ScanError::Bad("the record has no valid topic");
            };
            let (time, length) = (record.time, record.length);
            let (closes, deletes) = (record.closes(), record.deletes());
            pending.push(Pending { topic, time, closes, deletes, offset, length });
            offset += length;
            continue;
        }
        let keyed = fingerprint.is_some();
        let count = u32::try_from(pending.len() + 1).unwrap_or(u32::MAX);
        let first = index.summary.last + 1;
        for (place, entry) in pending.drain(..).enumerate() {
            let noted = Noted {
                sequence: first + place as u64,
                time: entry.time,
                topic: entry.topic.as_str(),
                closes: entry.closes,
                deletes: entry.deletes,
                keyed: false,
                offset: entry.offset,
                length: entry.length,
            };
            index.push(noted, || Some(entry.topic.clone()));
        }
        let noted = Noted { keyed, ..Noted::of(&record, offset) };
        index.push(noted, || Topic::new(record.topic).ok());
        if let Some(fingerprint) = fingerprint.take() {
            let appended = Numbered { first, count, time: record.time, duplicate: false };
            keys::note(&mut answers, fingerprint, appended);
        }
        offset += record.length;
    };
    Contents { index, answers, fence, stop: (offset, stop) }
}
