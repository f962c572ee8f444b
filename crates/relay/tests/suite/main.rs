//! Relays over real sockets: a hub, a caller, and an endpoint whose every byte the test writes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

mod fields;
mod leaving;
mod odd_answers;
mod rights;
mod share;
mod streams;
mod support;
