//! One file of the log: a header, records, and zeros up to its capacity.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tidings_protocol::{Sequence, Timestamp};

use super::bytes::{u32_at, u64_at};
use super::files::{File, Files};
use super::index::Index;
use super::limits;
use super::record::Stamp;

/// Where the first record begins.
pub(crate) const HEADER: u64 = 64;
const MAGIC: &[u8; 8] = b"TIDINGSL";

/// How a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The log that the segment belongs to.
    pub(crate) log: u64,
    /// The sequence number of the first entry.
    pub(crate) base: Sequence,
    /// No entry is earlier.
    pub(crate) time: Timestamp,
    /// How long the file is while it is written to.
    pub(crate) capacity: u64,
    pub(crate) stamp: Stamp,
    /// The version of its records: [`limits::FORMAT`] or [`limits::FORMAT_STATE`].
    pub(crate) format: u32,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFlaw {
    Format(u32),
    Bad(&'static str),
}

/// A segment of the log, whether it is still written to or not.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: Header,
    index: RwLock<Index>,
}

/// A file that is ready to become a segment: long enough, and full of zeros, so that a commit changes nothing
/// but data and its sync does not wait for the file system's journal.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) capacity: u64,
}

// === impl Header ===

impl Header {
    /// Whether a segment's file still begins like one. Where it was cut and then filled with zeros by the writer, it is as long
    /// as before.
    pub(super) fn is_there(file: &dyn File) -> bool {
        let mut start = [0; MAGIC.len()];
        file.read_at(&mut start, 0).map_or(true, |read| read == start.len() && start == *MAGIC)
    }

    pub(crate) fn encode(&self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.format.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.log.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.time.as_millis().to_le_bytes());
        bytes[40..48].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.stamp.mark.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.stamp.seed.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFlaw> {
        if bytes.len() < HEADER as usize || &bytes[..8] != MAGIC {
            return Err(HeaderFlaw::Bad("the file does not begin as a segment does"));
        }
        let format = u32_at(bytes, 8);
        if !(limits::FORMAT..=limits::FORMAT_STATE).contains(&format) {
            return Err(HeaderFlaw::Format(format));
        }
        if crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(HeaderFlaw::Bad("the segment's header does not match its checksum"));
        }
        Ok(Self {
            log: u64_at(bytes, 16),
            base: u64_at(bytes, 24),
            time: Timestamp::from_millis(u64_at(bytes, 32)),
            capacity: u64_at(bytes, 40),
            stamp: Stamp { mark: u32_at(bytes, 48), seed: u32_at(bytes, 52) },
            format,
        })
    }
}

// === impl Segment ===

impl Segment {
    pub(crate) fn new(header: Header, index: Index) -> Self {
        Self { header, index: RwLock::new(index) }
    }

    pub(crate) fn base(&self) -> Sequence {
        self.header.base
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the files of a segment are called.
pub(crate) fn path(dir: &Path, base: Sequence, kind: &str) -> PathBuf {
    dir.join(format!("{base:020}.{kind}"))
}

/// The segment that a file of this kind belongs to, by its name.
pub(crate) fn base_of(name: &str, kind: &str) -> Option<Sequence> {
    let digits = name.strip_suffix(kind)?.strip_suffix('.')?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// Creates a file of `capacity` zeros that are on the disk.
pub(crate) fn prepare(files: &dyn Files, path: PathBuf, capacity: u64) -> io::Result<Prepared> {
    let file = files.create(&path)?;
    let filled = (|| {
        file.allocate(capacity)?;
        zero(&*file, 0, capacity)
    })();
    if let Err(error) = filled {
        drop(file);
        // What it took of a full disk is given back; where that fails too, the next start removes it.
        drop(files.remove(&path));
        return Err(error);
    }
    Ok(Prepared { path, file, capacity })
}

/// Writes zeros from `from` to `to`, and waits until they are on the disk.
pub(crate) fn zero(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    let zeros = vec![0; limits::ZERO_FILL_BYTES.min(length)];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(usize::MAX).min(zeros.len());
        file.write_at(&zeros[..length], at)?;
        file.sync()?;
        at += length as u64;
    }
    Ok(())
}

/// Makes a prepared file the segment that begins with `base`. When this returns, it is one for good; where it
/// fails, the segment may be there all the same, and empty.
pub(crate) fn begin(
    files: &dyn Files,
    dir: &Path,
    prepared: &Prepared,
    log: u64,
    (base, time): (Sequence, Timestamp),
    format: u32,
) -> io::Result<Header> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    // No zeros: a blank place never carries the mark.
    let stamp = Stamp { mark: u32_at(&random, 0) | 1, seed: u32_at(&random, 4) };
    let header = Header { log, base, time, capacity: prepared.capacity, stamp, format };
    prepared.file.write_at(&header.encode(), 0)?;
    prepared.file.sync()?;
    files.rename(&prepared.path, &path(dir, base, "log"))?;
    files.sync_dir(dir)?;
    Ok(header)
}

/// Writes zeros over what is not zero from `from` to `to`, and says how many bytes were not. It asks for no
/// room that is not taken already, as long as the file system writes in place.
pub(crate) fn blank(file: &dyn File, from: u64, to: u64) -> io::Result<u64> {
    let mut buffer = vec![0; limits::SCAN_CHUNK_BYTES];
    let (mut at, mut dirty) = (from, 0);
    while at < to {
        let part = usize::try_from(to - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read_at(&mut buffer[..part], at)?;
        if read == 0 {
            break;
        }
        for piece in buffer[..read].chunks_mut(BLANK_PIECE) {
            let count = piece.iter().filter(|&&byte| byte != 0).count();
            if let Some(last) = piece.iter().rposition(|&byte| byte != 0) {
                piece[..=last].fill(0);
                // No further: a file that may grow no more takes nothing beyond its limit, not even zeros.
                file.write_at(&piece[..=last], at)?;
            }
            dirty += count as u64;
            at += piece.len() as u64;
        }
    }
    Ok(dirty)
}

/// What [`blank`] looks at and writes in one piece.
const BLANK_PIECE: usize = 4 << 10;
