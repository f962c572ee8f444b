use std::time::Duration;

use super::parked::Key;

/// When which entry is to be looked at: one list for each tick of the near future, so that a hundred thousand
/// deadlines cost a few bytes each and no timer.
///
/// An entry has one valid record, which it knows by its tick; records that it has left behind are passed over
/// by whoever takes them out.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<Key>>,
    /// The last tick that has been taken out.
    now: u32,
}

/// Ticks that the wheel reaches ahead; what is due later is looked at then, and put in again.
const SLOTS: u32 = 1_024;
/// The length of a tick.
const TICK: Duration = Duration::from_millis(50);

/// A length of time in ticks; at least one.
pub(crate) fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(TICK.as_millis()))
        .unwrap_or(u32::MAX / 2)
        .clamp(1, u32::MAX / 2)
}

// === impl Wheel ===

impl Wheel {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), now: 0 }
    }

    /// The tick that is so far from the beginning; it has begun.
    pub(super) fn tick_at(elapsed: Duration) -> u32 {
        u32::try_from(elapsed.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
    }

    /// Puts in a record for a tick, and says for which tick it is there.
    pub(super) fn put(&mut self, tick: u32, key: Key) -> u32 {
        let tick = tick.clamp(self.now + 1, self.now + SLOTS - 1);
        self.slots[(tick % SLOTS) as usize].push(key);
        tick
    }

    /// The last 16 bits of a tick, by which those that the wheel reaches are told apart.
    pub(super) fn short(tick: u32) -> u16 {
        u16::try_from(tick & u32::from(u16::MAX)).unwrap_or_default()
    }

    /// The tick that these are of, where it is after `now`.
    pub(super) fn ahead(short: u16, now: u32) -> Option<u32> {
        let ahead = u32::from(short.wrapping_sub(Self::short(now)));
        (1..SLOTS).contains(&ahead).then(|| now.saturating_add(ahead))
    }

    /// Takes out the records of the next tick that has come, if one has.
    pub(super) fn take(&mut self, now: u32) -> Option<(u32, Vec<Key>)> {
        while self.now < now {
            self.now += 1;
            let slot = &mut self.slots[(self.now % SLOTS) as usize];
            if !slot.is_empty() {
                // The list's memory is given back: a burst of arrivals would else keep it for ever.
                return Some((self.now, std::mem::take(slot)));
            }
        }
        None
    }

    /// How long it is from `elapsed` to the next tick that has records.
    pub(super) fn next(&self, elapsed: Duration) -> Option<Duration> {
        let ahead = (1..SLOTS).find(|ahead| !self.slots[((self.now + ahead) % SLOTS) as usize].is_empty())?;
        Some(Self::until(self.now + ahead, elapsed))
    }

    /// How long it is from `elapsed` to a tick.
    pub(super) fn until(tick: u32, elapsed: Duration) -> Duration {
        (TICK * tick).saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_tell_the_ticks_apart_that_it_reaches() {
        for now in [0, 5, 65_000, 65_535, 65_536, 1 << 20] {
            for ahead in [1, 2, 600, SLOTS - 1] {
                assert_eq!(Wheel::ahead(Wheel::short(now + ahead), now), Some(now + ahead));
                assert_eq!(Wheel::ahead(Wheel::short(now), now + ahead - 1), None);
            }
        }
    }

    #[test]
    fn records_come_out_at_their_tick() {
        let mut wheel = Wheel::new();
        let key = |number| Key { index: number, generation: 0 };
        assert_eq!(wheel.next(Duration::ZERO), None);
        assert_eq!(wheel.put(5, key(1)), 5);
        assert_eq!(wheel.put(0, key(2)), 1);
        assert_eq!(wheel.put(1_000_000, key(3)), 1_023);
        assert_eq!(wheel.next(Duration::from_millis(10)), Some(Duration::from_millis(40)));
        assert_eq!(wheel.take(4), Some((1, vec![key(2)])));
        assert_eq!(wheel.take(4), None);
        assert_eq!(wheel.take(7), Some((5, vec![key(1)])));
        assert_eq!(wheel.take(2_000), Some((1_023, vec![key(3)])));
        assert_eq!(wheel.take(2_000), None);
        assert_eq!(wheel.put(0, key(4)), 2_001);
    }
}
