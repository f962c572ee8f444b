//! The log in NATS, with real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conformance;
mod ends;
mod limits;
mod login;
mod lost;
mod retention;
mod streams;
mod support;
mod topics;
