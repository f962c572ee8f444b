//! Whether every subscriber got every event, once and in order.

use std::ops::{AddAssign, Range};

/// What one subscriber has got of one topic. The events of one publisher are in order among themselves; between
/// two publishers the server decides.
#[derive(Debug)]
pub(crate) struct Tally {
    /// For each publisher, the number that comes next.
    next: Box<[u64]>,
    /// Numbers that were passed over, by publisher. Empty unless something is wrong.
    missing: Vec<(usize, Range<u64>)>,
    faults: Completeness,
}

/// What was wrong with the deliveries; zero is right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Completeness {
    /// Published, acknowledged, and not received by a subscriber that waited for it.
    pub(crate) lost: u64,
    /// Received once more than published.
    pub(crate) repeated: u64,
    /// Received after an event that was published later by the same publisher.
    pub(crate) out_of_order: u64,
    /// Received with other data than published, or by a subscriber of another topic.
    pub(crate) malformed: u64,
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new(publishers: usize) -> Self {
        Self { next: vec![0; publishers].into(), missing: Vec::new(), faults: Completeness::default() }
    }

    /// Takes note of an event; returns whether it is new to the subscriber.
    pub(crate) fn take(&mut self, publisher: usize, number: u64) -> bool {
        let Some(next) = self.next.get_mut(publisher) else {
            self.faults.malformed += 1;
            return false;
        };
        if number == *next {
            *next += 1;
            return true;
        }
        if number > *next {
            self.missing.push((publisher, *next..number));
            *next = number + 1;
            return true;
        }
        self.late(publisher, number)
    }

    pub(crate) fn malformed(&mut self) {
        self.faults.malformed += 1;
    }

    fn late(&mut self, publisher: usize, number: u64) -> bool {
        let place = self.missing.iter().position(|(own, range)| *own == publisher && range.contains(&number));
        let Some(place) = place else {
            self.faults.repeated += 1;
            return false;
        };
        let (_, range) = self.missing.swap_remove(place);
        for part in [range.start..number, number + 1..range.end] {
            if !part.is_empty() {
                self.missing.push((publisher, part));
            }
        }
        self.faults.out_of_order += 1;
        true
    }

    /// What is wrong, where `published` are the numbers of events that each publisher had acknowledged.
    pub(crate) fn finish(&self, published: &[u64]) -> Completeness {
        let mut faults = self.faults;
        faults.lost += self.missing.iter().map(|(_, range)| range.end - range.start).sum::<u64>();
        for (next, published) in self.next.iter().zip(published) {
            faults.lost += published.saturating_sub(*next);
        }
        faults
    }
}

// === impl Completeness ===

impl Completeness {
    pub(crate) fn is_perfect(self) -> bool {
        self == Self::default()
    }
}

impl AddAssign for Completeness {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.out_of_order += other.out_of_order;
        self.malformed += other.malformed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(events: &[(usize, u64)], published: &[u64]) -> (u64, u64, u64) {
        let mut tally = Tally::new(published.len());
        for &(publisher, number) in events {
            tally.take(publisher, number);
        }
        let faults = tally.finish(published);
        (faults.lost, faults.repeated, faults.out_of_order)
    }

    #[test]
    fn publishers_may_mix_but_each_is_in_order() {
        assert_eq!(after(&[(0, 0), (1, 0), (1, 1), (0, 1)], &[2, 2]), (0, 0, 0));
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        assert_eq!(after(&[(0, 0), (0, 2)], &[5]), (3, 0, 0));
        assert_eq!(after(&[(0, 0), (0, 0), (0, 1)], &[2]), (0, 1, 0));
        assert_eq!(after(&[(0, 0), (0, 3), (0, 2), (0, 1)], &[4]), (0, 0, 2));
        assert_eq!(after(&[(0, 3), (0, 1), (0, 1)], &[4]), (2, 1, 1));
        assert_eq!(after(&[], &[1, 2]), (3, 0, 0));
    }

    #[test]
    fn an_event_of_nobody_is_malformed() {
        let mut tally = Tally::new(1);
        assert!(!tally.take(1, 0));
        assert_eq!(tally.finish(&[0]).malformed, 1);
    }
}
