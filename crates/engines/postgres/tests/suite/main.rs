//! The log in Postgres, with real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and one that measures tells"
)]

mod away;
mod conformance;
mod epochs;
mod login;
mod outbox;
mod publish_function;
mod retention;
mod streams;
mod support;
mod targets;
