//! Reading: a copy of the view, then the files, and no lock while they are read.
//!
//! Topics that are named in full are read by their postings, and segments without them are not touched; so
//! are patterns that match few topics. Others are read by looking at every record. Either way one read holds one buffer, and looks at so many
//! bytes, however much there is.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use tidings_protocol::{Selection, Sequence, Topic};

use super::handles::Kind;
use super::index::Wanted;
use super::limits;
use super::record::{ALIGN, Record};
use super::scan::{ScanError, Scanner};
use super::segment::Segment;
use super::table::TableError;
use super::view::{DiskState, View};
use crate::{Chunk, ReadError, ReadLimits, TopicQuery};

/// Reads a chunk.
pub(crate) fn read(
    shared: &DiskState,
    after: Sequence,
    selection: &Selection,
    limits: ReadLimits,
) -> Result<Chunk, ReadError> {
    let view = shared.view();
    let chunk = Chunk { entries: Vec::new(), next: after };
    if after.saturating_add(1) < view.earliest {
        return Err(ReadError::Expired { after, earliest: view.earliest });
    }
    if after >= view.latest {
        return Ok(chunk);
    }
    let matcher = Matcher::new(shared, selection.clone(), Some(after));
    // A topic may have been forgotten with its last entry between the view and the matcher.
    let earliest = shared.range().0;
    if after.saturating_add(1) < earliest {
        return Err(ReadError::Expired { after, earliest });
    }
    let mut reading = Reading { chunk, bytes: 0, work: limits::READ_WORK, limits, matcher };
    let start = view.segments.partition_point(|segment| segment.base() <= after + 1).saturating_sub(1);
    for (segment, last) in view.parts().skip(start) {
        if last <= reading.chunk.next {
            continue;
        }
        let read = Source::open(shared, segment, last).and_then(|mut source| reading.segment(&mut source));
        match read {
            Ok(true) => {}
            Ok(false) => break,
            // Retention may remove a segment before it is opened.
            Err(error) => {
                let earliest = shared.range().0;
                let is_gone = earliest > reading.chunk.next + 1;
                if is_gone && reading.chunk.entries.is_empty() {
                    return Err(ReadError::Expired { after, earliest });
                }
                if is_gone {
                    break;
                }
                return Err(error);
            }
        }
    }
    let mut chunk = reading.chunk;
    shared.topics().retain_readable(&mut chunk.entries, (shared.clock)());
    Ok(chunk)
}

/// A segment as one read sees it.
pub(crate) struct Source<'a> {
    pub(crate) shared: &'a DiskState,
    pub(crate) segment: &'a Segment,
    pub(crate) scanner: Scanner,
    /// The last entry that the read may see.
    pub(crate) last: Sequence,
}

/// Tells which records belong to a selection, and remembers topics, so that their names are checked once.
#[derive(Debug)]
pub(crate) struct Matcher {
    selection: Selection,
    /// The topics, where they are few and known.
    named: Option<Vec<Topic>>,
    known: HashMap<Topic, bool>,
    /// Comparisons that were made.
    steps: u64,
}

struct Reading {
    chunk: Chunk,
    bytes: usize,
    /// What may still be done, by [`limits::READ_WORK`].
    work: u64,
    limits: ReadLimits,
    matcher: Matcher,
}

// === impl View ===

impl View {
    /// The segments, oldest first, each with the last entry that readers may see in it.
    pub(crate) fn parts(&self) -> impl DoubleEndedIterator<Item = (&Segment, Sequence)> + ExactSizeIterator {
        self.segments.iter().enumerate().map(|(place, segment)| {
            let last = self.segments.get(place + 1).map_or(self.latest, |next| next.base() - 1);
            (&**segment, last)
        })
    }
}

// === impl Source ===

impl<'a> Source<'a> {
    pub(crate) fn open(
        shared: &'a DiskState,
        segment: &'a Segment,
        last: Sequence,
    ) -> Result<Self, ReadError> {
        let base = segment.base();
        let file = shared.handles.get(base, Kind::Log).map_err(|error| {
            let file = shared.handles.path(base, Kind::Log);
            ReadError::Unavailable { reason: format!("open {}: {error}", file.display()) }
        })?;
        Ok(Self { shared, segment, scanner: Scanner::new(file, segment.header.stamp), last })
    }

