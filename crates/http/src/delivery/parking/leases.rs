use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::parked::Key;
use crate::delivery::lease::Lease;
use crate::delivery::memory::Client;

/// The terms of the entries that came with tokens. The others have no part in it, and cost nothing.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_key: HashMap<Key, Lease>,
    /// The tick at which each ends, the earliest first. Those of entries that are gone are passed over.
    ends: BinaryHeap<Reverse<(u32, u64)>>,
}

// === impl Leases ===

impl Leases {
    pub(super) fn add(&mut self, key: Key, end: u32, lease: Lease) {
        self.by_key.insert(key, lease);
        self.ends.push(Reverse((end, key.to_bits())));
        // Readers that come and go long before their tokens end leave records behind.
        if self.ends.len() > 2 * self.by_key.len() + SPARE {
            let by_key = &self.by_key;
            self.ends.retain(|Reverse((_, key))| by_key.contains_key(&Key::from_bits(*key)));
        }
    }

    /// Whom an entry is counted for that came with a token.
    pub(super) fn client(&self, key: Key) -> Option<Client> {
        self.by_key.get(&key)?.client().cloned()
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
            let Reverse((_, key)) = self.ends.pop()?;
            let key = Key::from_bits(key);
            if self.by_key.remove(&key).is_some() {
                return Some(key);
            }
        }
        None
    }
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
