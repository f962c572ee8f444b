//! The HTTP API of a Tidings [`Hub`](tidings_hub::Hub): publishing, polls, streams, and what an operator asks.
//!
//! [`Api::router`] is an axum router that any Rust program can mount; [`Server`] serves it on a port of its own,
//! with everything that a port needs. What is answered to what is said in `docs/protocol.md`, whose sections the
//! documentation names.
//!
//! ```no_run
//! # use std::sync::Arc;
//! use tidings_http::{Api, HttpConfig};
//! use tidings_hub::{Hub, HubConfig};
//! use tidings_log::{MemoryLog, Retention};
//!
//! # async fn run() -> std::io::Result<()> {
//! let log = MemoryLog::new(Retention::default(), std::time::Duration::from_secs(86_400));
//! let hub = Hub::new(Arc::new(log), HubConfig::default());
//! // Everybody may read; only this program publishes. `ApiBuilder` has what else there is.
//! let api = Api::builder(hub, HttpConfig::default()).read_only().build();
//! let app = axum::Router::new().nest("/push", api.router());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await
//! # }
//! ```

mod api;
mod config;
mod delivery;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod limit;
mod metrics;
mod server;
mod system;

pub use api::auth::{
    Auth, AuthConfig, Authorize, CloseRight, Denied, Grant, InvalidJwksUrl, InvalidKey, JwksTimes, Key,
    Rights, TokenVerifier, Verified,
};
pub use api::client::{ClientAddress, InvalidNetwork, TrustedProxies};
pub use api::cors::{Cors, InvalidHeader, InvalidOrigin};
pub use api::facade::{Caller, WholeBody};
pub use api::hosts::{AllowedHosts, InvalidHost};
pub use api::problem::Refusal;
pub use api::relay::{
    API_KEY_FIELDS, ClientWatch, InvalidRelayTopics, NoRandomness, RelayRun, RelayTopics, Relayed,
    take_api_key,
};
pub use api::{Api, ApiBuilder};
pub use config::{HttpConfig, defaults};
pub use delivery::lease::Guard;
pub use server::Server;
pub use server::connection::Cleartext;
pub use server::listener::listen;
pub use server::opening::answer_while_opening;
pub use server::tls::{Tls, TlsError};
