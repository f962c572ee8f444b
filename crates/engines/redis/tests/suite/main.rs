//! The log in Redis, with real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conformance;
mod failover;
mod keys;
mod login;
mod lost;
mod retention;
mod support;
