//! Every time-out and bound of the log in Redis.

use std::time::Duration;

/// How long Redis may take to answer one command. Less than the patience of the log above, so that the reason is the
/// one that is known here.
pub(crate) const ANSWER: Duration = Duration::from_secs(8);
/// How long a connection may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// How long the reader that follows is held by Redis while nothing comes.
pub(crate) const BLOCK: Duration = Duration::from_secs(3);
/// How long replicas may take to have what was written, where it is waited for.
pub(crate) const REPLICAS: Duration = Duration::from_secs(5);
/// How long they may take to answer that they are there.
pub(crate) const REPLICAS_THERE: Duration = Duration::from_secs(1);

/// How many entries are taken from Redis at once.
pub(crate) const ENTRIES: u64 = 2_048;
/// How many bytes that may be at the most, so that where large entries are fewer are taken.
pub(crate) const REPLY_BYTES: u64 = 16 << 20;
/// Groups of batches that are under way at once.
pub(crate) const WRITES: usize = 4;
/// How many entries are discarded in one step, during which Redis does nothing else.
pub(crate) const DISCARD: usize = 2_000;
/// How many topics are taken from Redis at once.
pub(crate) const TOPICS: usize = 2_000;
