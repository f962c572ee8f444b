//! WebSocket as RFC 6455 and RFC 7692 say it is: a file for each of what they are about.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod autobahn;
mod closing;
mod compression;
mod cuts;
mod frames;
mod messages;
mod opening;
mod support;
