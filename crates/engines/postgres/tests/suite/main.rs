//! The log in Postgres, with real servers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod away;
mod conformance;
mod epochs;
mod login;
mod outbox;
mod publish_function;
mod retention;
mod support;
mod targets;
