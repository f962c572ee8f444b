use std::time::Duration;

use crate::limits::BACKOFF;

/// The pauses between attempts: each about twice as long as the one before, and spread, so that hubs that lost the
/// same engine do not all come back together.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

// === impl Backoff ===

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(BACKOFF.0)
    }

    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.0.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.0 = (self.0 * 2).min(BACKOFF.1);
        pause
    }
}
