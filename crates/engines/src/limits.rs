//! Every time-out and bound of the logs over engines.

use std::time::Duration;

use tidings_log::ReadLimits;

/// How long an engine may take over anything before it is taken to be away.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The largest batch, in bytes of memory. Engines may take less.
pub const BATCH_BYTES: usize = 32 << 20;

/// How long a reader waits whose cursor is ahead of what this hub has followed, as another hub may be ahead, before it is
/// told of a gap. Less than clients wait for an answer, which is five seconds.
pub(crate) const AHEAD: Duration = Duration::from_secs(3);

/// How many of the entries that were followed lately are known again, to find out after a loss what the engine still has:
/// 16 bytes each.
pub(crate) const MARKS: usize = 4_096;

/// The first pause before an engine that is away is tried again, and the longest.
pub(crate) const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long an engine that takes no writes is left alone before it is asked again.
pub(crate) const RECHECK: Duration = Duration::from_secs(1);
/// How often what an engine holds is asked for: sixteen times within the age that is kept, but no more and no less
/// often than this.
pub(crate) const HOUSEKEEPING: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// How often topics are forgotten whose events are discarded, which takes a look at each.
pub(crate) const SWEEP: Duration = Duration::from_secs(60);
/// How often it is looked whether a connection was closed while it was idle.
pub(crate) const SEVERED_CHECK: Duration = Duration::from_millis(250);
/// How long a write waits for a connection that is made anew, of which nothing was sent yet. Less than clients wait for
/// an answer.
pub(crate) const RECONNECT: Duration = Duration::from_secs(3);
/// How long an engine that had no room counts as full, where it cannot be asked and nobody tries again.
pub(crate) const FULL: Duration = Duration::from_secs(10);
/// How long closing waits for the appends that were accepted.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);

/// Batches that wait to be written or answered, in bytes of memory; more publishers wait outside.
pub(crate) const QUEUE_BYTES: usize = 64 << 20;
/// What of a stream of events is appended at once: less than the messages of any engine hold.
pub(crate) const STREAM: ReadLimits = ReadLimits { entries: 4_096, bytes: 256 << 10 };
/// What is written as one group.
pub(crate) const GROUP_BYTES: usize = 1 << 20;
/// See [`GROUP_BYTES`].
pub(crate) const GROUP_BATCHES: usize = 1_024;

/// What is read from an engine at once.
pub(crate) const BLOCK: ReadLimits = ReadLimits { entries: 8_192, bytes: 1 << 20 };
/// How many blocks are read at once.
pub(crate) const READERS: usize = 4;
/// Memory for blocks that are kept for other readers, in bytes.
pub(crate) const REPLAY_BYTES: usize = 32 << 20;
/// What an entry takes in memory beside its data and topic.
pub(crate) const ENTRY_BYTES: usize = 160;
/// How many of those are for searches, so that whoever knows where to read finds one free.
pub(crate) const SEARCHERS: usize = 2;
/// A step back when the last events of a selection are looked for, in entries: the shortest and the longest,
pub(crate) const STEP: (usize, usize) = (64, 65_536);
/// the longest first one,
pub(crate) const FIRST_STEP: usize = 1_024;
/// how many times as long each is as the one before,
pub(crate) const STEP_GROWTH: usize = 4;
/// and how many bytes one may have, as far as those before tell.
pub(crate) const STEP_BYTES: usize = 16 << 20;
/// Comparisons with patterns that are made before other tasks have a turn.
pub(crate) const STEPS_AT_ONCE: u64 = 100_000;
