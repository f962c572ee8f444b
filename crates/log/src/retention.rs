use std::time::Duration;

/// How much of the past a log keeps. What is over either bound is discarded, oldest first and in large pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Entries older than this are discarded.
    pub age: Duration,
    /// Entries are discarded while the log has more bytes than this.
    pub bytes: u64,
}

// === impl Retention ===

impl Retention {
    /// Seven days (`retain-age`).
    pub const DEFAULT_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);
    /// One gibibyte (`retain-bytes`).
    pub const DEFAULT_BYTES: u64 = 1 << 30;
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Self::DEFAULT_AGE, bytes: Self::DEFAULT_BYTES }
    }
}
