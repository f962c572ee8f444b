use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tidings_log::Bounds;
use tidings_protocol::{Cursor, Epoch, Lineage, Selection, Sequence, Topic};

use crate::entry::FrameMemory;
use crate::{Entry, PullLimits};

/// The newest entries of a log, without a hole between the first and the last of them.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Which log the entries are of.
    lineage: Lineage,
    entries: VecDeque<Arc<Entry>>,
    /// Everything after this is here.
    after: Sequence,
    latest: Sequence,
    /// What the entries and their topics take, without the framings.
    bytes: usize,
    /// What the framings take.
    framed: Arc<FrameMemory>,
    max_bytes: usize,
    /// Which of the entries each topic has, so that a quiet topic is found without a look at the busy ones.
    by_topic: HashMap<Topic, VecDeque<Sequence>>,
}

/// Entries from the recent tail, in order.
#[derive(Debug, Clone)]
pub struct Recent {
    /// Which log the entries and the place are of.
    pub lineage: Lineage,
    /// The entries that [concern](Selection::concerns) the reader.
    pub entries: Vec<Arc<Entry>>,
    /// Everything up to and including this is seen.
    pub next: Sequence,
}

/// Where a log ends, as far as readers can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Which log it is.
    pub lineage: Lineage,
    /// The last entry.
    pub latest: Sequence,
}

/// How many entries one look at the tail passes, so that no reader holds the lock for long,
const SCAN_ENTRIES: usize = 4_096;
/// and how many comparisons with patterns it makes: less than a millisecond's.
const SCAN_STEPS: u64 = 50_000;
/// Entries leave when this part of the memory is all that is left: the framings of those that come next have it.
const SPARE_PART: usize = 8;
/// What the places of one topic take beside its name, about.
const TOPIC_BYTES: usize = 160;

// === impl Recent ===

impl Recent {
    /// The epoch of the log when it was read.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.lineage.present()
    }

    /// The cursor after what is seen.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.lineage.id(self.next)
    }
}

// === impl End ===

impl End {
    /// The epoch of the log.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.lineage.present()
    }

    /// The cursor after the last entry.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.lineage.id(self.latest)
    }
}

// === impl Tail ===

impl Tail {
    pub(crate) fn new(lineage: Lineage, after: Sequence, max_bytes: usize) -> Self {
        let framed = Arc::new(FrameMemory::default());
        framed.limit(max_bytes);
        Self::with(lineage, after, max_bytes, framed)
    }

    fn with(lineage: Lineage, after: Sequence, max_bytes: usize, framed: Arc<FrameMemory>) -> Self {
        let (entries, by_topic) = (VecDeque::new(), HashMap::new());
        Self { lineage, entries, after, latest: after, bytes: 0, framed, max_bytes, by_topic }
    }

    /// Sets the place that everything in the tail comes after, once it is known. `false` where that is a place in
    /// another log than the tail was of, so that it has to be asked for again.
    pub(crate) fn begin(&mut self, bounds: Bounds) -> bool {
        let (after, same) = (bounds.latest, bounds.lineage == self.lineage);
        if !same {
            self.renew(bounds.lineage, after);
        }
        self.after = self.after.max(after);
        self.latest = self.latest.max(after);
        same
    }

    /// Forgets everything, and goes on after a place, perhaps in another epoch.
    pub(crate) fn renew(&mut self, lineage: Lineage, after: Sequence) {
        self.entries.iter().for_each(|entry| entry.leave());
        *self = Self::with(lineage, after, self.max_bytes, Arc::clone(&self.framed));
        self.framed.limit(self.max_bytes);
    }

    /// Where the framings of the entries are counted.
    pub(crate) fn framed(&self) -> &Arc<FrameMemory> {
        &self.framed
    }

