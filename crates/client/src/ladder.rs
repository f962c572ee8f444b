use std::time::Duration;

use tokio::time::Instant;

use crate::defaults::{LONG_POLL_FAILURES, STREAM_FAILURES};
use crate::{Interruption, Transport};

/// Which transport to use now, of those that may be used: from the first one down while they fail, and up again after a
/// while.
///
/// A fall is only believed where a lower rung works: a poll begins with one that is answered at once, and if
/// that fails as well, the transport above was not to blame.
#[derive(Debug)]
pub(crate) struct Ladder {
    transports: Vec<Transport>,
    rung: usize,
    /// How many failures in a row the transport may be to blame for.
    failures: u32,
    /// Whether this rung has worked since it was stepped on.
    proven: bool,
    /// When to try the first transport again.
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

/// Those that may be used, in their order, each once. `Auto` stands for a stream and polls.
pub(crate) fn transports(wishes: impl IntoIterator<Item = Transport>) -> Vec<Transport> {
    const AUTO: [Transport; 3] = [Transport::Sse, Transport::LongPoll, Transport::Poll];
    let mut all = Vec::new();
    let wishes = wishes.into_iter().flat_map(|wish| match wish {
        Transport::Auto => AUTO.to_vec(),
        wish => vec![wish],
    });
    for transport in wishes {
        if !all.contains(&transport) {
            all.push(transport);
        }
    }
    if all.is_empty() { AUTO.to_vec() } else { all }
}

// === impl Ladder ===

impl Ladder {
    /// `transports` are those of [`transports`].
    pub(crate) fn new(transports: Vec<Transport>, climb_after: Duration) -> Self {
        let advice = Advice::None;
        Self { transports, rung: 0, failures: 0, proven: false, climb_at: None, climb_after, advice }
    }

    /// The transport for the next attempt.
    pub(crate) fn rung(&mut self, now: Instant) -> Transport {
        if self.climb_at.is_some_and(|at| at <= now) {
            let advice = if self.advice == Advice::Taken { Advice::Tried } else { Advice::None };
            self.step(0);
            self.advice = advice;
            // It has one chance.
            self.failures = STREAM_FAILURES - 1;
        }
        self.here()
    }

    fn here(&self) -> Transport {
        self.transports.get(self.rung).copied().unwrap_or(Transport::Sse)
    }

    fn is_stream(&self) -> bool {
        matches!(self.here(), Transport::Sse | Transport::WebSocket)
    }

    /// Whether the transport has worked, so that a poll may be held.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether something else is tried where a stream does not begin.
    pub(crate) fn may_fall(&self) -> bool {
        self.transports.len() > 1
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.proven = true;
        if self.is_stream() {
            self.advice = Advice::None;
        }
    }

    /// The hub advises to take a stream. `true` where the next attempt is one.
    pub(crate) fn advised(&mut self, now: Instant) -> bool {
        let begins_with_stream =
            matches!(self.transports.first(), Some(Transport::Sse | Transport::WebSocket));
        let is_below = begins_with_stream && !self.is_stream();
        if !is_below || self.advice != Advice::None {
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
        let is_lower = self.rung > 0;
        match self.here() {
            // Where a lower stream fails like this as well, the one above was not to blame.
            Transport::Sse | Transport::WebSocket if is_lower && !self.proven && blame == Blame::None => {
                self.step(0);
                false
            }
            Transport::Sse | Transport::WebSocket
                if blame == Blame::Surely || self.failures >= STREAM_FAILURES =>
            {
                self.fall(now) && blame == Blame::Surely
            }
            Transport::LongPoll | Transport::Poll if is_lower && !self.proven => {
                self.step(0);
                false
            }
            Transport::LongPoll | Transport::Poll if self.failures >= LONG_POLL_FAILURES => {
                self.fall(now);
                false
            }
            _ => false,
        }
    }

    /// To the next one, or, which is `false`, from the last one back to the first.
    fn fall(&mut self, now: Instant) -> bool {
        let next = self.rung + 1;
        if next == self.transports.len() {
            self.step(0);
            return false;
        }
        // Whoever falls further down does not stay there longer for it.
        let climb_at = self.climb_at.filter(|_| self.rung > 0).unwrap_or(now + self.climb_after);
        self.step(next);
        self.climb_at = Some(climb_at);
        true
    }

    fn step(&mut self, rung: usize) {
        let from = self.here();
        self.rung = rung;
        tracing::debug!(%from, to = %self.here(), "changing the transport");
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
            Interruption::Stalled { .. } | Interruption::NoSocket { .. } => Self::Surely,
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
        (Ladder::new(transports([Transport::Auto]), AGAIN), Instant::now())
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
        for wish in [Transport::Sse, Transport::WebSocket, Transport::LongPoll, Transport::Poll] {
            let now = Instant::now();
            let mut ladder = Ladder::new(transports([wish]), AGAIN);
            for _ in 0..10 {
                assert!(!ladder.failed(&STALLED, now));
                assert_eq!(ladder.rung(now + AGAIN), wish);
            }
        }
    }

    #[test]
    fn advice_is_followed_once_until_the_usual_time() {
        let now = Instant::now();
        let mut ladder = Ladder::new(transports([Transport::Auto]), AGAIN);
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
            let mut ladder = Ladder::new(transports([wish]), AGAIN);
            assert!(!ladder.advised(now));
            assert_eq!(ladder.rung(now), wish);
        }
        assert!(!Ladder::new(transports([Transport::Auto]), AGAIN).advised(now), "it is a stream already");
    }
    #[test]
    fn each_transport_is_used_once_and_auto_is_three_of_them() {
        use Transport::{Auto, LongPoll, Poll, Sse, WebSocket};
        assert_eq!(transports([]), [Sse, LongPoll, Poll]);
        assert_eq!(transports([WebSocket, Auto]), [WebSocket, Sse, LongPoll, Poll]);
        assert_eq!(transports([Poll, Auto, Poll]), [Poll, Sse, LongPoll]);
        assert_eq!(transports([WebSocket]), [WebSocket]);
    }

    #[test]
    fn where_no_socket_opens_a_stream_follows_at_once_and_a_socket_later() {
        let (mut ladder, now) =
            (Ladder::new(transports([Transport::WebSocket, Transport::Auto]), AGAIN), Instant::now());
        assert_eq!(ladder.rung(now), Transport::WebSocket);
        assert!(ladder.failed(&Interruption::NoSocket { what: String::new() }, now));
        assert_eq!(ladder.rung(now), Transport::Sse);
        // Nothing is reached: the socket was not to blame.
        assert!(!ladder.failed(&unreachable(), now));
        assert_eq!(ladder.rung(now), Transport::WebSocket);
        ladder.failed(&STALLED, now);
        ladder.succeeded();
        ladder.failed(&STALLED, now + AGAIN / 2);
        assert_eq!(ladder.rung(now + AGAIN / 2), Transport::LongPoll);
        ladder.succeeded();
        assert_eq!(ladder.rung(now + AGAIN), Transport::WebSocket);
    }
}
