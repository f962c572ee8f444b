//! Where what lies in a segment: for each topic the places of its records, and a sparse table from sequence
//! numbers and times to places. In memory while the segment is written to; in a file, derived from the
//! segment and rebuilt from it where it is missing, afterwards.

use std::collections::HashMap;

use tidings_protocol::{Sequence, Timestamp, Topic};

use super::index_file::IndexFile;
use super::record::{ALIGN, Record};
use super::table::TableError;
use super::{limits, segment};
use crate::TopicInfo;

/// The index of one segment.
#[derive(Debug)]
pub(crate) enum Index {
    Memory(MemoryIndex),
    File(IndexFile),
}

/// An index in memory.
#[derive(Debug)]
pub(crate) struct MemoryIndex {
    pub(crate) summary: Summary,
    pub(crate) marks: Vec<Mark>,
    pub(crate) topics: HashMap<Topic, Postings>,
}

/// What is known of a whole segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The last entry; one less than the first where there is none.
    pub(crate) last: Sequence,
    /// The time of the last entry.
    pub(crate) time: Timestamp,
    /// Where the next record would begin.
    pub(crate) end: u64,
    /// How many batches with an idempotency key there are.
    pub(crate) keyed: u64,
}

/// The place of one entry in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) sequence: Sequence,
    pub(crate) time: Timestamp,
    pub(crate) offset: u64,
}

/// The entries of one topic in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Postings {
    pub(crate) latest: Sequence,
    pub(crate) time: Timestamp,
    pub(crate) closed: bool,
    /// The entry that deleted the topic last; 0 where none did.
    pub(crate) deleted: Sequence,
    /// Offsets, in units of [`ALIGN`].
    pub(crate) places: Vec<u32>,
}

/// A topic that has entries in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownTopic {
    pub(crate) info: TopicInfo,
    /// The entry of the segment that deleted it last; 0 where none did.
    pub(crate) deleted: Sequence,
}

/// Which postings of a topic are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// The first so many from a place on.
    From(u64, usize),
    /// The last so many before a place.
    Before(u64, usize),
}

/// What of an entry an index notes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noted<'a> {
    pub(crate) sequence: Sequence,
    pub(crate) time: Timestamp,
    pub(crate) topic: &'a str,
    pub(crate) closes: bool,
    pub(crate) deletes: bool,
    pub(crate) keyed: bool,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

// === impl MemoryIndex ===

impl MemoryIndex {
    pub(crate) fn new(header: &segment::Header) -> Self {
        let summary = Summary { last: header.base - 1, time: header.time, end: segment::HEADER, keyed: 0 };
        Self { summary, marks: Vec::new(), topics: HashMap::new() }
    }

    /// Takes note of an entry. `own` is its topic, where the caller has it as one.
    pub(crate) fn push(&mut self, entry: Noted<'_>, own: impl FnOnce() -> Option<Topic>) {
        let Noted { sequence, time, offset, .. } = entry;
        let due = self.marks.last().is_none_or(|mark| mark.offset + limits::MARK_BYTES <= offset);
        if due {
            self.marks.push(Mark { sequence, time, offset });
        }
        self.summary.last = sequence;
        self.summary.time = time;
        self.summary.end = offset + entry.length;
        self.summary.keyed += u64::from(entry.keyed);
        let place = u32::try_from(offset / ALIGN).unwrap_or(u32::MAX);
        if let Some(postings) = self.topics.get_mut(entry.topic) {
            postings.latest = sequence;
            postings.time = time;
            postings.closed = entry.closes;
            postings.deleted = if entry.deletes { sequence } else { postings.deleted };
            postings.places.push(place);
        } else if let Some(topic) = own() {
            let (closed, deleted) = (entry.closes, if entry.deletes { sequence } else { 0 });
            let postings = Postings { latest: sequence, time, closed, deleted, places: vec![place] };
            self.topics.insert(topic, postings);
        }
    }

    fn places(&self, topic: &str, wanted: Wanted) -> Vec<u32> {
        self.topics.get(topic).map_or_else(Vec::new, |postings| wanted.of(&postings.places).to_vec())
    }
}

impl<'a> Noted<'a> {
    pub(crate) fn of(record: &Record<'a>, offset: u64) -> Self {
        Self {
            sequence: record.sequence,
            time: record.time,
            topic: record.topic,
            closes: record.closes(),
            deletes: record.deletes(),
            keyed: record.fingerprint.is_some(),
            offset,
            length: record.length,
        }
    }
}

// === impl Wanted ===

impl Wanted {
    /// The part of sorted places that is wanted.
    pub(crate) fn of(self, places: &[u32]) -> &[u32] {
        match self {
            Self::From(offset, count) => {
                let start = places.partition_point(|&place| u64::from(place) * ALIGN < offset);
                &places[start..places.len().min(start.saturating_add(count))]
            }
            Self::Before(offset, count) => {
                let end = places.partition_point(|&place| u64::from(place) * ALIGN < offset);
                &places[end.saturating_sub(count)..end]
            }
        }
    }
}

// === impl Index ===

impl Index {
    pub(crate) fn summary(&self) -> &Summary {
        match self {
            Self::Memory(index) => &index.summary,
            Self::File(index) => &index.summary,
        }
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        match self {
            Self::Memory(index) => &index.marks,
            Self::File(index) => &index.marks,
        }
    }

    /// A place from which the entry `sequence` is reached by reading on.
    pub(crate) fn floor(&self, sequence: Sequence) -> u64 {
        floor(self.marks(), |mark| mark.sequence <= sequence)
    }

    /// A place from which the first entry at or after `time` is reached by reading on.
    pub(crate) fn floor_of_time(&self, time: Timestamp) -> u64 {
        floor(self.marks(), |mark| mark.time < time)
    }

    /// Places of records of a topic, in order.
    pub(crate) fn places(&self, topic: &Topic, wanted: Wanted) -> Result<Vec<u32>, TableError> {
        match self {
            Self::Memory(index) => Ok(index.places(topic.as_str(), wanted)),
            Self::File(index) => index.places(topic, wanted),
        }
    }

    /// The topics that have entries in the segment.
    pub(crate) fn topics(&self) -> Result<Vec<KnownTopic>, TableError> {
        match self {
            Self::Memory(index) => Ok(index
                .topics
                .iter()
                .map(|(topic, postings)| KnownTopic {
                    info: TopicInfo {
                        topic: topic.clone(),
                        latest: postings.latest,
                        time: postings.time,
                        closed: postings.closed,
                    },
                    deleted: postings.deleted,
                })
                .collect()),
            Self::File(index) => index.topics(),
        }
    }
}

fn floor(marks: &[Mark], is_before: impl Fn(&Mark) -> bool) -> u64 {
    let after = marks.partition_point(is_before);
    after.checked_sub(1).and_then(|place| marks.get(place)).map_or(segment::HEADER, |mark| mark.offset)
}
