//! What the logs over NATS, Redis and Postgres have in common.
//!
//! An [`Engine`] says what is its own: how it is connected to, how a group of batches is written and how entries
//! are read. [`EngineLog`] makes a [`Log`](tidings_log::Log) of it: one task follows the engine and feeds the hub,
//! one writes what publishers bring in groups, and readers who are far behind share what they read.
//!
//! The state is in the engine and not here: hubs over the same engine know nothing of each other, and each may be
//! killed at any moment.
#![forbid(unsafe_code)]

mod address;
mod awaiting;
mod backoff;
mod encoding;
mod engine;
mod engine_state;
mod following;
mod limits;
mod lineage;
mod locate;
mod log;
mod replay;
mod seen;
mod trouble;
mod writing;

pub use address::{Address, InvalidAddress, Secret};
pub use encoding::{DamagedEntry, decode, encode};
pub use engine::{Attached, BatchResult, Block, Engine, EngineConfig, EngineError, Fed, Feed, cut_off};
pub use limits::{BATCH_BYTES, PATIENCE};
pub use lineage::{after_loss, read_lineage, write_lineage};
pub use log::EngineLog;
pub use seen::{Marks, Seen};
