//! Readers that want what is pending for them no more often than so.

use tidings_hub::ReaderState as State;
use tidings_protocol::Sequence;

use super::Shard;
use crate::defaults;
use crate::delivery::parking::wheel::ticks;

impl Shard {
    /// The tick until which what is pending for an entry is held, where that is.
    pub(super) fn held_until(&self, index: u32) -> Option<u32> {
        let entry = &self.entries[index as usize];
        let interest = &self.groups.get(entry.group).interest;
        if interest.folding.every.is_zero() || entry.seen.state() != State::Lagging {
            return None;
        }
        // The tick of the delivery had begun already, so that it is not counted.
        let begun = self.delivered.get(&self.key(index))?.saturating_add(1);
        let until = begun.saturating_add(ticks(interest.folding.every));
        // A poll is answered in time, with what there is.
        Some(if interest.shape.is_poll() { until.min(entry.since) } else { until })
    }

    /// Whether what is pending for an entry is held still.
    pub(super) fn holds(&self, index: u32) -> bool {
        self.held_until(index).is_some_and(|until| until > self.now)
    }

    /// What is pending for an entry is held no longer. A poll has some time beyond its wait then, as the log may have to be
    /// read: else it would be answered with nothing, again and again.
    pub(super) fn end_hold(&mut self, index: u32) {
        let key = self.key(index);
        let entry = &mut self.entries[index as usize];
        if self.groups.get(entry.group).interest.shape.is_poll() && self.delivered.remove(&key).is_some() {
            entry.since = entry.since.max(self.now.saturating_add(ticks(defaults::HELD_GRACE)));
        }
    }

    /// Holds a batch that comes after `start` for the members of a group that had a delivery just before. Says whether all of
    /// the group is held.
    pub(super) fn hold_batch(&mut self, group: u32, start: Sequence) -> bool {
        if self.groups.get(group).interest.folding.every.is_zero() {
            return false;
        }
        let mut all = true;
        for place in 0..self.groups.get(group).members().len() {
            let index = self.groups.get(group).members()[place];
            let before = self.entries[index as usize].seen;
            if !self.entries[index as usize].seen.fall_behind(start) {
                continue;
            }
            if self.holds(index) {
                self.schedule_if_sooner(index);
            } else {
                self.entries[index as usize].seen = before;
                all = false;
            }
        }
        all
    }

    /// Takes note of a delivery to an entry that wants them no more often than so.
    pub(super) fn note_delivery(&mut self, index: u32, events: usize) {
        let entry = &self.entries[index as usize];
        if events > 0 && !self.groups.get(entry.group).interest.folding.every.is_zero() {
            self.delivered.insert(self.key(index), self.now);
        }
    }
}
