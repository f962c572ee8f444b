//! Every bound of the disk log, in one place.

use std::time::Duration;

/// The version of the files that this program writes.
pub(crate) const FORMAT: u32 = 1;
/// The version of segments in which topics are deleted or events expire. Programs that know nothing of that refuse them.
pub(crate) const FORMAT_STATE: u32 = 2;

/// The largest segment, and the usual one.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// The first segment of a log, so that an empty one takes little. Each that is filled is followed by one twice as large,
/// up to the usual size.
pub(crate) const SEGMENT_BYTES_FIRST: u64 = 1 << 20;
/// The smallest segment.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// So many segments share the bytes that retention keeps: what retention discards in one piece.
pub(crate) const SEGMENTS_IN_RETENTION: u64 = 8;
/// So many segments share the age that retention keeps, where traffic is too low to fill them.
pub(crate) const SEGMENTS_IN_AGE: u32 = 8;

/// The largest batch, by [`Batch::bytes`](crate::Batch::bytes).
pub(crate) const BATCH_BYTES: usize = 16 << 20;
/// What waits to be written, by the same measure. Whoever comes when it is full waits for room.
pub(crate) const QUEUE_BYTES: usize = 32 << 20;
/// A group that is written at once ends when it has this many bytes, so that followers and readers see long
/// queues arrive in pieces.
pub(crate) const GROUP_BYTES: usize = 4 << 20;
/// The largest batch that a publisher who is alone writes for itself.
pub(crate) const DIRECT_BYTES: usize = 64 << 10;
/// So many rounds with one batch each, one after the other, say that a publisher is alone.
pub(crate) const LONE_ROUNDS: u32 = 4;
/// After so many batches that it wrote for itself, a publisher that is alone shows once more that it is.
pub(crate) const DIRECT_RUN: u32 = 64;
/// A sync that takes longer is worth the way to the writer's thread, whoever publishes.
pub(crate) const DIRECT_SYNC: Duration = Duration::from_micros(250);
/// A buffer that grew larger than this for one large group is given back after it.
pub(crate) const BUFFER_KEPT_BYTES: usize = 1 << 20;

/// Reads that are in the files at the same time; more wait. Each holds one buffer.
pub(crate) const READERS: usize = 16;
/// What a scan reads at once.
pub(crate) const SCAN_CHUNK_BYTES: usize = 256 << 10;
/// What a read by postings reads at once where the next one is near.
pub(crate) const NEAR_CHUNK_BYTES: usize = 64 << 10;
/// Records that a search reads together lie no farther apart, in units of [`ALIGN`](super::record::ALIGN).
#[expect(clippy::cast_possible_truncation, reason = "it is far below that")]
pub(crate) const NEAR_PLACES: u32 = (NEAR_CHUNK_BYTES as u64 / super::record::ALIGN) as u32;
/// What a read by postings reads at once where the next one is far.
pub(crate) const FAR_CHUNK_BYTES: usize = 4 << 10;
/// Steps of searches that are in the files at the same time; more wait. A search is many steps, and never takes one of the
/// [`READERS`].
pub(crate) const SEARCHERS: usize = 2;
/// The work of one read, or of one step of a search: bytes of records that are looked at, and a few for each comparison with
/// a pattern. So a rare selection holds a reader for some milliseconds, however much there is.
pub(crate) const READ_WORK: u64 = 2 << 20;
/// What one comparison of a segment with a pattern counts.
pub(crate) const STEP_WORK: u64 = 16;
/// Comparisons that are made to find out which topics patterns match, before every record is looked at instead.
pub(crate) const PATTERN_STEPS: u64 = 100_000;
/// How many postings one read takes from an index at a time,
pub(crate) const READ_POSTINGS: usize = 4_096;
/// and of each topic at least, where there are several.
pub(crate) const POSTINGS_SHARE: usize = 16;
/// A pattern is read by postings where it matches no more topics than this.
pub(crate) const PATTERN_TOPICS: usize = 256;
/// How many deletions of topics are looked through for those that a pattern matches.
pub(crate) const PATTERN_DELETIONS: usize = 1_000;
/// How many topics one read remembers, not to check the same name again and again.
pub(crate) const READ_TOPICS: usize = 4_096;
/// Files of sealed segments that are kept open.
pub(crate) const OPEN_FILES: usize = 64;

/// One entry of the table from sequence numbers and times to places, for so many bytes of a segment.
pub(crate) const MARK_BYTES: u64 = 32 << 10;
/// A search goes back by so many of them at a time.
pub(crate) const SEARCH_MARKS: usize = 8;
/// Postings of one topic that share a checksum.
pub(crate) const POSTINGS_BLOCK: usize = 1_023;
/// Memory for the filters over the idempotency keys of sealed segments. Where there are more keys, the oldest
/// are looked for on disk without a filter: slower, and as right.
pub(crate) const KEY_FILTER_BYTES: usize = 64 << 20;

/// Idempotency keys whose segments are discarded may take this share of the bytes that retention keeps; beyond it the
/// oldest are forgotten before their window has passed.
pub(crate) const KEYS_SHARE: u64 = 4;

/// What is written between two syncs while a segment is filled with zeros, so that no commit waits for all.
pub(crate) const ZERO_FILL_BYTES: usize = 4 << 20;

/// Time between two looks at what retention says, at the most and at the least.
pub(crate) const HOUSEKEEPING_MAX: Duration = Duration::from_secs(10);
pub(crate) const HOUSEKEEPING_MIN: Duration = Duration::from_millis(100);
/// Time between two looks whether the log's folder is still where it was.
pub(crate) const PLACE_CHECK: Duration = Duration::from_secs(1);
/// A clock that is so far behind the newest entry is reported: age retention waits for it.
pub(crate) const CLOCK_BEHIND: Duration = Duration::from_secs(60);
/// The same is reported again after so long.
pub(crate) const REPORT_AGAIN: Duration = Duration::from_secs(3_600);

/// How long an idempotency key is known, if nobody says otherwise.
pub(crate) const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(24 * 3_600);
