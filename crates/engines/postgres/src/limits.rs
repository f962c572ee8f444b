//! Every time-out and bound of the log in Postgres.

use std::time::Duration;

use tidings_log::ReadLimits;

/// How long a connection to one host may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// How long Postgres may take over one statement. Less than the patience of the log above, so that the reason is the
/// one that is known here.
pub(crate) const ANSWER: Duration = Duration::from_secs(8);
/// After how long Postgres ends a transaction whose hub has stopped in the middle, and with it the lock that all other
/// hubs wait for.
pub(crate) const STOPPED: Duration = Duration::from_secs(3);
/// After how long without an acknowledgement a connection counts as lost.
pub(crate) const SILENT_NETWORK: Duration = Duration::from_secs(8);

/// How often is looked for new entries, and for what applications have published, where no notification came.
pub(crate) const POLL: Duration = Duration::from_millis(500);
/// How long the feed waits for entries before it says that there are none.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);
/// What the feed gives at once.
pub(crate) const FED: ReadLimits = ReadLimits { entries: 4_096, bytes: 1 << 20 };

/// What is moved at once of what applications have published.
pub(crate) const MOVED: ReadLimits = ReadLimits { entries: 10_000, bytes: 8 << 20 };
/// How often is looked at everything that applications have published, and not only at what is new.
pub(crate) const WHOLE_LOOK: Duration = Duration::from_secs(60);

/// How many sequence numbers belong to each partition. A partition is left long before it has used them.
pub(crate) const PARTITION: u64 = 1_000_000_000;
/// Into how many partitions retention is divided.
pub(crate) const PARTS: u32 = 16;
/// How long dropping a partition may wait for those who read the table, while everybody else waits behind it.
pub(crate) const DROP_WAIT: Duration = Duration::from_millis(200);
/// How many idempotency keys are forgotten at once.
pub(crate) const FORGOTTEN: i64 = 10_000;
/// How long that may go on, each time that the hub does what retention says.
pub(crate) const FORGETTING: Duration = Duration::from_secs(3);
/// How many entries the table of topics takes into account at once.
pub(crate) const NOTED: i64 = 100_000;
/// How many topics are read at once when a hub starts.
pub(crate) const TOPICS: i64 = 10_000;
