use std::fmt;
use std::sync::Arc;

use crate::{Cursor, Epoch, GapReason, Sequence, limits};

/// The epochs of a log (§1): those before the present one, each with its last sequence number, and the present one.
///
/// This is the one place that says under which epoch an event was written ([`id`](Lineage::id)) and whether a cursor
/// can be continued ([`resume`](Lineage::resume)). Clones share the list.
///
/// ```
/// use tidings_protocol::{Cursor, GapReason, Lineage};
///
/// // A log was closed, or copied, after event 10 of the epoch `first1`, and opened again.
/// let lineage = Lineage::new([Cursor::new("first1".parse()?, 10)], "second".parse()?);
/// assert_eq!(lineage.id(10).to_string(), "first1-10");
/// assert_eq!(lineage.id(11).to_string(), "second-11");
/// // With the events 1 to 25 in the log now:
/// let resume = |cursor: &str| Ok::<_, tidings_protocol::InvalidCursor>(lineage.resume(cursor.parse()?, 1, 25));
/// assert_eq!(resume("first1-10")?, Ok(10));
/// assert_eq!(resume("first1-20")?, Err(GapReason::Ahead));
/// assert_eq!(resume("other1-3")?, Err(GapReason::Unknown));
/// # Ok::<(), tidings_protocol::InvalidCursor>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Lineage {
    present: Epoch,
    /// The last place of each epoch before, oldest first. The places never go back.
    past: Arc<[Cursor]>,
}

// === impl Lineage ===

impl Lineage {
    /// A log that has had one epoch.
    #[must_use]
    pub fn of(present: Epoch) -> Self {
        Self { past: Arc::default(), present }
    }

    /// A log that had other epochs before, given by their last places, oldest first.
    ///
    /// What a later epoch takes back ends the earlier ones there. Beyond [`limits::EPOCHS`], those without an event of
    /// their own are left out first, and then the oldest: the events of one that is left out have the next epoch, and its
    /// cursors are told a gap.
    #[must_use]
    pub fn new(past: impl IntoIterator<Item = Cursor>, present: Epoch) -> Self {
        let mut ends: Vec<Cursor> = past.into_iter().filter(|end| end.epoch != present).collect();
        let mut last = Sequence::MAX;
        for end in ends.iter_mut().rev() {
            last = last.min(end.sequence);
            end.sequence = last;
        }
        let mut spare = ends.len().saturating_sub(limits::EPOCHS - 1);
        let mut before = None;
        ends.retain(|end| {
            let is_empty = before.replace(end.sequence) == Some(end.sequence);
            let leaves = is_empty && spare > 0;
            spare -= usize::from(leaves);
            !leaves
        });
        ends.drain(..spare);
        Self { past: ends.into(), present }
    }

    /// The same log as it goes on in a new epoch after `last`.
    #[must_use]
    pub fn renewed(&self, epoch: Epoch, last: Sequence) -> Self {
        let ends = self.past.iter().copied().chain([Cursor::new(self.present, last)]);
        Self::new(ends, epoch)
    }

    /// The same log in another epoch, where nothing was written in the present one and no cursor names it.
    #[must_use]
    pub fn replaced(&self, epoch: Epoch) -> Self {
        Self { past: Arc::clone(&self.past), present: epoch }
    }

    /// The epoch that events are written in now.
    #[must_use]
    pub fn present(&self) -> Epoch {
        self.present
    }

    /// The last places of the epochs before, oldest first.
    #[must_use]
    pub fn past(&self) -> &[Cursor] {
        &self.past
    }

    /// Whether an epoch is, or was, one of this log.
    #[must_use]
    pub fn has(&self, epoch: Epoch) -> bool {
        self.present == epoch || self.past.iter().any(|end| end.epoch == epoch)
    }

    /// Whether the present epoch has given out nothing, where `latest` is the last entry.
    #[must_use]
    pub fn is_unused(&self, latest: Sequence) -> bool {
        self.past.last().is_some_and(|end| end.sequence >= latest)
    }

    /// The cursor of a place: the id of the event there, under the epoch that it was written in. A place has this one
    /// name, whichever epoch is present.
    #[must_use]
    pub fn id(&self, sequence: Sequence) -> Cursor {
        Cursor::new(self.epoch_of(sequence), sequence)
    }

    /// The epoch that a sequence number was, or would be, given out in.
    #[must_use]
    pub fn epoch_of(&self, sequence: Sequence) -> Epoch {
        // Nearly always it is the present one.
        if self.past.last().is_none_or(|end| end.sequence < sequence) {
            return self.present;
        }
        let place = self.past.partition_point(|end| end.sequence < sequence);
        self.past.get(place).map_or(self.present, |end| end.epoch)
    }

