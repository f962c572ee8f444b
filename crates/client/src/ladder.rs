use std::time::Duration;

use tokio::time::Instant;

use crate::defaults::{LONG_POLL_FAILURES, STREAM_FAILURES};
use crate::{Interruption, Transport};

/// Which transport to use now: from streams down to long polls and short polls while they fail, and up again
/// after a while.
///
/// A fall is only believed where the lower rung works: it begins with a poll that is answered at once, and if
/// that fails as well, the transport above was not to blame.
#[derive(Debug)]
pub(crate) struct Ladder {
    wish: Transport,
    rung: Transport,
    /// How many failures in a row the transport may be to blame for.
    failures: u32,
    /// Whether this rung has worked since it was stepped on.
    proven: bool,
    /// When to try a stream again.
    climb_at: Option<Instant>,
    climb_after: Duration,
    /// The hub's advice, as far as it counts.
    advice: Advice,
}

/// What has become of a hub's advice to take a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advice {
    None,
    /// The next attempt follows it.
    Taken,
    /// It was followed, and led to nothing yet: before the usual time it is not followed again.
    Tried,
}

/// What a failure says about the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// Nothing: the hub or the way to it is down, or the hub itself said that it cannot answer.
    None,
    /// It may be at fault.
    Perhaps,
    /// It is at fault: no stream began, though one begins at once.
    Surely,
}

// === impl Ladder ===

impl Ladder {
    pub(crate) fn new(wish: Transport, climb_after: Duration) -> Self {
        let rung = if wish == Transport::Auto { Transport::Sse } else { wish };
        Self { wish, rung, failures: 0, proven: false, climb_at: None, climb_after, advice: Advice::None }
    }

    /// The transport for the next attempt.
    pub(crate) fn rung(&mut self, now: Instant) -> Transport {
        if self.climb_at.is_some_and(|at| at <= now) {
            let advice = if self.advice == Advice::Taken { Advice::Tried } else { Advice::None };
            self.step(Transport::Sse);
            self.advice = advice;
            // It has one chance.
            self.failures = STREAM_FAILURES - 1;
        }
        self.rung
    }

    /// Whether the transport has worked, so that a poll may be held.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether something else is tried where a stream does not begin.
    pub(crate) fn may_fall(&self) -> bool {
        self.wish == Transport::Auto
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.proven = true;
        if self.rung == Transport::Sse {
            self.advice = Advice::None;
        }
    }

    /// The hub advises to take a stream. `true` where the next attempt is one.
    pub(crate) fn advised(&mut self, now: Instant) -> bool {
        let is_below = matches!(self.rung, Transport::LongPoll | Transport::Poll);
        if !self.may_fall() || !is_below || self.advice != Advice::None {
            return false;
        }
        self.advice = Advice::Taken;
        self.climb_at = Some(now);
        true
    }

    /// Counts a failure. `true` where the next attempt is by another transport, and follows at once.
    pub(crate) fn failed(&mut self, reason: &Interruption, now: Instant) -> bool {
        let blame = Blame::of(reason);
        if !self.may_fall() {
            return false;
        }
        self.failures += u32::from(blame != Blame::None);
        match self.rung {
            Transport::Sse if blame == Blame::Surely || self.failures >= STREAM_FAILURES => {
                self.step(Transport::LongPoll);
                self.climb_at = Some(now + self.climb_after);
                blame == Blame::Surely
            }
            Transport::LongPoll | Transport::Poll if !self.proven => {
                self.step(Transport::Sse);
                false
            }
            Transport::LongPoll if self.failures >= LONG_POLL_FAILURES => {
                let climb_at = self.climb_at;
                self.step(Transport::Poll);
                self.climb_at = climb_at;
                false
            }
            Transport::Poll if self.failures >= LONG_POLL_FAILURES => {
                self.step(Transport::Sse);
                false
            }
            _ => false,
        }
    }

    fn step(&mut self, rung: Transport) {
        tracing::debug!(from = %self.rung, to = %rung, "changing the transport");
        self.rung = rung;
        self.failures = 0;
        self.proven = false;
        self.climb_at = None;
    }
}

// === impl Blame ===