    /// The record at `offset`, where there has to be one.
    pub(crate) fn record(&mut self, offset: u64, chunk: usize) -> Result<Record<'_>, ReadError> {
        let file = || self.shared.handles.path(self.segment.base(), Kind::Log);
        let reason = match self.scanner.record(offset, chunk) {
            Ok(record) => return Ok(record),
            Err(ScanError::Blank) => "there is no record where one was written",
            Err(ScanError::Bad(reason)) => reason,
            Err(ScanError::Io(error)) => return Err(unreadable(&file().display().to_string(), &error)),
        };
        Err(ReadError::Damaged { file: file(), offset, reason: reason.into() })
    }

    /// Places of records of the topics that are wanted, in order, and whether these are all. `None` where the
    /// index is of no use, and every record has to be looked at.
    ///
    /// About `limit` are asked for. Of a topic that has more, it is only known up to some place what there is, and nothing is
    /// given beyond that.
    pub(crate) fn places(&self, matcher: &Matcher, wanted: Wanted) -> Option<(Vec<u32>, bool)> {
        let topics = matcher.named.as_ref()?;
        let share = |limit: usize| (limit / topics.len().max(1)).max(limits::POSTINGS_SHARE);
        let (wanted, limit) = match wanted {
            Wanted::From(offset, limit) => (Wanted::From(offset, share(limit)), share(limit)),
            Wanted::Before(offset, limit) => (Wanted::Before(offset, share(limit)), share(limit)),
        };
        let index = self.segment.index();
        let (mut places, mut known) = (Vec::new(), None);
        for topic in topics {
            match index.places(topic, wanted) {
                Ok(found) => {
                    let (first, last) = (found.first().copied(), found.last().copied());
                    if found.len() >= limit {
                        known = match wanted {
                            Wanted::From(..) => [known, last].into_iter().flatten().min(),
                            Wanted::Before(..) => [known, first].into_iter().flatten().max(),
                        };
                    }
                    places.extend(found);
                }
                Err(error) => {
                    self.report(&error);
                    return None;
                }
            }
        }
        if let Some(known) = known {
            places.retain(|&place| match wanted {
                Wanted::From(..) => place <= known,
                Wanted::Before(..) => place >= known,
            });
        }
        places.sort_unstable();
        Some((places, known.is_none()))
    }

    fn report(&self, error: &TableError) {
        if matches!(error, TableError::Io(error) if error.kind() == io::ErrorKind::NotFound) {
            // Retention has removed it; the segment is open already.
            return;
        }
        let file = self.shared.handles.path(self.segment.base(), Kind::Index);
        tracing::warn!(
            file = %file.display(),
            %error,
            "an index is damaged, its segment is read without it; removed, it is made again at the next start"
        );
    }
}

/// How much to read at once for the record at `place`, where `next` is the place of the one after.
pub(crate) fn chunk_for(place: u32, next: Option<&u32>) -> usize {
    let distance = next.map_or(u64::MAX, |next| u64::from(next.abs_diff(place)) * ALIGN);
    let is_near = distance < limits::FAR_CHUNK_BYTES as u64;
    if is_near { limits::NEAR_CHUNK_BYTES } else { limits::FAR_CHUNK_BYTES }
}

fn unreadable(file: &str, error: &io::Error) -> ReadError {
    ReadError::Unavailable { reason: format!("read {file}: {error}") }
}

// === impl Matcher ===

impl Matcher {
    /// Every topic with an entry in a view that was taken before is known by now.
    ///
    /// `after` says from where on deletions of topics are of interest, where they are: such a topic may be known by nothing else.
    pub(crate) fn new(shared: &DiskState, selection: Selection, after: Option<Sequence>) -> Self {
        let mut named: HashSet<_> = selection.topics().iter().cloned().collect();
        let is_few = selection.patterns().is_empty() || {
            let topics = shared.topics();
            let mut steps = limits::PATTERN_STEPS;
            let mut find = |selector| {
                let query = TopicQuery { selector, after: None, limit: limits::PATTERN_TOPICS + 1 };
                let part = topics.list(&query, 0, &mut steps);
                named.extend(part.infos.into_iter().map(|info| info.topic));
                part.on.is_none() && named.len() <= limits::PATTERN_TOPICS
            };
            let is_few = selection.patterns().iter().all(&mut find);
            let deleted = after.map(|after| topics.deleted_after(after, limits::PATTERN_DELETIONS));
            let deleted = deleted.unwrap_or_else(|| Some(Vec::new()));
            is_few
                && deleted.is_some_and(|deleted| {
                    named.extend(deleted.into_iter().filter(|topic| selection.matches_topic(topic)));
                    named.len() <= limits::PATTERN_TOPICS
                })
        };
        let named = is_few.then(|| named.into_iter().collect());
        Self { selection, named, known: HashMap::new(), steps: 0 }
    }

