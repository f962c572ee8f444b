use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use tidings_hub::{Conflate, Entry, Look, PullLimits, Recent};
use tidings_protocol::{Epoch, Selection, Sequence};

use crate::defaults;
use crate::delivery::encoding::Encoding;
use crate::delivery::lately::Lately;
use crate::delivery::memory::Portion;

/// Bytes that a reader has not taken yet: some that come first, events, and some that come last.
///
/// The events are held while the client's share of the memory for answers allows it. Beyond that only their places
/// are, and the events are found again, in the hub's memory or in the log, when the reader takes more: they never
/// change, so neither do the bytes. Readers that take nothing then cost next to nothing, however many they are and
/// however much they asked for.
pub(crate) struct Remainder {
    head: Bytes,
    encoding: Encoding,
    epoch: Epoch,
    /// The next events.
    held: VecDeque<Held>,
    /// How many follow that are not held, and the place after which they do.
    left: usize,
    place: Sequence,
    /// The last event of all.
    last: Sequence,
    /// How much of the next event was taken already,
    taken: usize,
    /// and which one that is, where it is not held.
    next: Sequence,
    /// How the events were folded, where they were, and where the look ended that found them.
    folded: Option<(Conflate, Sequence)>,
    /// What stands between two events.
    between: &'static [u8],
    foot: Bytes,
    memory: Portion,
}

/// An event in the form in which it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    entry: Arc<Entry>,
    /// The frame, where the entry does not keep it.
    frame: Option<Bytes>,
    length: usize,
}

/// The events cannot be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rest of what was being sent is no longer in the log")]
pub(crate) struct Lost;

// === impl Remainder ===

impl Remainder {
    /// Events after one another.
    pub(crate) fn new(
        encoding: impl Into<Encoding>,
        epoch: Epoch,
        events: impl IntoIterator<Item = Held>,
        memory: Portion,
    ) -> Self {
        let held: VecDeque<_> = events.into_iter().collect();
        Self {
            head: Bytes::new(),
            encoding: encoding.into(),
            epoch,
            place: held.back().map_or(0, Held::sequence),
            last: held.back().map_or(0, Held::sequence),
            held,
            left: 0,
            taken: 0,
            next: 0,
            folded: None,
            between: b"",
            foot: Bytes::new(),
            memory,
        }
    }

    /// Says that the events were folded, of what there was up to a place.
    pub(crate) fn folded(mut self, conflate: Option<Conflate>, until: Sequence) -> Self {
        self.folded = conflate.map(|conflate| (conflate, until));
        self
    }

    /// What comes before the events.
    pub(crate) fn headed(mut self, head: Bytes) -> Self {
        self.head = head;
        self
    }

    /// What stands between each two of them.
    pub(crate) fn separated(mut self, between: &'static [u8]) -> Self {
        self.between = between;
        self
    }

    /// Adds to what comes after the events.
    pub(crate) fn then(&mut self, bytes: &[u8]) {
        self.foot = if self.foot.is_empty() {
            Bytes::copy_from_slice(bytes)
        } else {
            [&self.foot[..], bytes].concat().into()
        };
    }

    /// Whether everything is taken.
    pub(crate) fn is_done(&self) -> bool {
        self.head.is_empty() && self.held.is_empty() && self.left == 0 && self.foot.is_empty()
    }

