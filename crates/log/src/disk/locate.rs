//! Finding a place that is not given by a number.

use tidings_protocol::{Selection, Sequence, Timestamp};

use super::index::Wanted;
use super::limits;
use super::reader::{Matcher, Source, chunk_for};
use super::record::ALIGN;
use super::segment::Segment;
use super::view::Shared;
use crate::{Place, ReadError};

/// The sequence number to read after.
pub(crate) fn locate(shared: &Shared, place: Place, selection: &Selection) -> Result<Sequence, ReadError> {
    match place {
        Place::Earliest => Ok(shared.view().earliest.saturating_sub(1)),
        Place::Time(time) => before_time(shared, time),
        Place::Last(count) => before_last(shared, count.max(1), selection),
    }
}

fn before_time(shared: &Shared, time: Timestamp) -> Result<Sequence, ReadError> {
    let view = shared.view();
    for (segment, last) in view.parts() {
        let (ends, mut offset) = {
            let index = segment.index();
            (index.summary().time, index.floor_of_time(time))
        };
        if ends < time || last < segment.base() {
            continue;
        }
        let mut source = Source::open(shared, segment, last)?;
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

fn before_last(shared: &Shared, count: usize, selection: &Selection) -> Result<Sequence, ReadError> {
    let view = shared.view();
    let mut search = Search { wanted: count, matcher: Matcher::new(shared, selection) };
    for (segment, last) in view.parts().rev() {
        if last < segment.base() {
            continue;
        }
        let mut source = Source::open(shared, segment, last)?;
        if let Some(sequence) = search.segment(&mut source, segment)? {
            return Ok(sequence - 1);
        }
    }
    Ok(view.earliest.saturating_sub(1))
}

struct Search<'a> {
    /// How many more events there have to be.
    wanted: usize,
    matcher: Matcher<'a>,
}

impl Search<'_> {
    /// The first of the wanted events, where it is in the segment.
    fn segment(&mut self, source: &mut Source<'_>, segment: &Segment) -> Result<Option<Sequence>, ReadError> {
        let mut before = u64::MAX;
        loop {
            let wanted = Wanted::Before(before, limits::READ_POSTINGS);
            let Some((places, all)) = source.places(&self.matcher, wanted) else {
                return self.scan(source, segment, before);
            };
            for (number, &place) in places.iter().enumerate().rev() {
                before = u64::from(place) * ALIGN;
                let next = number.checked_sub(1).and_then(|number| places.get(number));
                // The window only moves on, so going back each record is read by itself.
                let chunk = chunk_for(place, next).min(limits::FAR_CHUNK_BYTES);
                if let Some(sequence) = self.look(source, before, chunk)?.0 {
                    self.wanted -= 1;
                    if self.wanted == 0 {
                        return Ok(Some(sequence));
                    }
                }
            }
            if all {
                return Ok(None);
            }
        }
    }

    /// Goes back from mark to mark, and on from each.
    fn scan(
        &mut self,
        source: &mut Source<'_>,
        segment: &Segment,
        before: u64,
    ) -> Result<Option<Sequence>, ReadError> {
        let marks = segment.index().marks().to_vec();
        let mut end = before;
        for mark in marks.iter().rev().filter(|mark| mark.offset < before) {
            let mut found = Vec::new();
            let (mut offset, mut sequence) = (mark.offset, mark.sequence);
            while offset < end && sequence <= source.last {
                let (matching, length) = self.look(source, offset, limits::NEAR_CHUNK_BYTES)?;
                found.extend(matching);
                offset += length;
                sequence += 1;
            }
            if found.len() >= self.wanted {
                return Ok(found.get(found.len() - self.wanted).copied());
            }
            self.wanted -= found.len();
            end = mark.offset;
        }
        Ok(None)
    }

    /// The sequence number of a record, where it matches, and its length.
    fn look(
        &mut self,
        source: &mut Source<'_>,
        offset: u64,
        chunk: usize,
    ) -> Result<(Option<Sequence>, u64), ReadError> {
        let last = source.last;
        let record = source.record(offset, chunk)?;
        let (sequence, length) = (record.sequence, record.length);
        let is_known = sequence <= last;
        let topic = if is_known { self.matcher.topic(record.topic) } else { None };
        let matches = topic.is_some_and(|topic| self.matcher.selection.matches(&record.to_event(topic)));
        Ok((matches.then_some(sequence), length))
    }
}
