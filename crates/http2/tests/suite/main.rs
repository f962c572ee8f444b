//! What clients see of a connection, byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails panics, also in a function of its own"
)]

mod conformance;
mod cuts;
mod ending;
mod floods;
mod flow_control;
mod h2_client;
mod requests;
mod responses;
mod support;
