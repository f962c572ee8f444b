//! What the client does against a real hub, and against servers and proxies that misbehave.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

mod advice;
mod backpressure;
mod buffering_proxy;
mod captive_portal;
mod closed_topic;
mod dead_stream;
mod deleted_topic;
mod every_kind_of_data;
mod gap;
mod hub_restart;
mod interrupted_event;
mod lost_receipt;
mod oversized;
mod own_settings;
mod publish_stream;
mod refusal;
mod resume_by_another_transport;
mod retry_after;
mod token_renewal;
mod websocket;
