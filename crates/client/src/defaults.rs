//! Every number that decides how the client waits, retries and bounds what it holds, in one place.

use std::time::Duration;

/// Where a hub is looked for by programs that are told nothing else.
pub const URL: &str = "http://127.0.0.1:8080";

/// How long a connection may take to be made, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the answer to a publish may take.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// How many bytes a second an upload may be as slow as: a large publish is given more time by this measure.
pub const SLOWEST_UPLOAD: u64 = 32 << 10;
/// How long a poll's answer may take beyond what the poll asked the hub to wait, and how long its body may
/// then pause.
pub const POLL_GRACE: Duration = Duration::from_secs(10);
/// How long the supplier of tokens may take.
pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The interval of heartbeats that streams are asked for.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// After how many heartbeat intervals without a byte a stream counts as dead.
pub const SILENT_HEARTBEATS: f64 = 2.5;
/// How long the first byte of a stream's body may take before [`Transport::Auto`](crate::Transport::Auto)
/// goes on by long poll. The hub sends its first block at once; where it does not come, something on the way
/// holds it back.
pub const FIRST_BYTE: Duration = Duration::from_secs(5);
/// How many failures in a row, of a kind that the transport may be to blame for, end the use of streams.
pub const STREAM_FAILURES: u32 = 3;
/// How many such failures in a row end the use of long polls.
pub const LONG_POLL_FAILURES: u32 = 2;
/// How long after it gave up streams [`Transport::Auto`](crate::Transport::Auto) tries one again.
pub const STREAM_AGAIN: Duration = Duration::from_secs(300);
/// A stream that is still heard of after this time counts as a success; one that delivers an event does so at
/// once.
pub const SETTLED: Duration = Duration::from_secs(5);

/// How long a long poll asks the hub to wait. Below the 30 s after which common proxies give up.
pub const LONG_POLL_WAIT: Duration = Duration::from_secs(25);
/// How long the client rests between two short polls that found nothing more.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// How long the client rests after a long poll that came back empty without having waited, as it does from a
/// hub that shuts down.
pub const EMPTY_POLL_PAUSE: Duration = Duration::from_secs(1);

/// The longest first delay before a reconnect; each further one may be twice as long as the one before. The
/// hub's `retry:` takes its place.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// The longest delay before any reconnect that the hub did not ask for itself.
pub const BACKOFF_CAP: Duration = Duration::from_secs(30);
/// The smallest base that a hub's `retry:` can set, so that `retry: 0` does not mean a busy loop.
pub const RETRY_FLOOR: Duration = Duration::from_millis(100);
/// The longest delay that a hub's `retry:` or `Retry-After` can ask for.
pub const RETRY_CEILING: Duration = Duration::from_secs(3_600);
/// What of a stream of events may wait to be acknowledged, in bytes.
pub const STREAM_PENDING_BYTES: usize = 1 << 20;
/// How long the hub waits for a stream that was cut off to come back, before its topic ends.
pub const STREAM_GRACE: Duration = Duration::from_secs(60);
/// How long a publish is tried again before it is given up.
pub const PUBLISH_RETRY: Duration = Duration::from_secs(60);

/// The largest event that is taken, in bytes as it arrives. JSON may need six bytes for one, so this covers
/// events of 5 MiB whatever they hold.
pub const EVENT_BYTES: usize = 32 << 20;
/// The largest answer to a publish, and the largest problem, that is read.
pub const ANSWER_BYTES: usize = 1 << 20;

/// How much is read of a WebSocket at a time.
pub const SOCKET_READ_BYTES: usize = 16 << 10;
/// How much of a WebSocket's messages is read ahead of a consumer that is slow, where somebody publishes through it.
pub const SOCKET_AHEAD_BYTES: usize = 1 << 20;
/// How much of publications may wait to be sent through a WebSocket. Others are published by requests of their own.
pub const SOCKET_OUT_BYTES: usize = 1 << 20;
/// How long the acknowledgement of a publication through a WebSocket may take, before it is published by a request.
pub const SOCKET_ACKNOWLEDGEMENT: Duration = Duration::from_secs(10);

/// After how much silence an idle connection is probed, by TCP and by HTTP/2.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
