//! The index of a sealed segment as a file: a header; then the head, which is read whole when the log is
//! opened (marks, filter, topics, names); then the postings, which are read as needed, each block with its
//! own checksum.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher24};
use tidings_protocol::{Sequence, Timestamp, Topic};

use super::bytes::{u16_at, u32_at, u64_at};
use super::handles::{Handles, Kind};
use super::index::{KnownTopic, Mark, MemoryIndex, Summary, Wanted};
use super::limits::{self, POSTINGS_BLOCK};
use super::record::ALIGN;
use super::table::{self, Filter, TableError};
use crate::TopicInfo;

const MAGIC: &[u8; 8] = b"TIDINGSX";
const HEADER: usize = 112;
const MARK: usize = 24;
const TOPIC: usize = 64;
/// A full block of postings and its checksum.
const BLOCK: u64 = (POSTINGS_BLOCK as u64 + 1) * 4;

/// The index of a sealed segment, of which the small parts are in memory.
#[derive(Debug)]
pub(crate) struct IndexFile {
    pub(crate) summary: Summary,
    pub(crate) marks: Vec<Mark>,
    base: Sequence,
    secret: [u8; 16],
    filter: Filter,
    topics: u64,
    topics_at: u64,
    names: u64,
    handles: Arc<Handles>,
}

fn hash(topic: &str, secret: [u8; 16]) -> u128 {
    let mut hasher = SipHasher24::new_with_key(&secret);
    topic.hash(&mut hasher);
    hasher.write_u8(b'T');
    hasher.finish128().as_u128()
}