    /// The place to go on from, where a cursor is of this log.
    ///
    /// # Errors
    /// [`GapReason::Ahead`] where its epoch ended before, [`GapReason::Unknown`] where it is another log's.
    pub fn place(&self, cursor: Cursor) -> Result<Sequence, GapReason> {
        if cursor.epoch == self.present {
            return Ok(cursor.sequence);
        }
        let end = self.past.iter().rev().find(|end| end.epoch == cursor.epoch).ok_or(GapReason::Unknown)?;
        if cursor.sequence > end.sequence { Err(GapReason::Ahead) } else { Ok(cursor.sequence) }
    }

    /// The place to go on from without a gap, in a log that holds the entries from `earliest` to `latest` (§3.4).
    ///
    /// # Errors
    /// Why the reader has to be told of a gap.
    pub fn resume(
        &self,
        cursor: Cursor,
        earliest: Sequence,
        latest: Sequence,
    ) -> Result<Sequence, GapReason> {
        let sequence = self.place(cursor)?;
        if sequence > latest {
            Err(GapReason::Ahead)
        } else if sequence.saturating_add(1) < earliest {
            Err(GapReason::Expired)
        } else {
            Ok(sequence)
        }
    }
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lineage").field("past", &self.past.len()).field("present", &self.present).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cursor(text: &str) -> Cursor {
        text.parse().unwrap()
    }

    fn epoch(text: &str) -> Epoch {
        text.parse().unwrap()
    }

    fn lineage(past: &[&str], present: &str) -> Lineage {
        Lineage::new(past.iter().map(|text| cursor(text)), epoch(present))
    }

    fn past(lineage: &Lineage) -> Vec<String> {
        lineage.past().iter().map(ToString::to_string).collect()
    }

    /// A lineage, a cursor, the range that the log holds, and what becomes of the cursor.
    type Row<'a> = (&'a Lineage, &'a str, (u64, u64), Result<u64, GapReason>);

    /// One row for each thing that may become of a cursor.
    #[test]
    fn cursors_are_continued_or_told_why_not() {
        use GapReason::{Ahead, Expired, Unknown};
        let one = lineage(&[], "aaaaaa");
        let three = lineage(&["aaaaaa-10", "bbbbbb-20"], "cccccc");
        let lost = three.renewed(epoch("dddddd"), 15);
        let rows: [Row<'_>; 28] = [
            (&one, "aaaaaa-0", (1, 0), Ok(0)),
            (&one, "aaaaaa-1", (1, 0), Err(Ahead)),
            (&one, "aaaaaa-10", (1, 10), Ok(10)),
            (&one, "aaaaaa-11", (1, 10), Err(Ahead)),
            (&one, "aaaaaa-4", (5, 10), Ok(4)),
            (&one, "aaaaaa-3", (5, 10), Err(Expired)),
            (&one, "bbbbbb-3", (1, 10), Err(Unknown)),
            (&one, "bbbbbb-0", (1, 0), Err(Unknown)),
            // Where all is discarded, its end is the place to go on from.
            (&one, "aaaaaa-10", (11, 10), Ok(10)),
            (&one, "aaaaaa-18446744073709551615", (1, 10), Err(Ahead)),
            // Within the range of an older epoch nothing is missing; beyond it there is another history.
            (&three, "aaaaaa-10", (1, 25), Ok(10)),
            (&three, "aaaaaa-11", (1, 25), Err(Ahead)),
            (&three, "bbbbbb-20", (1, 25), Ok(20)),
            (&three, "bbbbbb-21", (1, 25), Err(Ahead)),
            (&three, "cccccc-25", (1, 25), Ok(25)),
            (&three, "cccccc-26", (1, 25), Err(Ahead)),
            // A place that an epoch took over from the one before.
            (&three, "bbbbbb-3", (1, 25), Ok(3)),
            (&three, "cccccc-3", (1, 25), Ok(3)),
            (&three, "aaaaaa-3", (5, 25), Err(Expired)),
            (&three, "bbbbbb-19", (21, 25), Err(Expired)),
            (&three, "bbbbbb-20", (21, 25), Ok(20)),
            (&three, "dddddd-1", (1, 25), Err(Unknown)),
            // A loss ends the epochs that had gone on behind it.
            (&lost, "aaaaaa-10", (1, 18), Ok(10)),
            (&lost, "bbbbbb-15", (1, 18), Ok(15)),
            (&lost, "bbbbbb-16", (1, 18), Err(Ahead)),
            (&lost, "cccccc-21", (1, 18), Err(Ahead)),
            (&lost, "cccccc-15", (1, 18), Ok(15)),
            (&lost, "dddddd-18", (1, 18), Ok(18)),
        ];
        for (lineage, given, (earliest, latest), expected) in rows {
            assert_eq!(
                lineage.resume(cursor(given), earliest, latest),
                expected,
                "{given} in {:?} with {earliest} to {latest}",
                past(lineage)
            );
        }
    }

    #[test]
    fn an_event_keeps_its_id() {
        let three = lineage(&["aaaaaa-10", "bbbbbb-20"], "cccccc");
        for (sequence, id) in
            [(0, "aaaaaa-0"), (10, "aaaaaa-10"), (11, "bbbbbb-11"), (20, "bbbbbb-20"), (21, "cccccc-21")]
        {
            assert_eq!(three.id(sequence), cursor(id));
            assert_eq!(three.renewed(epoch("dddddd"), 21).id(sequence), cursor(id));
        }
        assert_eq!(three.renewed(epoch("dddddd"), 15).id(16), cursor("dddddd-16"), "another event");
    }

    #[test]
    fn an_epoch_that_gave_out_nothing_leaves_no_trace() {
        let closed = lineage(&["aaaaaa-10"], "bbbbbb");
        assert!(closed.is_unused(10) && !closed.is_unused(11));
        assert_eq!(past(&closed.replaced(epoch("cccccc"))), ["aaaaaa-10"]);
        // The first epoch is named by the place before everything.
        assert!(!lineage(&[], "aaaaaa").is_unused(0));
        assert_eq!(lineage(&["aaaaaa-0"], "bbbbbb").id(0), cursor("aaaaaa-0"));
    }

    #[test]
    fn the_list_is_bounded_and_empty_epochs_leave_it_first() {
        let name = |number: u64| epoch(&format!("epoch{number:05}"));
        // Events in three epochs, and restarts without any between.
        let many = 3 * limits::EPOCHS as u64;
        let ends = (0..many).map(|number| Cursor::new(name(number), 10 * (1 + 3 * number / many)));
        let lineage = Lineage::new(ends, epoch("present"));
        assert_eq!(lineage.past().len(), limits::EPOCHS - 1);
        assert_eq!(lineage.id(10), Cursor::new(name(0), 10));
        assert_eq!(lineage.place(Cursor::new(name(0), 10)), Ok(10));
        let ends = lineage.past().iter().copied();
        let ends = ends.chain((0..many).map(|number| Cursor::new(name(50_000 + number), 100 + number)));
        let lineage = Lineage::new(ends, epoch("present"));
        // Now each has an event, and the oldest are gone.
        assert_eq!(lineage.past().len(), limits::EPOCHS - 1);
        assert_eq!(lineage.place(Cursor::new(name(0), 10)), Err(GapReason::Unknown));
        let oldest = lineage.past()[0];
        assert_eq!(lineage.id(10), Cursor::new(oldest.epoch, 10));
        assert_eq!(lineage.place(lineage.id(10)), Ok(10));
    }

    proptest! {
        /// Whatever was opened and lost: what a reader holds is continued where it is a prefix of what there is now, and
        /// a gap where it is not.
        #[test]
        fn only_who_lost_something_is_told(runs in prop::collection::vec((0_u64..6, 0_u64..4), 1..12)) {
            let name = |number: usize| epoch(&format!("epoch{number:05}"));
            let mut lineage = Lineage::of(name(0));
            // What the log holds: which run wrote each event.
            let mut log: Vec<usize> = Vec::new();
            let mut held: Vec<(Cursor, Vec<usize>)> = Vec::new();
            for (run, (written, lost)) in runs.iter().enumerate() {
                for _ in 0..*written {
                    log.push(run);
                    held.push((lineage.id(log.len() as u64), log.clone()));
                }
                log.truncate(log.len().saturating_sub(usize::try_from(*lost).unwrap()));
                lineage = lineage.renewed(name(run + 1), log.len() as u64);
            }
            for (cursor, seen) in held {
                let resumed = lineage.resume(cursor, 1, log.len() as u64);
                if log.starts_with(&seen) {
                    prop_assert_eq!(resumed, Ok(seen.len() as u64));
                    prop_assert_eq!(lineage.id(cursor.sequence), cursor);
                } else {
                    prop_assert_eq!(resumed, Err(GapReason::Ahead));
                }
            }
        }
    }
}
