//! The HTTP face of a Tidings [`Hub`](tidings_hub::Hub): publishing, polls, streams, and what an operator asks.
//!
//! [`Face::router`] is an axum router that any Rust program can mount; [`Server`] serves it on a port of its own,
//! with everything that a port needs. What is answered to what is said in `docs/protocol.md`, whose sections the
//! documentation names.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use tidings_http::{Face, HttpConfig};
//! use tidings_hub::{Hub, HubConfig};
//! use tidings_log::{MemoryLog, Retention};
//!
//! # async fn run() -> std::io::Result<()> {
//! let log = MemoryLog::new(Retention::default(), std::time::Duration::from_secs(86_400));
//! let hub = Hub::new(Arc::new(log), HubConfig::default());
//! // Everybody may read; only this program publishes. `FaceBuilder` has what else there is.
//! let face = Face::builder(hub, HttpConfig::default()).read_only().build();
//! let app = axum::Router::new().nest("/push", face.router());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await
//! # }
//! ```

mod accept;
mod access;
mod auth;
mod authority;
mod body;
mod caching;
mod client;
mod coding;
mod config;
mod connection;
mod cors;
mod detect;
mod face;
mod forwarded;
mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod guard;
mod head;
mod heard;
mod hosts;
mod http1;
mod kept;
mod lately;
mod lease;
mod limit;
mod linger;
mod listener;
mod memory;
mod metrics;
mod mounted;
mod opening;
mod origin;
mod paced;
mod parking;
mod permits;
mod pieces;
mod poll;
mod poller;
mod problem;
mod publish;
mod query;
mod rate;
mod read;
mod remainder;
mod sending;
mod server;
mod service;
mod socket;
mod status;
mod stream;
mod strict;
mod tls;
mod topics;
mod trace;
mod turns;
mod vanishing;

pub use auth::{
    Auth, AuthConfig, Authorize, CloseRight, Denied, Grant, InvalidJwksUrl, InvalidKey, JwksTimes, Key,
    Rights,
};
pub use client::{ClientAddress, InvalidNetwork, TrustedProxies};
pub use config::{HttpConfig, defaults};
pub use connection::Cleartext;
pub use cors::{Cors, InvalidHeader, InvalidOrigin};
pub use face::{Face, FaceBuilder};
pub use hosts::{AllowedHosts, InvalidHost};
pub use listener::listen;
pub use opening::answer_while_opening;
pub use server::Server;
pub use tls::{Tls, TlsError};
