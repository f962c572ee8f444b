use std::path::PathBuf;

use tidings_protocol::{Sequence, Topic};

/// Why a batch was not appended. Where this is the answer, nothing of the batch is in the log, but for
/// [`Unavailable`](AppendError::Unavailable), which leaves open whether it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The topic has ended.
    #[error("the topic `{topic}` has ended and takes no more events")]
    TopicClosed {
        /// Which topic.
        topic: Topic,
    },
    /// The idempotency key is known, with another batch.
    #[error("the idempotency key `{key}` was used for other data; use a new key for a new event")]
    KeyConflict {
        /// Which key.
        key: String,
    },
    /// The idempotency key is none (§2).
    #[error("an idempotency key is 1 to {limit} visible ASCII characters", limit = tidings_protocol::limits::IDEMPOTENCY_KEY_BYTES)]
    InvalidKey,
    /// There is no room on the disk.
    #[error("the log is full: {reason}")]
    Full {
        /// What the system said.
        reason: String,
    },
    /// The batch is larger than the log takes in one piece.
    #[error("the batch has {bytes} bytes, and the log takes at most {limit} in one piece")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The batch has more events than the log takes in one piece.
    #[error("the batch has {events} events, and the log takes at most {limit} in one piece")]
    TooMany {
        /// How many there are.
        events: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The log takes no writes.
    #[error(transparent)]
    Unavailable(#[from] LogUnavailable),
}

/// The log takes no writes now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log takes no writes: {reason}")]
pub struct LogUnavailable {
    /// Why, and what would help.
    pub reason: String,
}

/// Why nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Retention has discarded entries after the place that was asked for.
    #[error("events after {after} have been discarded, the earliest that is kept is {earliest}")]
    Expired {
        /// Where the reader wanted to go on.
        after: Sequence,
        /// The first entry that is kept.
        earliest: Sequence,
    },
    /// A file of the log is not what was written to it.
    #[error("the log is damaged: {file} at byte {offset}: {reason}")]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Where in it, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The engine that keeps the log is away. The same read will do when it is back.
    #[error("the log cannot be read until its engine is back: {reason}")]
    Away {
        /// Why.
        reason: String,
    },
    /// The log cannot be read now.
    #[error("the log cannot be read: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}
