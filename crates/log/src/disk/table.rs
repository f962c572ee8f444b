//! Sorted entries of a fixed size on disk, and a filter in memory that tells most absent keys apart without
//! touching them. The keys are keyed hashes: evenly spread, and nobody can choose two that meet.

use std::io;

use super::bytes::{u32_at, u128_at};
use super::files::File;

/// A Bloom filter over hashes of 128 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    words: Vec<u64>,
}

/// Bits for each key: with [`PROBES`] about one absent key in a hundred is looked for.
const BITS_PER_KEY: usize = 10;
const PROBES: u64 = 7;

/// Why a derived file could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error("byte {offset}: {reason}")]
    Damaged { offset: u64, reason: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
}

// === impl Filter ===

impl Filter {
    pub(crate) fn for_keys(count: usize) -> Self {
        Self { words: vec![0; Self::words_for(count)] }
    }

    fn words_for(count: usize) -> usize {
        (count * BITS_PER_KEY).div_ceil(64).max(1)
    }

    /// What the filter for so many keys takes.
    pub(crate) fn bytes_for(count: usize) -> usize {
        Self::words_for(count) * 8
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
        Self { words: words.collect() }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for word in &self.words {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    pub(crate) fn insert(&mut self, key: u128) {
        let bits = self.words.len() as u64 * 64;
        for bit in probes(key, bits) {
            self.words[word_of(bit)] |= 1 << (bit % 64);
        }
    }

    /// Whether a key may be there. A filter of no bytes tells nothing apart.
    pub(crate) fn may_hold(&self, key: u128) -> bool {
        let bits = self.words.len() as u64 * 64;
        let is_set = |bit| self.words.get(word_of(bit)).is_none_or(|word| word & (1 << (bit % 64)) != 0);
        probes(key, bits).all(is_set)
    }
}

fn word_of(bit: u64) -> usize {
    usize::try_from(bit / 64).unwrap_or(usize::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "both halves of the hash are wanted")]
fn probes(key: u128, bits: u64) -> impl Iterator<Item = u64> {
    let (low, high) = (key as u64, (key >> 64) as u64 | 1);
    (0..PROBES).map(move |probe| low.wrapping_add(probe.wrapping_mul(high)) % bits.max(1))
}

/// Ends an entry with its checksum.
pub(crate) fn seal_entry(out: &mut Vec<u8>, start: usize) {
    let sum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Checks an entry that [`seal_entry`] ended.
pub(crate) fn is_sound(entry: &[u8]) -> bool {
    let (body, sum) = entry.split_at(entry.len().saturating_sub(4));
    sum.len() == 4 && crc32c::crc32c(body) == u32_at(sum, 0)
}

/// Finds the entry that begins with `key` among `count` entries of `WIDTH` bytes from `start`.
pub(crate) fn search<const WIDTH: usize>(
    file: &dyn File,
    start: u64,
    count: u64,
    key: u128,
) -> Result<Option<[u8; WIDTH]>, TableError> {
    let (mut low, mut high) = (0, count);
    let mut entry = [0; WIDTH];
    while low < high {
        let middle = low + (high - low) / 2;
        let offset = start + middle * WIDTH as u64;
        if file.read_at(&mut entry, offset)? < WIDTH || !is_sound(&entry) {
            return Err(TableError::Damaged { offset, reason: "the entry does not match its checksum" });
        }
        match u128_at(&entry, 0).cmp(&key) {
            std::cmp::Ordering::Equal => return Ok(Some(entry)),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(None)
}