    /// The topic of a record that a reader has to know of.
    pub(crate) fn concerned(&mut self, record: &Record<'_>) -> Option<Topic> {
        let fits = record.closes() || self.selection.matches_type_name(record.event_type);
        if fits { self.topic(record.topic) } else { None }
    }

    /// Whether a record is an event of the selection.
    pub(crate) fn matches(&mut self, record: &Record<'_>) -> bool {
        record.is_visible()
            && self.selection.matches_type_name(record.event_type)
            && self.topic(record.topic).is_some()
    }

    /// How many comparisons were made since this was last asked.
    pub(crate) fn take_steps(&mut self) -> u64 {
        std::mem::take(&mut self.steps)
    }

    /// The topic, where it belongs to the selection.
    fn topic(&mut self, name: &str) -> Option<Topic> {
        if let Some((topic, matches)) = self.known.get_key_value(name) {
            return matches.then(|| topic.clone());
        }
        let topic = Topic::new(name).ok()?;
        let matches = self.selection.matches_topic_counting(&topic, &mut self.steps);
        if self.known.len() >= limits::READ_TOPICS {
            self.known.clear();
        }
        self.known.insert(topic.clone(), matches);
        matches.then_some(topic)
    }
}

// === impl Reading ===

impl Reading {
    /// Reads on in a segment; `false` where the chunk is complete.
    fn segment(&mut self, source: &mut Source<'_>) -> Result<bool, ReadError> {
        let limit = self.limits.entries.saturating_add(512).min(limits::READ_POSTINGS);
        let mut from = source.segment.index().floor(self.chunk.next + 1);
        loop {
            let Some((places, all)) = source.places(&self.matcher, Wanted::From(from, limit)) else {
                return self.scan(source);
            };
            for (number, &place) in places.iter().enumerate() {
                let offset = u64::from(place) * ALIGN;
                from = offset + ALIGN;
                let last = source.last;
                let chunk = chunk_for(place, places.get(number + 1));
                if chunk == limits::FAR_CHUNK_BYTES {
                    self.work = self.work.saturating_sub(chunk as u64);
                }
                let record = source.record(offset, chunk)?;
                if record.sequence > last {
                    self.chunk.next = last;
                    return Ok(true);
                }
                if record.sequence > self.chunk.next && !self.take(record) {
                    return Ok(false);
                }
            }
            if all {
                self.chunk.next = source.last;
                return Ok(true);
            }
        }
    }

    fn scan(&mut self, source: &mut Source<'_>) -> Result<bool, ReadError> {
        let mut offset = source.segment.index().floor(self.chunk.next + 1);
        let last = source.last;
        while self.chunk.next < last {
            let record = source.record(offset, limits::SCAN_CHUNK_BYTES)?;
            offset += record.length;
            if record.sequence > self.chunk.next && !self.take(record) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a record into the chunk, where it belongs there; `false` where there is no room for it.
    fn take(&mut self, record: Record<'_>) -> bool {
        if self.work == 0 {
            return false;
        }
        let sequence = record.sequence;
        let concerned = self.matcher.concerned(&record);
        self.work = self.work.saturating_sub(record.length + self.matcher.take_steps() * limits::STEP_WORK);
        if let Some(topic) = concerned {
            let bytes = self.bytes + record.data.len() + record.topic.len();
            let is_full = self.chunk.entries.len() >= self.limits.entries || bytes > self.limits.bytes;
            if is_full && !self.chunk.entries.is_empty() {
                return false;
            }
            self.bytes = bytes;
            self.chunk.entries.push(Arc::new(record.to_event(topic)));
        }
        self.chunk.next = sequence;
        true
    }
}