    pub(crate) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.lineage.present()
    }

    pub(crate) fn latest(&self) -> Sequence {
        self.latest
    }

    pub(crate) fn end(&self) -> End {
        End { lineage: self.lineage.clone(), latest: self.latest }
    }

    /// Everything after this is in the tail.
    pub(crate) fn after(&self) -> Sequence {
        self.after
    }

    /// How many entries there are, and their bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes + self.framed.taken())
    }

    /// How many more bytes of entries fit without dropping anything.
    pub(crate) fn room(&self) -> usize {
        let spare = self.max_bytes / SPARE_PART;
        self.max_bytes.saturating_sub(self.bytes + self.framed.taken() + spare)
    }

    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        let event = entry.event();
        self.latest = event.sequence;
        if event.deletes() {
            self.delete(&event.topic);
        }
        if let Some(sequences) = self.by_topic.get_mut(event.topic.as_str()) {
            sequences.push_back(event.sequence);
        } else {
            self.bytes += topic_bytes(&event.topic);
            self.by_topic.insert(event.topic.clone(), VecDeque::from([event.sequence]));
        }
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        let spare = self.max_bytes / SPARE_PART;
        while self.bytes + self.framed.taken() + spare > self.max_bytes && self.entries.len() > 1 {
            self.drop_first();
        }
        self.limit_frames();
    }

    /// No entry of a topic that is there now is read any more. They leave when it is their turn, as what is kept has no holes.
    fn delete(&self, topic: &Topic) {
        for &sequence in self.by_topic.get(topic.as_str()).into_iter().flatten() {
            if let Some(entry) = self.entries.get(self.index_after(sequence - 1)) {
                entry.delete();
            }
        }
    }

    /// What entries do not take, framings may.
    fn limit_frames(&self) {
        self.framed.limit(self.max_bytes.saturating_sub(self.bytes));
    }

    /// Puts older entries in front, as far as there is room. They end where the tail begins, else nothing is
    /// done.
    pub(crate) fn extend_back(&mut self, after: Sequence, older: Vec<Arc<Entry>>, upto: Sequence) {
        if upto != self.after {
            return;
        }
        self.after = after;
        for entry in older.into_iter().rev() {
            let event = entry.event();
            if entry.bytes() > self.room() {
                self.after = event.sequence;
                break;
            }
            self.bytes += entry.bytes();
            let places = self.by_topic.entry(event.topic.clone()).or_default();
            if places.is_empty() {
                self.bytes += topic_bytes(&event.topic);
            }
            places.push_front(event.sequence);
            self.entries.push_front(entry);
        }
        self.limit_frames();
    }

    /// Takes note that nothing more comes up to a place.
    pub(crate) fn pass(&mut self, place: Sequence) {
        self.latest = self.latest.max(place);
    }

    /// Forgets what retention has discarded.
    pub(crate) fn trim(&mut self, earliest: Sequence) {
        while self.entries.front().is_some_and(|entry| entry.event().sequence < earliest) {
            self.drop_first();
        }
        self.limit_frames();
        self.after = self.after.max(earliest.saturating_sub(1)).min(self.latest);
    }

    fn drop_first(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        entry.leave();
        let event = entry.event();
        self.bytes -= entry.bytes();
        self.after = event.sequence;
        if let Some(sequences) = self.by_topic.get_mut(event.topic.as_str()) {
            sequences.pop_front();
            if sequences.is_empty() {
                self.bytes -= topic_bytes(&event.topic);
                self.by_topic.remove(event.topic.as_str());
            }
        }
    }

    /// Every entry after a place, up to the limits; `None` where the tail begins later.
    pub(crate) fn all(&self, after: Sequence, limits: PullLimits) -> Option<Recent> {
        if after < self.after {
            return None;
        }
        let mut recent = Recent { lineage: self.lineage.clone(), entries: Vec::new(), next: after };
        let (mut bytes, mut looked) = (0, 0);
        for entry in self.entries.iter().skip(self.index_after(after)).take(limits.events) {
            looked += 1;
            recent.next = entry.event().sequence;
            if entry.is_gone() {
                continue;
            }
            bytes += entry.event().data.len();
            recent.entries.push(Arc::clone(entry));
            if bytes >= limits.bytes {
                return Some(recent);
            }
        }
        if looked < limits.events {
            recent.next = recent.next.max(self.latest);
        }
        Some(recent)
    }

    /// Entries after a place that concern the selection; `None` where the tail begins later.
    pub(crate) fn read(&self, after: Sequence, selection: &Selection, limits: PullLimits) -> Option<Recent> {
        if after < self.after {
            return None;
        }
        if after >= self.latest {
            return Some(Recent { lineage: self.lineage.clone(), entries: Vec::new(), next: after });
        }
        if selection.patterns().is_empty() {
            Some(self.read_topics(after, selection, limits))
        } else {
            let from = self.index_after(after);
            let scanned = self.entries.iter().skip(from).take(SCAN_ENTRIES);
            let end = self.entries.get((from + SCAN_ENTRIES).saturating_sub(1));
            let end = end.map_or(self.latest, |entry| entry.event().sequence);
            Some(self.take(scanned, selection, limits, after, end))
        }
    }

    fn read_topics(&self, after: Sequence, selection: &Selection, limits: PullLimits) -> Recent {
        let mut found: Vec<Sequence> = Vec::new();
        let mut end = self.latest;
        for sequences in selection.topics().iter().filter_map(|topic| self.by_topic.get(topic.as_str())) {
            let from = sequences.partition_point(|&sequence| sequence <= after);
            found.extend(sequences.iter().skip(from).take(SCAN_ENTRIES));
            // Of this topic there is more than was taken: beyond here nothing can be said.
            if let Some(&next) = sequences.get(from + SCAN_ENTRIES) {
                end = end.min(next - 1);
            }
        }
        found.sort_unstable();
        let entries = found.iter().filter(|&&sequence| sequence <= end);
        let entries = entries.filter_map(|&sequence| self.entries.get(self.index_after(sequence - 1)));
        self.take(entries, selection, limits, after, end)
    }

    /// The index of the first entry after a place. Where no number is left out, which is the rule, that is a
    /// subtraction.
    fn index_after(&self, after: Sequence) -> usize {
        let Some(first) = self.entries.front().map(|entry| entry.event().sequence) else { return 0 };
        let guess = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        match self.entries.get(guess) {
            Some(entry) if entry.event().sequence == after + 1 => guess,
            _ => self.entries.partition_point(|entry| entry.event().sequence <= after),
        }
    }

    /// Takes what concerns the selection, up to the limits. `end` is seen where everything was taken.
    fn take<'a>(
        &self,
        entries: impl Iterator<Item = &'a Arc<Entry>>,
        selection: &Selection,
        limits: PullLimits,
        after: Sequence,
        end: Sequence,
    ) -> Recent {
        let mut recent = Recent { lineage: self.lineage.clone(), entries: Vec::new(), next: after };
        let (mut bytes, mut steps) = (0, 0);
        for entry in entries {
            if steps >= SCAN_STEPS {
                return recent;
            }
            if selection.concerns_counting(entry.event(), &mut steps) && !entry.is_gone() {
                let full = recent.entries.len() >= limits.events || bytes >= limits.bytes;
                if full && !recent.entries.is_empty() {
                    return recent;
                }
                bytes += entry.event().data.len() + entry.event().topic.as_str().len();
                recent.entries.push(Arc::clone(entry));
            }
            recent.next = entry.event().sequence;
        }
        recent.next = end;
        recent
    }
}

