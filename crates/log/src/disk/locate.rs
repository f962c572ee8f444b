//! Finding a place that is not given by a number.

use tidings_protocol::{Selection, Sequence, Timestamp};

use super::index::Wanted;
use super::limits;
use super::reader::{Matcher, Source, chunk_for};
use super::record::ALIGN;
use super::segment::Segment;
use super::view::DiskState;
use crate::{Budget, ReadError};

/// Before the first entry at or after a moment.
pub(crate) fn before_time(shared: &DiskState, time: Timestamp) -> Result<Sequence, ReadError> {
    let view = shared.view();
    for (segment, last) in view.parts() {
        let (ends, mut offset) = {
            let index = segment.index();
            (index.summary().time, index.floor_of_time(time))
        };
        if ends < time || last < segment.base() {
            continue;
        }
        let mut source = match Source::open(shared, segment, last) {
            Ok(source) => source,
            Err(_) if is_discarded(shared, last) => continue,
            Err(error) => return Err(error),
        };
        loop {
            let record = source.record(offset, limits::NEAR_CHUNK_BYTES)?;
            if record.time >= time {
                return Ok(record.sequence - 1);
            }
            if record.sequence >= last {
                break;
            }
            offset += record.length;
        }
    }
    Ok(view.latest)
}

/// Whether retention has discarded everything up to an entry, and so the files that it was in.
fn is_discarded(shared: &DiskState, last: Sequence) -> bool {
    shared.range().0 > last
}

/// A search for the last events of a selection. It goes back through the log step by step, so that nobody who asks for
/// what there is little of keeps a reader, or the thread that it runs on, for long.
#[derive(Debug)]
pub(crate) struct Search {
    matcher: Matcher,
    /// How many more events there have to be.
    wanted: usize,
    /// Everything from here on has been looked at: a segment, and a place in it.
    at: Option<(Sequence, u64)>,
    /// The same, as a sequence number.
    oldest: Sequence,
    budget: Budget,
    /// What may still be done in this step, by [`limits::READ_WORK`].
    work: u64,
}

/// What a step of a search came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// The sequence number to read after.
    Found(Sequence),
    /// It goes on here.
    On(Box<Search>),
}

/// What a segment came to.
enum Within {
    Found(Sequence),
    /// There are not enough in it.
    Passed,
    /// The step is over.
    Paused,
}

/// A record that was looked at.
struct Seen {
    sequence: Sequence,
    length: u64,
    matches: bool,
}

// === impl Search ===

impl Search {
    pub(crate) fn new(shared: &DiskState, count: usize, selection: Selection) -> Self {
        let oldest = shared.range().1 + 1;
        let matcher = Matcher::new(shared, selection, None);
        let wanted = count.max(1);
        Self { matcher, wanted, at: None, oldest, budget: Budget::default(), work: limits::READ_WORK }
    }

