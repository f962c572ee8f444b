//! The HTTP face as its users see it: a server in this process, and real sockets. The section signs (§) are those of
//! the protocol's documentation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

mod allowances;
mod auth;
mod away;
mod batches;
mod caching;
mod closing;
mod codings;
mod connections;
mod cors;
mod crowds;
mod cursors;
mod disk;
mod door;
mod embedding;
mod errors;
mod event_stream;
mod floods;
mod gaps;
mod half_close;
mod http2;
mod idempotency;
mod json_lines;
mod limits;
mod lineage;
mod listing;
mod long_polling;
mod metrics;
mod names;
mod negotiation;
mod operations;
mod polling;
mod publishing;
mod put_off;
mod renewal;
mod repeated_polls;
mod shutdown;
mod slow_readers;
mod smuggling;
mod starting;
mod supervision;
mod support;
mod targets;
mod tls;
mod vanishing;