impl Blame {
    fn of(reason: &Interruption) -> Self {
        match reason {
            Interruption::Connect(_)
            | Interruption::Untrusted(_)
            | Interruption::Token(_)
            | Interruption::Refused(_)
            | Interruption::Postponed => Self::None,
            Interruption::Unavailable(problem) if matches!(problem.status, 429 | 503) => Self::None,
            Interruption::Stalled { .. } => Self::Surely,
            Interruption::Broken(_)
            | Interruption::Ended
            | Interruption::TimedOut { .. }
            | Interruption::Silent { .. }
            | Interruption::Unavailable(_)
            | Interruption::Unexpected { .. }
            | Interruption::Malformed(_) => Self::Perhaps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: Duration = Duration::from_secs(60);
    const STALLED: Interruption = Interruption::Stalled { after: Duration::ZERO };
    const ENDED: Interruption = Interruption::Ended;

    fn unreachable() -> Interruption {
        Interruption::Connect(String::new())
    }

    fn auto() -> (Ladder, Instant) {
        (Ladder::new(Transport::Auto, AGAIN), Instant::now())
    }

    #[test]
    fn a_stream_that_does_not_begin_is_followed_by_a_poll_at_once() {
        let (mut ladder, now) = auto();
        assert_eq!(ladder.rung(now), Transport::Sse);
        assert!(ladder.failed(&STALLED, now));
        assert_eq!(ladder.rung(now), Transport::LongPoll);
        assert!(!ladder.is_proven());
    }

    #[test]
    fn where_polls_fail_too_the_stream_was_not_to_blame() {
        let (mut ladder, now) = auto();
        ladder.failed(&STALLED, now);
        assert!(!ladder.failed(&unreachable(), now));
        assert_eq!(ladder.rung(now), Transport::Sse);
    }

    #[test]
    fn streams_that_keep_failing_are_given_up_but_not_for_a_hub_that_is_down() {
        let (mut ladder, now) = auto();
        for _ in 0..100 {
            ladder.failed(&unreachable(), now);
            assert_eq!(ladder.rung(now), Transport::Sse);
        }
        for expected in [Transport::Sse, Transport::Sse, Transport::LongPoll] {
            ladder.failed(&ENDED, now);
            assert_eq!(ladder.rung(now), expected);
        }
    }

    #[test]
    fn a_success_forgets_the_failures_before() {
        let (mut ladder, now) = auto();
        for _ in 0..10 {
            ladder.failed(&ENDED, now);
            ladder.failed(&ENDED, now);
            ladder.succeeded();
            assert_eq!(ladder.rung(now), Transport::Sse);
        }
    }

    #[test]
    fn long_polls_that_keep_failing_become_short_ones_and_streams_come_back() {
        let (mut ladder, now) = auto();
        ladder.failed(&STALLED, now);
        ladder.succeeded();
        let late = || Interruption::TimedOut { after: Duration::ZERO };
        ladder.failed(&late(), now);
        assert_eq!(ladder.rung(now), Transport::LongPoll);
        ladder.failed(&late(), now);
        assert_eq!(ladder.rung(now), Transport::Poll);
        ladder.succeeded();
        assert_eq!(ladder.rung(now + AGAIN / 2), Transport::Poll);
        assert_eq!(ladder.rung(now + AGAIN), Transport::Sse);
        ladder.failed(&ENDED, now + AGAIN);
        assert_eq!(ladder.rung(now + AGAIN), Transport::LongPoll);
    }

    #[test]
    fn a_transport_that_was_asked_for_is_kept() {
        for wish in [Transport::Sse, Transport::LongPoll, Transport::Poll] {
            let now = Instant::now();
            let mut ladder = Ladder::new(wish, AGAIN);
            for _ in 0..10 {
                assert!(!ladder.failed(&STALLED, now));
                assert_eq!(ladder.rung(now + AGAIN), wish);
            }
        }
    }

    #[test]
    fn advice_is_followed_once_until_the_usual_time() {
        let now = Instant::now();
        let mut ladder = Ladder::new(Transport::Auto, AGAIN);
        ladder.failed(&STALLED, now);
        assert_eq!(ladder.rung(now), Transport::LongPoll);
        ladder.succeeded();
        assert!(ladder.advised(now));
        assert!(!ladder.advised(now), "it is taken already");
        // One chance.
        assert_eq!(ladder.rung(now), Transport::Sse);
        ladder.failed(&ENDED, now);
        assert_eq!(ladder.rung(now), Transport::LongPoll);
        ladder.succeeded();
        assert!(!ladder.advised(now + AGAIN / 2));
        assert_eq!(ladder.rung(now + AGAIN / 2), Transport::LongPoll);
        // The usual time.
        assert_eq!(ladder.rung(now + AGAIN), Transport::Sse);
        ladder.failed(&ENDED, now + AGAIN);
        ladder.succeeded();
        assert!(ladder.advised(now + AGAIN));
        assert_eq!(ladder.rung(now + AGAIN), Transport::Sse);
        ladder.succeeded();
        assert_eq!(ladder.rung(now + 3 * AGAIN), Transport::Sse);
    }

    #[test]
    fn advice_moves_nobody_who_has_asked_for_a_transport() {
        let now = Instant::now();
        for wish in [Transport::Sse, Transport::LongPoll, Transport::Poll] {
            let mut ladder = Ladder::new(wish, AGAIN);
            assert!(!ladder.advised(now));
            assert_eq!(ladder.rung(now), wish);
        }
        assert!(!Ladder::new(Transport::Auto, AGAIN).advised(now), "it is a stream already");
    }
}
