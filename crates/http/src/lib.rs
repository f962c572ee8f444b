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
//! let app = axum::Router::new().nest("/push", Face::new(hub, HttpConfig::default()).router());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await
//! # }
//! ```

mod accept;
mod body;
mod config;
mod connection;
mod detect;
mod face;
mod frames;
mod head;
mod linger;
mod metrics;
mod opening;
mod parking;
mod poll;
mod problem;
mod publish;
mod query;
mod read;
mod server;
mod socket;
mod status;
mod stream;
mod topics;

pub use config::{HttpConfig, defaults};
pub use face::Face;
pub use opening::answer_while_opening;
pub use server::{Server, listen};
