//! The log in NATS, with real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "what a test waits for is said where it fails")]

mod accounts;
mod behind;
mod conformance;
mod ends;
mod epochs;
mod holes;
mod limits;
mod login;
mod lossy;
mod lost;
mod missing;
mod raw;
mod retention;
mod streams;
mod support;
mod topics;
mod unjudged;
