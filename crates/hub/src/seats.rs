//! Which producers are at work under which keys, so that one that is cut off is not given up while another has taken its place.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_protocol::Topic;

/// The producers of a hub that have keys.
#[derive(Debug, Default)]
pub(crate) struct Seats(Mutex<HashMap<Name, Slot>>);

/// What producers with the same key share: it is one publication.
pub(crate) type Name = (Topic, String);

#[derive(Debug, Default)]
struct Slot {
    /// Who has come and has not given up its seat, by arrival, and whether it is at work: else it is waited for.
    held: BTreeMap<u64, bool>,
    arrivals: u64,
    /// One of them has come to the end of the publication.
    is_finished: bool,
}

/// The place of one producer, which is given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    name: Name,
    arrival: u64,
}

// === impl Seats ===

impl Seats {
    pub(crate) fn take(self: &Arc<Self>, name: Name) -> Seat {
        let mut slots = self.slots();
        let slot = slots.entry(name.clone()).or_default();
        slot.arrivals += 1;
        let arrival = slot.arrivals;
        slot.held.insert(arrival, true);
        drop(slots);
        Seat { seats: Arc::clone(self), name, arrival }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Name, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Seat ===

impl Seat {
    /// The producer is cut off, and may come back.
    pub(crate) fn leave(&self) {
        self.change(|slot| _ = slot.held.insert(self.arrival, false));
    }

    /// Whether another producer is at work, or one that came later is waited for.
    pub(crate) fn is_taken_over(&self) -> bool {
        self.change(|slot| {
            slot.held
                .iter()
                .any(|(&arrival, &works)| arrival != self.arrival && (works || arrival > self.arrival))
        })
        .unwrap_or_default()
    }

    /// The publication is about to come to its end.
    pub(crate) fn finish(&self) {
        self.change(|slot| slot.is_finished = true);
    }

    /// Whether one of the producers has brought the publication to its end.
    pub(crate) fn is_finished(&self) -> bool {
        self.change(|slot| slot.is_finished).unwrap_or_default()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        self.seats.slots().get_mut(&self.name).map(change)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut slots = self.seats.slots();
        if let Some(slot) = slots.get_mut(&self.name) {
            slot.held.remove(&self.arrival);
            if slot.held.is_empty() {
                slots.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_not_taken_over() {
        let seats = Arc::new(Seats::default());
        let take = || seats.take(("a".parse().unwrap(), "k".into()));
        let (first, second) = (take(), take());
        first.leave();
        assert!(first.is_taken_over(), "the second is at work");
        assert!(!second.is_taken_over());
        second.leave();
        assert!(first.is_taken_over(), "the second is waited for");
        assert!(!second.is_taken_over());
        drop(second);
        assert!(!first.is_taken_over(), "nobody else is left");
        let third = take();
        drop(first);
        third.leave();
        assert!(!third.is_taken_over());
        drop(third);
        assert!(seats.slots().is_empty());
    }
}