    /// Whether all of its events are held.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == 0
    }

    /// What changes when its reader takes something.
    pub(crate) fn progress(&self) -> [usize; 4] {
        [self.head.len(), self.held.len() + self.left, self.taken, self.foot.len()]
    }

    /// How many bytes there are, where all events are held.
    pub(crate) fn len(&self) -> usize {
        let events: usize = self.held.iter().map(Held::len).sum();
        let between = self.between.len() * self.held.len().saturating_sub(1);
        self.head.len() + events + between - self.taken + self.foot.len()
    }

    /// The next bytes, up to so many. There are none where everything is taken, or [`wants`](Self::wants) events.
    pub(crate) fn compose(&self, most: usize) -> Vec<u8> {
        let mut out = self.head[..self.head.len().min(most)].to_vec();
        let mut skip = self.taken;
        for (place, event) in self.held.iter().enumerate() {
            for part in [event.frame(self.encoding), Cow::Borrowed(self.after(place))] {
                let rest = part.get(skip..).unwrap_or_default();
                skip = skip.saturating_sub(part.len());
                out.extend_from_slice(&rest[..rest.len().min(most - out.len())]);
            }
            if out.len() == most {
                return out;
            }
        }
        if self.left == 0 {
            out.extend_from_slice(&self.foot[..self.foot.len().min(most - out.len())]);
        }
        out
    }

    /// Takes note that so many of the bytes that it [composes](Self::compose) were taken.
    pub(crate) fn advance(&mut self, mut count: usize) {
        let some = count.min(self.head.len());
        self.head.advance(some);
        count -= some;
        while let Some(event) = self.held.front().filter(|_| count > 0) {
            let rest = event.length + self.after(0).len() - self.taken;
            if count < rest {
                self.taken += count;
                return;
            }
            count -= rest;
            self.taken = 0;
            self.held.pop_front();
        }
        self.foot.advance(count.min(self.foot.len()));
    }

    /// What stands after the held event at a place.
    fn after(&self, place: usize) -> &'static [u8] {
        if place + 1 < self.held.len() || self.left > 0 { self.between } else { b"" }
    }

    /// The place after which events are to be found, and how many at most, where it has to go on with them.
    pub(crate) fn wants(&self) -> Option<((Epoch, Sequence), Look)> {
        let wants = self.left > 0 && self.held.is_empty() && self.head.is_empty();
        let limits =
            PullLimits { events: self.left.min(defaults::PIECE_EVENTS), bytes: defaults::STREAM_PIECE_BYTES };
        let (conflate, until) = self.folded.unzip();
        wants.then_some(((self.epoch, self.place), Look { conflate, until, limits }))
    }

    /// Goes on with the events that were found after the place that it named.
    pub(crate) fn feed(&mut self, recent: &Recent, selection: &Selection) -> Result<(), Lost> {
        if recent.epoch() != self.epoch {
            return Err(Lost);
        }
        let is_first = self.taken > 0;
        let wanted = recent.entries.iter().filter(|entry| selection.matches(entry.event()));
        for entry in wanted.take_while(|entry| entry.event().sequence <= self.last).take(self.left) {
            self.held.push_back(Held::new(Arc::clone(entry), self.encoding));
        }
        // What was deleted or has expired meanwhile is not found again, and nothing else may come in its place.
        if is_first && self.held.front().is_some_and(|event| event.sequence() != self.next) {
            return Err(Lost);
        }
        self.left -= self.held.len();
        if self.left > 0
            && self.held.back().map_or(recent.next, |event| event.sequence().max(recent.next)) >= self.last
        {
            return Err(Lost);
        }
        let next = self.held.back().map_or(recent.next, Held::sequence);
        if next <= self.place {
            return Err(Lost);
        }
        self.place = next;
        Ok(())
    }

    /// Goes on with the event that it is in the middle of, where that is still there. Says whether it is.
    pub(crate) fn recall(&mut self, lately: &Lately) -> bool {
        if self.taken == 0 || self.left == 0 || !self.held.is_empty() {
            return false;
        }
        let range = (self.place + 1, self.next);
        let Some(event) = lately.find(self.epoch, range, self.encoding) else { return false };
        self.held.push_back(event);
        (self.left, self.place) = (self.left - 1, self.next);
        true
    }

    /// Holds the events that are left where there is memory for them, else lets go of them.
    pub(crate) fn settle(&mut self, lately: &Lately) {
        let events: usize = self.held.iter().map(Held::size).sum();
        let bytes = events + self.head.len() + self.foot.len();
        if bytes <= defaults::UNCOUNTED_BYTES {
            self.memory.shrink(0);
        } else if bytes <= self.memory.bytes() {
            self.memory.shrink(bytes);
        } else if self.memory.grow(bytes).is_err()
            && let Some(first) = self.held.front()
        {
            (self.place, self.next) = (first.range().0 - 1, first.sequence());
            self.left += self.held.len();
            let first = std::mem::take(&mut self.held).into_iter().next();
            if let Some(event) = first.filter(|event| self.taken > 0 && event.is_dear()) {
                lately.keep(self.epoch, event, self.encoding);
            }
            self.memory.shrink(0);
        }
    }
}

