//! The text/event-stream format: encoder and incremental parser, no I/O.

#![forbid(unsafe_code)]

mod encoder;

pub use encoder::Encoder;
