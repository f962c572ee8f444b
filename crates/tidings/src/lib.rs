//! Tidings inside your own program: open a log, publish from Rust, and mount the HTTP API in your axum router.
//!
//! ```no_run
//! use std::sync::Arc;
//! use tidings::{Api, Batch, DiskConfig, DiskLog, HttpConfig, Hub, HubConfig, NewEvent, Topic};
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let log = DiskLog::open("./tidings-data", DiskConfig::default())?;
//! let hub = Hub::new(Arc::new(log), HubConfig::default());
//!
//! let event = NewEvent::text(Topic::new("orders/42")?, "shipped");
//! hub.publish(Batch::of(event)).await?;
//!
//! // Everybody may read; only this program publishes.
//! let api = Api::builder(hub, HttpConfig::default()).read_only().build();
//! let app = axum::Router::new().nest("/push", api.router());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Browsers read `/push/topics/orders/42` with `EventSource`, everything else with `curl`, the
//! [Rust client](https://docs.rs/tidings-client) or the [TypeScript client](https://www.npmjs.com/package/tidings).
//! The guide `docs/embedding.md` goes through it step by step; `examples/embedded` is a whole program.
//!
//! # Where to look
//!
//! | To | see |
//! |---|---|
//! | keep events | [`DiskLog`], [`MemoryLog`], [`EngineLog`] with `Nats`, `Postgres` or `Redis` |
//! | publish and read in Rust | [`Hub::publish`], [`Hub::subscribe`], [`Subscription::next`] |
//! | serve HTTP | [`Api::router`] in your own router, or [`Server`] on a port of its own |
//! | say who may do what | [`ApiBuilder`], [`Authorize`] for your own sessions, [`Auth`] for JSON Web Tokens |
//! | know clients behind a proxy | [`ClientAddress`], [`TrustedProxies`] |
//! | set limits and time-outs | [`HttpConfig`], [`defaults`], [`limits`] |
//! | shut down | [`Api::drain_on`], then [`Hub::close`] |
//! | write a log or an engine of your own | [`log`], [`engine`] |
//!
//! # Features
//!
//! The library needs none of them; with `default-features = false` you get all of the above but for the engines and
//! keys that are fetched.
//!
//! | Feature | Default | What it adds |
//! |---|---|---|
//! | `nats`, `postgres`, `redis` | yes | `Nats`, `Postgres`, `Redis`: logs that any number of hubs share |
//! | `jwks` | yes | [`AuthConfig::jwks_url`]: keys of an identity provider, which are fetched |
//! | `mercure` | yes | [`mercure`]: the log by the protocol of Mercure, for its clients |
//! | `relay` | yes | [`relay`]: the events of other endpoints, made resumable and shared |
//! | `cli` | yes | the program `tidings` with `publish`, `subscribe` and `token` |
//! | `serve` | yes | `cli` with `tidings serve` |
//! | `bench` | yes | `cli` with `tidings bench` |
//! | `otlp` | no | `serve` with traces over OTLP |
//!
//! A hub does not run on Windows; there the library has the types of the protocol alone.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(windows))]
pub use tidings_engine::{Address, EngineConfig, EngineError, EngineLog, InvalidAddress, Secret};
#[cfg(not(windows))]
pub use tidings_http::{
    AllowedHosts, Api, ApiBuilder, Auth, AuthConfig, Authorize, Cleartext, ClientAddress, CloseRight, Cors,
    Denied, Grant, HttpConfig, InvalidHeader, InvalidHost, InvalidJwksUrl, InvalidKey, InvalidNetwork,
    InvalidOrigin, JwksTimes, Key, Rights, Server, Tls, TlsError, TrustedProxies, answer_while_opening,
    defaults, listen,
};
#[cfg(not(windows))]
pub use tidings_hub::{
    Conflate, Entry, Framing, Hub, HubConfig, HubStats, InvalidConflate, NotReady, Producer, ProducerError,
    ProducerOptions, Progress, Published, Pull, PullLimits, StreamEnd, StreamStats, Subscription,
    ThreadFailure,
};
#[cfg(not(windows))]
pub use tidings_log::{
    AppendError, Batch, Bounds, Close, DiskConfig, DiskLog, Durability, Idempotency, Log, LogStats,
    LogUnavailable, MemoryLog, OpenError, ReadError, Retention, Scope, TopicInfo, TopicQuery,
};
pub use tidings_protocol::{
    Closing, Cursor, EndReason, Epoch, Event, EventFilter, EventType, Format, Gap, GapReason, InvalidCursor,
    InvalidData, InvalidEndReason, InvalidEventType, InvalidSelector, InvalidStart, InvalidTimestamp,
    InvalidTopic, Lineage, NewEvent, Selection, Selector, Sequence, Start, Timestamp, Topic, limits,
};

#[cfg(feature = "nats")]
pub use tidings_nats::Nats;
#[cfg(feature = "postgres")]
pub use tidings_postgres::Postgres;
#[cfg(feature = "redis")]
pub use tidings_redis::Redis;

/// For logs of your own: what [`Log`] is made of.
#[cfg(not(windows))]
pub mod log {
    pub use tidings_log::{
        Appended, BoxFuture, Chunk, Follower, Histogram, HistogramSnapshot, Note, Position, ReadLimits,
    };
}

/// For engines of your own, over which [`EngineLog`] keeps a log that several hubs share.
#[cfg(not(windows))]
pub mod engine {
    pub use tidings_engine::{
        Attached, BATCH_BYTES, BatchResult, Block, DamagedEntry, Engine, Fed, Feed, Marks, PATIENCE, Seen,
        after_loss, decode, encode, read_lineage, write_lineage,
    };
}

/// For relays: the events of other endpoints, made resumable and shared. What [`Relays`](relay::Relays) does is said in
/// `docs/relay.md`.
#[cfg(not(windows))]
pub mod relay {
    pub use tidings_http::{
        API_KEY_FIELDS, ClientWatch, InvalidRelayTopics, NoRandomness, Refusal, RelayRun, RelayTopics,
        Relayed, take_api_key,
    };
    pub use tidings_protocol::{Problem, ProblemKind};
    #[cfg(feature = "relay")]
    pub use tidings_relay::{
        FieldSource, InvalidRelay, InvalidRelays, OnLeave, RelayConfig, Relays, defaults,
    };
}

/// For Mercure: the hub's log by its protocol, for its clients and tokens. What [`Mercure`](mercure::Mercure) does is said in `docs/mercure.md`.
#[cfg(not(windows))]
pub mod mercure {
    pub use tidings_http::{Caller, Guard, TokenVerifier, Verified, WholeBody};
    #[cfg(feature = "mercure")]
    pub use tidings_mercure::{InvalidMercure, Mercure, MercureConfig, MercureKeys, defaults};
    pub use tidings_protocol::Update;
}

/// For transports of your own: what a [`Hub`] tells those who deliver its events.
#[cfg(not(windows))]
pub mod delivery {
    pub use tidings_hub::{Audience, Census, End, Found, Look, Recent, Supervisor};
}

/// The Rust of the documentation, which `cargo test` compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../../docs/console.md")]
#[doc = include_str!("../../../docs/embedding.md")]
#[doc = include_str!("../../../docs/start/rust.md")]
pub struct Documentation;
