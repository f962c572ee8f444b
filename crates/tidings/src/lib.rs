//! What it takes to run a Tidings hub inside another program: open a log, publish from Rust, mount the router.
//!
//! ```no_run
//! use tidings::{Batch, DiskConfig, DiskLog, Face, Hub, HubConfig, HttpConfig, NewEvent, Topic};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let log = DiskLog::open("./tidings-data", DiskConfig::default())?;
//! let hub = Hub::new(std::sync::Arc::new(log), HubConfig::default());
//!
//! let event = NewEvent::text(Topic::new("orders/42")?, "shipped");
//! hub.publish(Batch::of(event)).await?;
//!
//! // Everybody may read; only this program publishes. `FaceBuilder` has what else there is.
//! let face = Face::builder(hub, HttpConfig::default()).read_only().build();
//! let app = axum::Router::new().nest("/push", face.router());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//! # Ok(())
//! # }
//! ```

pub use tidings_engine::{Address, EngineConfig, EngineError, EngineLog};
pub use tidings_http::{
    AllowedHosts, Auth, AuthConfig, Authorize, ClientAddress, CloseRight, Cors, Face, FaceBuilder, Grant,
    HttpConfig, Key, Rights, Server, TrustedProxies, defaults,
};
pub use tidings_hub::{Hub, HubConfig, Published, PullLimits, Subscription};
pub use tidings_log::{
    AppendError, Batch, DiskConfig, DiskLog, Durability, Idempotency, Log, MemoryLog, ReadError, Retention,
    Scope,
};
pub use tidings_protocol::{Cursor, EventType, Format, NewEvent, Selection, Selector, Start, Topic};

/// The engine of a log that any number of hubs share.
#[cfg(feature = "nats")]
pub use tidings_nats::Nats;
/// The engine of a log that any number of hubs share.
#[cfg(feature = "redis")]
pub use tidings_redis::Redis;

/// The Rust of the documentation, which `cargo test` compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../../docs/console.md")]
pub struct Documentation;
