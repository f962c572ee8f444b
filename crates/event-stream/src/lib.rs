//! The text/event-stream format: encoder and incremental parser, no I/O.