impl fmt::Debug for Remainder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, left, place, taken, .. } = self;
        f.debug_struct("Remainder")
            .field("held", &held.len())
            .field("left", left)
            .field("place", place)
            .field("taken", taken)
            .finish_non_exhaustive()
    }
}

// === impl Held ===

impl Held {
    pub(crate) fn new(entry: Arc<Entry>, encoding: impl Into<Encoding>) -> Self {
        let (frame, length) = match encoding.into().frame(&entry) {
            Cow::Borrowed(frame) => (None, frame.len()),
            Cow::Owned(frame) => {
                let length = frame.len();
                (Some(Bytes::from(frame)), length)
            }
        };
        Self { entry, frame, length }
    }

    /// An event that was framed already, as a part of what others are sent as well.
    pub(crate) fn framed(entry: Arc<Entry>, frame: Bytes) -> Self {
        Self { entry, length: frame.len(), frame: Some(frame) }
    }

    pub(crate) fn sequence(&self) -> Sequence {
        self.entry.event().sequence
    }

    /// The first and the last of the events that it consists of.
    pub(crate) fn range(&self) -> (Sequence, Sequence) {
        (self.entry.first(), self.sequence())
    }

    /// How long the frame is.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn frame(&self, encoding: Encoding) -> Cow<'_, [u8]> {
        self.frame.as_deref().map_or_else(|| encoding.frame(&self.entry), Cow::Borrowed)
    }

    /// What it takes in memory, about.
    pub(crate) fn size(&self) -> usize {
        self.entry.event().data.len() + self.length
    }

    /// Whether nobody else has it.
    fn is_dear(&self) -> bool {
        self.frame.is_some() || Arc::strong_count(&self.entry) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::memory::{Budget, Client};
    use crate::metrics::Metrics;
    use tidings_hub::Framing;
    use tidings_protocol::{Closing, Event, Format, Lineage, Timestamp, Topic};

    /// Events of which every other is of topic `a`, the first of them the one after `after`.
    fn recent(after: Sequence, limits: PullLimits) -> Recent {
        let entries = (after + 1..=40).map(|sequence| {
            let data = "\n".repeat((sequence * 13 % 50) as usize);
            let event = Event {
                sequence,
                time: Timestamp::from_millis(0),
                topic: Topic::new(if sequence % 2 == 0 { "a" } else { "b" }).unwrap(),
                event_type: None,
                format: Format::Text,
                data: Bytes::from(data),
                closing: Closing::No,
                expires: None,
            };
            Arc::new(Entry::new(Arc::new(event), Epoch::from_random(0)))
        });
        let entries: Vec<_> = entries.take(limits.events).collect();
        let next = entries.last().map_or(after, |entry| entry.event().sequence);
        Recent { lineage: Lineage::of(Epoch::from_random(0)), entries, next }
    }

    fn selection() -> Selection {
        Selection::new([Topic::new("a").unwrap().into()])
    }

    fn remainder(memory: &Budget) -> Remainder {
        let all = recent(4, PullLimits { events: 30, bytes: 0 });
        let events = all.entries.into_iter().filter(|entry| selection().matches(entry.event()));
        let memory = memory.portion(Client::Unknown);
        let framing = Framing::Stream { topic: false, envelope: false };
        let events = events.map(|entry| Held::new(entry, framing));
        let mut remainder = Remainder::new(framing, all.lineage.present(), events, memory)
            .headed(Bytes::from_static(b"head:"))
            .separated(b",");
        remainder.then(b":fo");
        remainder.then(b"ot");
        remainder
    }

    /// However its reader takes it, and whether the events are held or found again, the bytes are the same.
    #[test]
    fn the_bytes_are_the_same_however_they_are_taken() {
        let metrics = Arc::new(Metrics::new());
        let none = Budget::new(0, &metrics);
        // Something is always let in, so that something has to be there.
        let mut other = none.portion(Client::Unknown);
        other.grow(defaults::SMALL_BYTES + 1).unwrap();
        let all = Budget::new(1 << 20, &metrics);
        let whole = remainder(&all).compose(usize::MAX);
        assert_eq!(whole.len(), remainder(&all).len());
        assert!(whole.starts_with(b"head:id: ") && whole.ends_with(b"\n\n:foot"));
        assert_eq!(whole.iter().filter(|byte| **byte == b',').count(), 14);
        let lately = Lately::default();
        for (budget, lets_go) in [(&all, false), (&none, true)] {
            for most in [1, 7, 100, 3_000] {
                let mut remainder = remainder(budget);
                // So much that it is not passed over as little.
                remainder.then(&vec![b'.'; defaults::UNCOUNTED_BYTES]);
                let mut taken = Vec::new();
                while !remainder.is_done() {
                    remainder.settle(&lately);
                    assert_eq!(
                        remainder.held.is_empty(),
                        lets_go || remainder.left + remainder.held.len() == 0
                    );
                    if let Some((place, look)) = remainder.wants()
                        && !(most == 7 && remainder.recall(&lately))
                    {
                        let limits = PullLimits { events: look.limits.events.min(3), ..look.limits };
                        remainder.feed(&recent(place.1, limits), &selection()).unwrap();
                    }
                    let composed = remainder.compose(most);
                    assert!(composed.len() <= most);
                    // Of which a socket may take less.
                    let some = composed.len().div_ceil(2);
                    taken.extend_from_slice(&composed[..some]);
                    remainder.advance(some);
                }
                assert_eq!(
                    taken.strip_suffix(&[b'.'; defaults::UNCOUNTED_BYTES][..]).unwrap(),
                    whole,
                    "{most}"
                );
            }
        }
    }

    /// What was deleted or has expired meanwhile is not replaced by what follows.
    #[test]
    fn nothing_comes_in_the_place_of_what_is_gone() {
        let memory = Budget::new(1 << 20, &Arc::new(Metrics::new()));
        let let_go = || {
            let mut remainder = remainder(&memory);
            (remainder.place, remainder.next) = (5, 6);
            (remainder.left, remainder.head) = (std::mem::take(&mut remainder.held).len(), Bytes::new());
            remainder
        };
        let without = |gone: Sequence, limits: PullLimits| {
            let mut found = recent(5, limits);
            found.entries.retain(|entry| entry.event().sequence != gone);
            found
        };
        let all = PullLimits::default();
        assert_eq!(let_go().feed(&without(0, all), &selection()), Ok(()));
        // One in the middle, the last one, and the one of which a part was taken.
        for gone in [20, 34] {
            assert_eq!(let_go().feed(&without(gone, all), &selection()), Err(Lost), "{gone}");
        }
        let mut begun = let_go();
        begun.taken = 3;
        let few = PullLimits { events: 5, ..all };
        assert_eq!(begun.feed(&without(6, few), &selection()), Err(Lost));
    }

    #[test]
    fn what_is_gone_is_missed() {
        let memory = Budget::new(1 << 20, &Arc::new(Metrics::new()));
        let mut remainder = remainder(&memory);
        (remainder.left, remainder.head) = (std::mem::take(&mut remainder.held).len(), Bytes::new());
        let (place, _) = remainder.wants().unwrap();
        let none = Recent { lineage: Lineage::of(place.0), entries: Vec::new(), next: place.1 };
        assert_eq!(remainder.feed(&none, &selection()), Err(Lost));
        let lineage = Lineage::of(Epoch::from_random(1));
        let other = Recent { lineage, ..recent(place.1, PullLimits::default()) };
        assert_eq!(remainder.feed(&other, &selection()), Err(Lost));
    }
}