    #[cfg(test)]
    pub(crate) fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Goes on for a few milliseconds.
    pub(crate) fn step(mut self: Box<Self>, shared: &DiskState) -> Result<Step, ReadError> {
        self.work = limits::READ_WORK;
        let view = shared.view();
        for (segment, last) in view.parts().rev() {
            let last = last.min(self.oldest - 1);
            let base = segment.base();
            if last < base || self.at.is_some_and(|(at, _)| base > at) {
                continue;
            }
            let before = self.at.filter(|(at, _)| *at == base).map_or(u64::MAX, |(_, before)| before);
            self.at = Some((base, before));
            let within = Source::open(shared, segment, last)
                .and_then(|mut source| self.segment(&mut source, segment, before));
            match within {
                Ok(Within::Found(sequence)) => return Ok(Step::Found(sequence - 1)),
                Ok(Within::Passed) => self.oldest = base,
                Ok(Within::Paused) if self.budget.is_spent() => return Ok(Step::Found(self.oldest - 1)),
                Ok(Within::Paused) => return Ok(Step::On(self)),
                Err(_) if is_discarded(shared, last) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Step::Found(shared.range().0.saturating_sub(1)))
    }

    fn segment(
        &mut self,
        source: &mut Source<'_>,
        segment: &Segment,
        mut before: u64,
    ) -> Result<Within, ReadError> {
        loop {
            let wanted = Wanted::Before(before, limits::READ_POSTINGS);
            let Some((places, all)) = source.places(&self.matcher, wanted) else {
                return self.scan(source, segment, before);
            };
            let mut rest = &places[..];
            while let Some(&last) = rest.last() {
                // Those that lie near each other are read together, in their order.
                let near = last.saturating_sub(limits::NEAR_PLACES);
                let (others, block) = rest.split_at(rest.partition_point(|&place| place < near));
                let offsets = block.iter().enumerate().map(|(number, &place)| {
                    (u64::from(place) * ALIGN, chunk_for(place, block.get(number + 1)))
                });
                if let Some(sequence) = self.look_at(source, offsets)? {
                    return Ok(Within::Found(sequence));
                }
                rest = others;
                before = block.first().map_or(before, |&place| u64::from(place) * ALIGN);
                if self.pauses(segment, before) {
                    return Ok(Within::Paused);
                }
            }
            if all {
                return Ok(Within::Passed);
            }
        }
    }

    /// Goes back by some marks at a time, and on from each of these places.
    fn scan(&mut self, source: &mut Source<'_>, segment: &Segment, before: u64) -> Result<Within, ReadError> {
        let mut marks = segment.index().marks().to_vec();
        marks.truncate(marks.partition_point(|mark| mark.offset < before));
        let mut end = before;
        while let Some(&mark) = marks.get(marks.len().saturating_sub(limits::SEARCH_MARKS)) {
            let (mut offset, mut found) = (mark.offset, Vec::new());
            let mut sequence = mark.sequence;
            while offset < end && sequence <= source.last {
                let seen = self.look(source, offset, limits::SCAN_CHUNK_BYTES)?;
                found.extend(seen.matches.then_some(seen.sequence));
                offset += seen.length;
                sequence = seen.sequence + 1;
            }
            self.oldest = self.oldest.min(mark.sequence);
            if let Some(sequence) = self.count(&found) {
                return Ok(Within::Found(sequence));
            }
            end = mark.offset;
            marks.truncate(marks.len().saturating_sub(limits::SEARCH_MARKS));
            if self.pauses(segment, end) {
                return Ok(Within::Paused);
            }
        }
        Ok(Within::Passed)
    }

    /// Looks at records that follow each other. Gives the first of the wanted events, where it is among them.
    fn look_at(
        &mut self,
        source: &mut Source<'_>,
        offsets: impl Iterator<Item = (u64, usize)>,
    ) -> Result<Option<Sequence>, ReadError> {
        let mut found = Vec::new();
        for (offset, chunk) in offsets {
            if chunk == limits::FAR_CHUNK_BYTES {
                self.work = self.work.saturating_sub(chunk as u64);
            }
            let seen = self.look(source, offset, chunk)?;
            self.oldest = self.oldest.min(seen.sequence);
            found.extend(seen.matches.then_some(seen.sequence));
        }
        Ok(self.count(&found))
    }

    fn look(&mut self, source: &mut Source<'_>, offset: u64, chunk: usize) -> Result<Seen, ReadError> {
        let (last, shared) = (source.last, source.shared);
        let record = source.record(offset, chunk)?;
        let (sequence, length) = (record.sequence, record.length);
        let is_expired = record.expires.is_some_and(|expires| expires <= (shared.clock)());
        let matches = sequence <= last
            && self.matcher.matches(&record)
            && !is_expired
            && shared.topics().deleted_upto(record.topic) <= sequence;
        self.budget.spend(length);
        let comparisons = self.matcher.take_steps();
        self.budget.compare(comparisons);
        self.work = self.work.saturating_sub(length + comparisons * limits::STEP_WORK);
        Ok(Seen { sequence, length, matches })
    }

    /// The first of the wanted events, where there are as many now.
    fn count(&mut self, found: &[Sequence]) -> Option<Sequence> {
        let place = found.len().checked_sub(self.wanted);
        self.wanted = self.wanted.saturating_sub(found.len());
        place.and_then(|place| found.get(place).copied())
    }

    /// Whether the step, or the whole search, ends at a place.
    fn pauses(&mut self, segment: &Segment, before: u64) -> bool {
        self.at = Some((segment.base(), before));
        self.work == 0 || self.budget.is_spent()
    }
}
