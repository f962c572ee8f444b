//! Makes the event streams of any HTTP endpoint resumable and shared, through a [`Hub`](tidings_hub::Hub): those of model APIs
//! above all. What a relay promises is said in `docs/relay.md`.
//!
//! A request to `/relay/NAME/…` goes to the configured endpoint. Where it is answered with events, these are a stream into a
//! topic of their own, and the caller gets them as they come, in the same bytes, with an id in each. Whoever is cut off goes
//! on in the topic, on any transport; any number may read it.
//!
//! Its parts: [`RelayConfig`] says what an endpoint is, [`Relays`] answers. Inside, `upstream` asks the endpoint, `blocks` cuts
//! its answer without any I/O, `run` carries it into the log, `caller` to whoever asked, and `share` is for callers who ask
//! the same.

#![forbid(unsafe_code)]

mod blocks;
mod caller;
mod catch_up;
mod config;
pub mod defaults;
mod fields;
mod lanes;
mod passed;
mod relays;
mod run;
mod share;
mod upstream;

pub use config::{FieldSource, InvalidRelay, InvalidRelays, OnLeave, RelayConfig};
pub use relays::Relays;