/// The bytes of the index of a sealed segment.
pub(crate) fn encode(index: &MemoryIndex, base: Sequence, log: u64, secret: [u8; 16]) -> Vec<u8> {
    let mut topics: Vec<_> = index
        .topics
        .iter()
        .map(|(topic, postings)| (hash(topic.as_str(), secret), topic, postings))
        .collect();
    topics.sort_unstable_by_key(|(key, ..)| *key);
    let mut filter = Filter::for_keys(topics.len());
    topics.iter().for_each(|(key, ..)| filter.insert(*key));
    let names: usize = topics.iter().map(|(_, topic, _)| topic.as_str().len()).sum();
    let head = index.marks.len() * MARK + filter.bytes() + topics.len() * TOPIC + names;

    let mut out = vec![0; HEADER];
    for mark in &index.marks {
        for number in [mark.sequence, mark.time.as_millis(), mark.offset] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
    filter.write(&mut out);
    let mut postings_at = (HEADER + head) as u64;
    let mut name_at = 0_usize;
    for (key, topic, postings) in &topics {
        let start = out.len();
        out.extend_from_slice(&key.to_le_bytes());
        for number in [postings.latest, postings.time.as_millis(), postings.places.len() as u64, postings_at]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&u32::try_from(name_at).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&u16::try_from(topic.as_str().len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&u16::from(postings.closed).to_le_bytes());
        // Counted from the segment's first entry, and from 1; 0 where the topic was not deleted, as in older files.
        let deleted = (postings.deleted + 1).saturating_sub(base);
        let deleted = if postings.deleted == 0 { 0 } else { deleted };
        out.extend_from_slice(&u32::try_from(deleted).unwrap_or(u32::MAX).to_le_bytes());
        table::seal_entry(&mut out, start);
        name_at += topic.as_str().len();
        let blocks = postings.places.len().div_ceil(POSTINGS_BLOCK);
        postings_at += 4 * (postings.places.len() + blocks) as u64;
    }
    for (_, topic, _) in &topics {
        out.extend_from_slice(topic.as_str().as_bytes());
    }
    let head_sum = crc32c::crc32c(&out[HEADER..]);
    for (.., postings) in &topics {
        for block in postings.places.chunks(POSTINGS_BLOCK) {
            let start = out.len();
            block.iter().for_each(|place| out.extend_from_slice(&place.to_le_bytes()));
            table::seal_entry(&mut out, start);
        }
    }
    let Summary { last, time, end, keyed } = index.summary;
    let (marks, filter, topics) = (index.marks.len(), filter.bytes(), topics.len());
    out[0..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&limits::FORMAT.to_le_bytes());
    out[12..16].copy_from_slice(&head_sum.to_le_bytes());
    let numbers = [
        log,
        base,
        last,
        time.as_millis(),
        end,
        keyed,
        marks as u64,
        filter as u64,
        topics as u64,
        names as u64,
    ];
    let length = out.len() as u64;
    for (place, number) in numbers.into_iter().chain([length]).enumerate() {
        out[16 + place * 8..24 + place * 8].copy_from_slice(&number.to_le_bytes());
    }
    let sum = crc32c::crc32c(&out[..HEADER - 4]);
    out[HEADER - 4..HEADER].copy_from_slice(&sum.to_le_bytes());
    out
}

// === impl IndexFile ===

impl IndexFile {
    /// Reads the head of the index of the segment `base`; where anything in it is not as it should be, the
    /// index is of no use.
    pub(crate) fn load(
        handles: &Arc<Handles>,
        base: Sequence,
        log: u64,
        secret: [u8; 16],
    ) -> Result<Self, TableError> {
        let damaged = |reason| TableError::Damaged { offset: 0, reason };
        let file = handles.get(base, Kind::Index)?;
        let mut header = [0; HEADER];
        if file.read_at(&mut header, 0)? < HEADER || &header[..8] != MAGIC {
            return Err(damaged("the file does not begin as an index does"));
        }
        if crc32c::crc32c(&header[..HEADER - 4]) != u32_at(&header, HEADER - 4)
            || u32_at(&header, 8) != limits::FORMAT
        {
            return Err(damaged("the index is of another version or does not match its checksum"));
        }
        let number = |place: usize| u64_at(&header, 16 + place * 8);
        let [marks, filter, topics, names, length] = [number(6), number(7), number(8), number(9), number(10)];
        if number(0) != log || number(1) != base || file.len()? != length {
            return Err(damaged("the index belongs to something else"));
        }
        let head = marks
            .checked_mul(MARK as u64)
            .and_then(|bytes| bytes.checked_add(filter))
            .and_then(|bytes| bytes.checked_add(topics.checked_mul(TOPIC as u64)?))
            .and_then(|bytes| bytes.checked_add(names))
            .filter(|&bytes| bytes <= length)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| damaged("the index has impossible sizes"))?;
        let mut bytes = vec![0; head];
        if file.read_at(&mut bytes, HEADER as u64)? < head || crc32c::crc32c(&bytes) != u32_at(&header, 12) {
            return Err(damaged("the index does not match its checksum"));
        }
        let (marks, rest) = bytes.split_at(usize::try_from(marks).unwrap_or(0) * MARK);
        let mark = |entry: &[u8]| Mark {
            sequence: u64_at(entry, 0),
            time: Timestamp::from_millis(u64_at(entry, 8)),
            offset: u64_at(entry, 16),
        };
        Ok(Self {
            summary: Summary {
                last: number(2),
                time: Timestamp::from_millis(number(3)),
                end: number(4),
                keyed: number(5),
            },
            marks: marks.chunks_exact(MARK).map(mark).collect(),
            base,
            secret,
            filter: Filter::from_bytes(&rest[..usize::try_from(filter).unwrap_or(0)]),
            topics,
            topics_at: HEADER as u64 + marks.len() as u64 + filter,
            names,
            handles: Arc::clone(handles),
        })
    }

    pub(crate) fn topics(&self) -> Result<Vec<KnownTopic>, TableError> {
        let damaged = TableError::Damaged { offset: self.topics_at, reason: "the index lost its topics" };
        let file = self.handles.get(self.base, Kind::Index)?;
        let entries = usize::try_from(self.topics).unwrap_or(0) * TOPIC;
        let mut bytes = vec![0; entries + usize::try_from(self.names).unwrap_or(0)];
        if file.read_at(&mut bytes, self.topics_at)? < bytes.len() {
            return Err(damaged);
        }
        let (entries, names) = bytes.split_at(entries);
        let info = |entry: &[u8]| {
            let (at, length) = (u32_at(entry, 48) as usize, usize::from(u16_at(entry, 52)));
            let name = names.get(at..at.checked_add(length)?)?;
            let info = TopicInfo {
                topic: Topic::new(std::str::from_utf8(name).ok()?).ok()?,
                latest: u64_at(entry, 16),
                time: Timestamp::from_millis(u64_at(entry, 24)),
                closed: u16_at(entry, 54) != 0,
            };
            let deleted = u64::from(u32_at(entry, 56));
            Some(KnownTopic { info, deleted: if deleted == 0 { 0 } else { self.base + deleted - 1 } })
        };
        let infos: Option<Vec<_>> = entries.chunks_exact(TOPIC).map(info).collect();
        infos.ok_or(damaged)
    }

    pub(crate) fn places(&self, topic: &Topic, wanted: Wanted) -> Result<Vec<u32>, TableError> {
        let key = hash(topic.as_str(), self.secret);
        if !self.filter.may_hold(key) {
            return Ok(Vec::new());
        }
        let file = self.handles.get(self.base, Kind::Index)?;
        let Some(entry) = table::search::<TOPIC>(&*file, self.topics_at, self.topics, key)? else {
            return Ok(Vec::new());
        };
        let (count, start) = (u64_at(&entry, 32), u64_at(&entry, 40));
        let blocks = count.div_ceil(POSTINGS_BLOCK as u64);
        let block = |number: u64| -> Result<Vec<u32>, TableError> {
            let places = (count - number * POSTINGS_BLOCK as u64).min(POSTINGS_BLOCK as u64);
            let mut bytes = vec![0; usize::try_from(places * 4 + 4).unwrap_or(0)];
            let offset = start + number * BLOCK;
            if file.read_at(&mut bytes, offset)? < bytes.len() || !table::is_sound(&bytes) {
                return Err(TableError::Damaged { offset, reason: "postings do not match their checksum" });
            }
            bytes.truncate(bytes.len() - 4);
            Ok(bytes.chunks_exact(4).map(|place| u32_at(place, 0)).collect())
        };
        let (Wanted::From(offset, limit) | Wanted::Before(offset, limit)) = wanted;
        // The last block that begins before the place, or the first one.
        let (mut low, mut high) = (0, blocks);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let begins_before =
                block(middle)?.first().is_some_and(|&place| u64::from(place) * ALIGN < offset);
            if begins_before { low = middle } else { high = middle }
        }
        let mut found = Vec::new();
        match wanted {
            Wanted::From(..) => {
                for number in low..blocks {
                    let places = block(number)?;
                    found.extend_from_slice(Wanted::From(offset, limit - found.len()).of(&places));
                    if found.len() >= limit {
                        break;
                    }
                }
            }
            Wanted::Before(..) => {
                for number in (0..=low.min(blocks.saturating_sub(1))).rev().take_while(|_| blocks > 0) {
                    let places = block(number)?;
                    let part = Wanted::Before(offset, limit - found.len()).of(&places);
                    found.splice(0..0, part.iter().copied());
                    if found.len() >= limit {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }
}
