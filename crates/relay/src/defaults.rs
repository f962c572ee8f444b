//! The defaults and bounds of relays, in one place.

use std::time::Duration;

/// How long connecting to an endpoint may take, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an endpoint may take from the request to the first byte of its answer. Models think before they speak.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long an answer may pause.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long nobody has to read a run before it is cancelled, where it is not to go on alone: as long as a long poll or a page
/// that is loaded anew may be away.
pub const LEAVE_GRACE: Duration = Duration::from_secs(1);
/// How often a run that its caller has left looks whether anybody reads it.
pub const LEAVE_INTERVAL: Duration = Duration::from_millis(250);
/// How long a shared run is kept when nobody reads it any more (`share-linger`).
pub const SHARE_LINGER: Duration = Duration::from_secs(30);
/// How often a shared run looks whether anybody reads it.
pub const SHARE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a shared run waits before it connects again, where its endpoint names no time of its own.
pub const SHARE_RETRY: Duration = Duration::from_secs(2);
/// The longest that it waits, however often connecting has failed and whatever the endpoint says.
pub const SHARE_RETRY_MOST: Duration = Duration::from_secs(60);
/// What a caller has not taken of its answer and is kept for it. Beyond that it is read from the log when the caller goes on.
pub const CALLER_BYTES: usize = 256 << 10;
/// What a caller has not taken of its answer where events of other hubs are among it, which no log has: enough for one event of the
/// usual limit, and what is kept in any case.
pub const FOREIGN_BYTES: usize = 2 << 20;
/// What a line may have beside the data of an event: the name of its field, and the fields that no event keeps.
pub const LINE_SLACK: usize = 4 << 10;
/// How often a file with a secret is looked at again.
pub const SECRET_INTERVAL: Duration = Duration::from_secs(5);
/// The largest file with a secret.
pub const SECRET_BYTES: u64 = 64 << 10;
/// Connections to an endpoint that are kept for the next request when they are idle.
pub const IDLE_CONNECTIONS: usize = 32;
/// How long they are kept.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests in one lane of connections: no server of HTTP/2 should take less than a hundred at once on a connection (RFC 9113
/// §6.5.2), and large ones take just that.
pub const LANE_REQUESTS: usize = 100;
/// How often a connection of HTTP/2 to an endpoint is asked whether it is alive, and how long it may take to answer.
pub const PING: Duration = Duration::from_secs(20);
/// How long the ends of runs may take to be written when the hub shuts down.
pub const SHUTDOWN: Duration = Duration::from_secs(2);
/// The longest name of a relay.
pub const NAME_BYTES: usize = 64;
/// The most answers of a relay at once that are under way, whether anybody reads them or not.
pub const MAX_RUNS: usize = 10_000;
/// The shortest time-out.
pub const MIN_TIMEOUT: Duration = Duration::from_millis(10);
/// The longest time-out.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);
/// How many hubs a request may pass through.
pub const HOPS: usize = 8;
