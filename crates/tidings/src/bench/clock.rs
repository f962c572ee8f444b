//! The clock of a run, the same for those who send and those who receive.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

// === impl Clock ===

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(self) -> u64 {
        nanos(self.start.elapsed())
    }
}

/// A duration in nanoseconds; centuries do not occur.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
