//! What a hub has followed, and how much of that an engine still has.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tidings_log::BoxFuture;
use tidings_protocol::{Cursor, Event, Lineage, Sequence};

use crate::EngineError;
use crate::limits::MARKS;

/// What the hub has followed up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The place, and the epoch that was present there.
    pub cursor: Cursor,
    /// The last entry that was followed, at that place or before; none where nothing has come since the start.
    pub entry: Option<Arc<Event>>,
    /// The entries that were followed lately.
    pub marks: Marks,
}

/// The entries that a hub followed lately, by what they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(VecDeque<(Sequence, u64)>);

/// How many bytes of an entry's data tell it from others, beside its place, its time, its topic and its length.
const MARKED_BYTES: usize = 4 << 10;

// === impl Seen ===

impl Seen {
    /// A place of which nothing else is known.
    #[must_use]
    pub fn at(cursor: Cursor) -> Self {
        Self { cursor, entry: None, marks: Marks::default() }
    }

    /// The last place up to which an engine has what was followed, as far as the marks tell. `entry` looks for the entry with
    /// a number, and `earliest` is the first one that is kept.
    ///
    /// Where events were lost, and others perhaps written since, everything before an entry that is the same is the same,
    /// and everything after one that is another is another.
    ///
    /// # Errors
    /// What `entry` ends with.
    pub async fn common<'a>(
        &self,
        earliest: Sequence,
        entry: impl Fn(Sequence) -> BoxFuture<'a, Result<Option<Arc<Event>>, EngineError>>,
    ) -> Result<Option<Sequence>, EngineError> {
        let marks: Vec<_> = self.marks.0.iter().filter(|(sequence, _)| *sequence >= earliest).collect();
        let (mut same, mut other) = (0, marks.len());
        while same < other {
            let middle = same + (other - same) / 2;
            let (sequence, mark) = marks[middle];
            if entry(*sequence).await?.is_some_and(|found| mark_of(&found) == *mark) {
                same = middle + 1;
            } else {
                other = middle;
            }
        }
        Ok(same.checked_sub(1).map(|last| marks[last].0))
    }
}

// === impl Marks ===

impl Marks {
    /// Adds entries that were followed.
    pub fn note(&mut self, entries: &[Arc<Event>]) {
        let new = &entries[entries.len().saturating_sub(MARKS)..];
        self.0.extend(new.iter().map(|entry| (entry.sequence, mark_of(entry))));
        self.0.drain(..self.0.len().saturating_sub(MARKS));
    }

    /// Forgets what is not the same any more in the log that goes on.
    pub(crate) fn keep(&mut self, before: &Lineage, now: &Lineage) {
        self.0.retain(|(sequence, _)| now.place(before.id(*sequence)).is_ok());
    }
}

fn mark_of(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    let beginning = &event.data[..event.data.len().min(MARKED_BYTES)];
    (event.sequence, event.time.as_millis(), event.topic.as_str(), event.data.len(), beginning)
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_protocol::{Closing, NewEvent, Timestamp};

    fn event(sequence: Sequence, data: &str) -> Arc<Event> {
        let event = NewEvent::text("a".parse().unwrap(), data);
        Arc::new(event.at(sequence, Timestamp::from_millis(sequence), Closing::No))
    }

    fn seen(numbers: impl IntoIterator<Item = Sequence>) -> Seen {
        let mut seen = Seen::at("first1-0".parse().unwrap());
        let entries: Vec<_> = numbers.into_iter().map(|number| event(number, "same")).collect();
        entries.chunks(7).for_each(|some| seen.marks.note(some));
        seen
    }

    /// What is found where an engine has the same up to a place, and other events from there to another.
    async fn common(seen: &Seen, earliest: Sequence, same: Sequence, latest: Sequence) -> Option<Sequence> {
        let entry = |number: Sequence| -> BoxFuture<'_, _> {
            let data = if number <= same { "same" } else { "other" };
            let there = (earliest..=latest).contains(&number) && !number.is_multiple_of(5);
            Box::pin(async move { Ok(there.then(|| event(number, data))) })
        };
        seen.common(earliest, entry).await.unwrap()
    }

    #[tokio::test]
    async fn the_last_place_that_is_the_same_is_found() {
        // Some numbers are left out.
        let seen = seen((1..=100).filter(|number: &u64| !number.is_multiple_of(5)));
        for same in 1..=100 {
            let expected = (1..=same).rfind(|number: &u64| !number.is_multiple_of(5));
            assert_eq!(common(&seen, 1, same, same).await, expected, "the rest is lost");
            assert_eq!(common(&seen, 1, same, 150).await, expected, "others were written since");
        }
        assert_eq!(common(&seen, 1, 0, 150).await, None);
        assert_eq!(common(&seen, 40, 61, 61).await, Some(61), "what was discarded is no loss");
        assert_eq!(common(&seen, 70, 61, 150).await, None, "nothing that is the same is kept");
        assert_eq!(common(&Seen::at(seen.cursor), 1, 50, 60).await, None);
    }

    #[tokio::test]
    async fn the_marks_are_bounded_and_those_that_are_lost_are_forgotten() {
        let mut seen = seen((1..=10 * MARKS as u64).filter(|number: &u64| !number.is_multiple_of(5)));
        assert_eq!(seen.marks.0.len(), MARKS);
        let latest = 10 * MARKS as u64 - 1;
        assert_eq!(common(&seen, 1, latest, latest).await, Some(latest));
        let before = Lineage::of("first1".parse().unwrap());
        let now = before.renewed("second".parse().unwrap(), latest - 10);
        seen.marks.keep(&before, &now);
        assert_eq!(seen.marks.0.back().unwrap().0, latest - 10);
        seen.marks.keep(&before, &Lineage::of("third3".parse().unwrap()));
        assert_eq!(seen.marks, Marks::default());
    }
}
