use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::parked::Key;
use crate::delivery::lease::Lease;
use crate::delivery::memory::Client;

/// The terms of the entries that came with tokens. The others have no part in it, and cost nothing.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// Each lease, and the tick at which it ends.
    by_key: HashMap<Key, (u32, Lease)>,
    /// The tick at which each ends, the earliest first. Those of entries that are gone, and of leases that others have taken
    /// the place of, are passed over.
    ends: BinaryHeap<Reverse<(u32, u64)>>,
}

// === impl Leases ===

impl Leases {
    /// Gives an entry its lease, in place of the one that it had.
    pub(super) fn add(&mut self, key: Key, end: u32, lease: Lease) {
        self.by_key.insert(key, (end, lease));
        self.ends.push(Reverse((end, key.to_bits())));
        // Readers that come and go, or renew their tokens, long before these end leave records behind.
        if self.ends.len() > 2 * self.by_key.len() + SPARE {
            let by_key = &self.by_key;
            self.ends.retain(|Reverse((end, key))| is_held(by_key, *end, *key));
        }
    }

    /// Whom an entry is counted for that came with a token.
    pub(super) fn client(&self, key: Key) -> Option<Client> {
        self.by_key.get(&key)?.1.client().cloned()
    }

    pub(super) fn remove(&mut self, key: Key) {
        if self.by_key.remove(&key).is_some() && self.by_key.is_empty() {
            // What a crowd needed goes with it.
            *self = Self::default();
        }
    }

    /// The next tick at which one ends.
    pub(super) fn next(&self) -> Option<u32> {
        self.ends.peek().map(|Reverse((end, _))| *end)
    }

    /// Takes out one that has ended.
    pub(super) fn take(&mut self, now: u32) -> Option<Key> {
        while self.next().is_some_and(|end| end <= now) {
            let Reverse((end, key)) = self.ends.pop()?;
            if is_held(&self.by_key, end, key) {
                let key = Key::from_bits(key);
                self.by_key.remove(&key);
                return Some(key);
            }
        }
        None
    }
}

/// Whether an entry has a lease that ends at this tick.
fn is_held(by_key: &HashMap<Key, (u32, Lease)>, end: u32, key: u64) -> bool {
    by_key.get(&Key::from_bits(key)).is_some_and(|(own, _)| *own == end)
}

/// Records of entries that are gone, beside as many as there are entries.
const SPARE: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn key(number: u32) -> Key {
        Key { index: number, generation: number }
    }

    fn lease() -> Lease {
        Lease::new(Instant::now(), None)
    }

    #[test]
    fn leases_end_in_the_order_of_their_ticks() {
        let mut leases = Leases::default();
        leases.add(key(1), 30, lease());
        leases.add(key(2), 10, lease());
        leases.add(key(3), 20, lease());
        assert_eq!(leases.next(), Some(10));
        assert_eq!(leases.take(9), None);
        leases.remove(key(3));
        assert_eq!(leases.take(25), Some(key(2)));
        assert_eq!(leases.take(25), None);
        assert_eq!(leases.take(30), Some(key(1)));
        assert_eq!(leases.next(), None);
    }

    #[test]
    fn a_lease_that_was_renewed_ends_at_its_own_tick() {
        let mut leases = Leases::default();
        leases.add(key(1), 10, lease());
        leases.add(key(2), 10, lease());
        leases.add(key(1), 30, lease());
        leases.remove(key(2));
        leases.add(key(2), 20, lease());
        assert_eq!(leases.take(15), None);
        assert_eq!(leases.take(25), Some(key(2)));
        assert_eq!((leases.take(25), leases.take(30), leases.take(30)), (None, Some(key(1)), None));
    }

    #[test]
    fn who_renews_again_and_again_leaves_nothing_behind() {
        let mut leases = Leases::default();
        leases.add(key(0), 1_000_000, lease());
        for end in 0..100_000 {
            leases.add(key(1), 1_000_000 + end, lease());
        }
        assert!(leases.ends.len() <= 2 * SPARE);
    }

    #[test]
    fn who_comes_and_goes_leaves_nothing_behind() {
        let mut leases = Leases::default();
        leases.add(key(0), 1_000_000, lease());
        for number in 1..100_000 {
            leases.add(key(number), 1_000_000, lease());
            leases.remove(key(number));
        }
        assert!(leases.ends.len() <= 2 * SPARE);
    }
}
