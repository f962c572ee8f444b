//! The event log of Tidings: what a hub asks of it ([`Log`]), a log on disk ([`DiskLog`]), and a log in
//! memory ([`MemoryLog`]).
//!
//! A log gives every entry a [`Sequence`](tidings_protocol::Sequence) in one total order, so that one number is
//! a cursor over any set of topics.
#![forbid(unsafe_code)]

pub mod conformance;

mod append;
mod disk;
mod error;
mod follower;
mod histogram;
mod idempotency;
mod log;
mod memory;
mod note;
mod read;
mod retention;
mod search;
mod stats;
mod topics;

pub use append::{Appended, Batch, Close, Idempotency, Scope};
#[cfg(any(test, fuzzing))]
pub use disk::fuzzing;
pub use disk::{DiskConfig, DiskLog, Durability, OpenError};
pub use error::{AppendError, LogUnavailable, ReadError};
pub use follower::Follower;
pub use histogram::{Histogram, HistogramSnapshot};
pub use idempotency::Fingerprint;
pub use log::{BoxFuture, Log};
pub use memory::MemoryLog;
pub use note::Note;
pub use read::{Bounds, Chunk, Position, ReadLimits, TopicQuery};
pub use retention::Retention;
pub use search::Budget;
pub use stats::LogStats;
pub use topics::{TopicInfo, TopicPart, TopicTable, list_in_parts};
