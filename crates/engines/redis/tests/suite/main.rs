//! The log in Redis, with real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it waits for"
)]

mod conformance;
mod failover;
mod idle;
mod keys;
mod login;
mod lost;
mod retention;
mod support;
