use std::time::Duration;

use crate::defaults::{BACKOFF_BASE, BACKOFF_CAP, RETRY_CEILING, RETRY_FLOOR};

/// How long to rest before the next attempt: exponential, with full jitter, so that the clients of a hub that
/// restarts do not all come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    attempt: u32,
    random: fastrand::Rng,
}

// === impl Backoff ===

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { base: BACKOFF_BASE, attempt: 0, random: fastrand::Rng::new() }
    }

    /// Takes the hub's `retry:` as the base.
    pub(crate) fn set_base(&mut self, base: Duration) {
        self.base = base.clamp(RETRY_FLOOR, RETRY_CEILING);
    }

    /// The next attempt is a first one again.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How many attempts have failed since the last success.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Counts a failure, and says how long to rest. Where the hub named a time itself, it is at least that.
    pub(crate) fn next(&mut self, named: Option<Duration>) -> Duration {
        let ceiling = self.ceiling();
        self.attempt = self.attempt.saturating_add(1);
        let jitter = ceiling.mul_f64(self.random.f64());
        match named {
            Some(named) => named.min(RETRY_CEILING) + jitter.min(self.base),
            None => jitter,
        }
    }

    /// Counts a failure that the next attempt follows at once.
    pub(crate) fn at_once(&mut self) -> Duration {
        self.attempt = self.attempt.saturating_add(1);
        Duration::ZERO
    }

    fn ceiling(&self) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(self.attempt.min(31)));
        doubled.min(BACKOFF_CAP.max(self.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(backoff: &mut Backoff) -> Duration {
        let attempt = backoff.attempt;
        (0..500)
            .map(|_| {
                backoff.attempt = attempt;
                backoff.next(None)
            })
            .max()
            .unwrap()
    }

    #[test]
    fn delays_are_spread_below_a_bound_that_doubles_up_to_the_cap() {
        let mut backoff = Backoff { random: fastrand::Rng::with_seed(7), ..Backoff::new() };
        let bounds: Vec<Duration> = (0..8).map(|_| longest(&mut backoff)).collect();
        for (bound, expected) in bounds.iter().zip([1, 2, 4, 8, 16, 30, 30, 30]) {
            let expected = Duration::from_secs(expected);
            assert!(*bound <= expected && *bound > expected.mul_f64(0.9), "{bound:?} of {expected:?}");
        }
        backoff.reset();
        assert!(longest(&mut backoff) <= BACKOFF_BASE);
    }

    #[test]
    fn the_hubs_retry_is_the_base_within_bounds() {
        let mut backoff = Backoff::new();
        for (asked, base) in [
            (Duration::from_millis(2_500), Duration::from_millis(2_500)),
            (Duration::ZERO, RETRY_FLOOR),
            (Duration::MAX, RETRY_CEILING),
        ] {
            backoff.set_base(asked);
            backoff.reset();
            assert_eq!(backoff.ceiling(), base);
        }
    }

    #[test]
    fn a_named_time_is_waited_for_and_a_little_more() {
        let mut backoff = Backoff::new();
        for _ in 0..100 {
            let delay = backoff.next(Some(Duration::from_secs(7)));
            assert!((7.0..=8.0).contains(&delay.as_secs_f64()), "{delay:?}");
        }
        assert!(backoff.next(Some(Duration::MAX)) <= RETRY_CEILING + BACKOFF_BASE);
    }

    #[test]
    fn no_count_overflows() {
        let mut backoff = Backoff { attempt: u32::MAX - 1, ..Backoff::new() };
        backoff.set_base(Duration::MAX);
        for _ in 0..4 {
            assert!(backoff.next(None) <= RETRY_CEILING);
        }
    }
}
