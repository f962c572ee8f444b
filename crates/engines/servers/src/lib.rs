//! Real servers for tests: NATS, Redis and Postgres as Debian packages them, each a process of its own, on a port of
//! its own, in a folder of its own. Dropping one kills it, also where a test fails.
//!
//! Where a server is not installed, starting it gives `None` and says so on standard error; where `CI` is set, the test
//! fails instead, so that nothing is skipped there unseen.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on fails"
)]

mod certificates;
mod nats;
mod notice;
mod port;
mod postgres;
mod process;
mod redis;
mod slow;

pub use certificates::Certificates;
pub use nats::{NatsCluster, NatsServer};
pub use notice::{Listener, Notice};
pub use port::{quiet_port, quiet_ports};
pub use postgres::PostgresServer;
pub use redis::RedisServer;
pub use slow::SlowProxy;