fn topic_bytes(topic: &Topic) -> usize {
    topic.as_str().len() + TOPIC_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use tidings_protocol::{Closing, Event, Format, Selector, Timestamp};

    use crate::Framing;

    fn entry(sequence: Sequence, topic: &str) -> Arc<Entry> {
        let event = Event {
            sequence,
            time: Timestamp::from_millis(sequence),
            topic: Topic::new(topic).unwrap(),
            event_type: None,
            format: Format::Text,
            data: Bytes::from_static(b"0123456789"),
            closing: Closing::No,
            expires: None,
        };
        Arc::new(Entry::new(Arc::new(event), Epoch::from_random(0)))
    }

    fn lineage() -> Lineage {
        Lineage::of(Epoch::from_random(0))
    }

    fn sequences(recent: &Recent) -> Vec<Sequence> {
        recent.entries.iter().map(|entry| entry.event().sequence).collect()
    }

    fn select(selectors: &[&str]) -> Selection {
        Selection::new(selectors.iter().map(|text| Selector::new(text).unwrap()))
    }

    const LIMITS: PullLimits = PullLimits { events: 2, bytes: 1_000 };

    #[test]
    fn numbers_that_are_left_out_are_passed() {
        let mut tail = Tail::new(lineage(), 0, 1 << 20);
        tail.push(entry(5, "a"));
        tail.pass(9);
        assert_eq!(tail.end().latest, 9);
        assert_eq!(tail.all(0, LIMITS).unwrap().next, 9);
        assert_eq!(tail.read(0, &select(&["b"]), LIMITS).unwrap().next, 9);
        let few = PullLimits { events: 1, bytes: 1_000 };
        assert_eq!(tail.all(0, few).unwrap().next, 5, "there may be more");
    }

    #[test]
    fn older_entries_join_only_without_a_hole() {
        let mut tail = Tail::new(lineage(), 10, 1 << 20);
        tail.push(entry(11, "a"));
        tail.extend_back(0, vec![entry(8, "a")], 9);
        assert_eq!(tail.after(), 10);
        tail.extend_back(8, vec![entry(9, "a"), entry(10, "b")], 10);
        assert_eq!(tail.after(), 8);
        assert_eq!(sequences(&tail.read(8, &select(&["a"]), LIMITS).unwrap()), [9, 11]);
        assert!(tail.read(7, &select(&["a"]), LIMITS).is_none());
    }

    #[test]
    fn the_tail_is_bounded_in_bytes() {
        let bytes = 10 * entry(1, "a").bytes() + topic_bytes(&Topic::new("a").unwrap());
        let mut tail = Tail::new(lineage(), 0, bytes * SPARE_PART / (SPARE_PART - 1) + 1);
        for sequence in 1..=100 {
            tail.push(entry(sequence, "a"));
        }
        assert_eq!((tail.after(), tail.latest), (90, 100));
        assert_eq!(tail.by_topic["a"].len(), 10);
        tail.trim(96);
        assert_eq!((tail.after(), tail.by_topic["a"].len()), (95, 5));
        tail.trim(200);
        assert_eq!((tail.after(), tail.entries.len(), tail.by_topic.len()), (100, 0, 0));
    }

    #[test]
    fn framings_are_a_part_of_what_the_tail_may_take() {
        let (max, data) = (1 << 20, Bytes::from(vec![1; 20_000]));
        let mut tail = Tail::new(lineage(), 0, max);
        for sequence in 1..=100 {
            let event = Event { data: data.clone(), ..entry(sequence, "a").event().clone() };
            let entry = Arc::new(Entry::counted(Arc::new(event), tail.epoch(), tail.framed()));
            tail.push(Arc::clone(&entry));
            // In JSON, each of these bytes takes six.
            let forms = [Framing::Object, Framing::Line, Framing::Stream { topic: true, envelope: true }];
            assert!(forms.map(|form| entry.frame(form).len() > 6 * data.len()).iter().all(|long| *long));
            assert!(tail.size().1 <= max, "{} after {sequence}", tail.size().1);
        }
        let all = tail.all(tail.after(), PullLimits::default()).unwrap().entries;
        for entry in &all {
            drop((entry.frame(Framing::Line), entry.frame(Framing::Object)));
        }
        assert!(tail.size().1 <= max && all.len() > 1);
        // Nothing is left of those that are gone, whoever still holds them.
        tail.trim(200);
        assert_eq!((tail.size(), tail.bytes), ((0, 0), 0));
        drop(all);
        assert_eq!(tail.size(), (0, 0));
    }

    #[test]
    fn many_long_patterns_hold_the_lock_for_so_long_and_no_longer() {
        let deep = "s/".repeat(200);
        let mut tail = Tail::new(lineage(), 0, 64 << 20);
        for sequence in 1..=2_000 {
            tail.push(entry(sequence, &format!("{deep}{sequence}")));
        }
        let patterns = (0..60).map(|n| Selector::new(&format!("{}{n}", "*/".repeat(200))).unwrap());
        let page = tail.read(0, &Selection::new(patterns), LIMITS).unwrap();
        assert!((1..100).contains(&page.next), "{}", page.next);
    }

    proptest! {
        /// Whatever the topics, the numbers left out, and the sizes of the pages: a reader sees each entry of
        /// its selection once, in order.
        #[test]
        fn pages_put_together_are_the_whole(
            topics in prop::collection::vec((1_u64..4, 0_usize..4), 0..60),
            events in 1_usize..5,
            patterns: bool,
        ) {
            let names = ["a/x", "a/y", "b/x", "c"];
            let mut tail = Tail::new(lineage(), 0, 1 << 20);
            let mut sequence = 0;
            let mut expected = Vec::new();
            let selection = if patterns { select(&["a/*", "c"]) } else { select(&["a/x", "a/y", "c"]) };
            for (step, topic) in topics {
                sequence += step;
                tail.push(entry(sequence, names[topic]));
                if topic != 2 {
                    expected.push(sequence);
                }
            }
            let limits = PullLimits { events, bytes: 1_000 };
            let (mut after, mut seen) = (0, Vec::new());
            loop {
                let page = tail.read(after, &selection, limits).unwrap();
                prop_assert!(page.entries.len() <= events);
                seen.extend(sequences(&page));
                if page.next == after {
                    break;
                }
                after = page.next;
            }
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(after, tail.latest);
        }
    }
}
