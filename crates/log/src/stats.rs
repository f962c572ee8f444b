use std::sync::Arc;
use std::time::Duration;

use crate::Histogram;

/// What a log can say of itself to whoever runs it. What it does not know, it leaves out.
#[derive(Debug, Clone, Default)]
pub struct LogStats {
    /// Entries that are kept.
    pub entries: Option<u64>,
    /// Bytes that they take, as retention counts them.
    pub bytes: Option<u64>,
    /// Files that they are in.
    pub segments: Option<u64>,
    /// How far the clock is behind the newest entry: more than zero where it was once ahead.
    pub clock_behind: Option<Duration>,
    /// How long the log waited for the disk, once for each group of batches.
    pub syncs: Option<Arc<Histogram>>,
}
