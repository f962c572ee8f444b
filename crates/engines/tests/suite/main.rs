//! What every log over an engine does, with an engine in memory that can be made to go away, to be slow, and to lose
//! what it has acknowledged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod away;
mod conformance;
mod fruitless;
mod replay;
mod shelf;
