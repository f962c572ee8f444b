//! Mercure over a hub, by raw HTTP over real sockets.
//!
//! What the protocol demands (MUST) and the test for it is a table in `docs/mercure.md`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

mod access;
mod publishing;
mod resuming;
mod subscribing;
mod subscriptions;
mod support;
