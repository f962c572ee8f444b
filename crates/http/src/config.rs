use std::time::Duration;

/// How the HTTP face of a hub behaves. Every value has its default in [`defaults`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Silence on a stream after which it gets a heartbeat (`heartbeat`).
    pub heartbeat: Duration,
    /// The longest that a long poll is held (`max-wait`).
    pub max_wait: Duration,
    /// How long a connection may take no byte before it is closed (`write-timeout`).
    pub write_timeout: Duration,
    /// The largest data of one event, in bytes (`max-event-bytes`).
    pub max_event_bytes: usize,
    /// The largest body of a batch, in bytes (`max-batch-bytes`).
    pub max_batch_bytes: usize,
    /// The most connections at once (`max-connections`); more are taken when some have ended.
    pub max_connections: usize,
    /// The delay that streams ask clients to reconnect after, in the ordinary case.
    pub retry: Duration,
}

/// The defaults and bounds of the HTTP face, in one place.
pub mod defaults {
    use std::time::Duration;

    /// Silence on a stream after which it gets a heartbeat.
    pub const HEARTBEAT: Duration = Duration::from_secs(15);
    /// The shortest interval between heartbeats that a client may wish for (§3).
    pub const MIN_HEARTBEAT: Duration = Duration::from_secs(1);
    /// The longest interval between heartbeats that a client may wish for (§3).
    pub const MAX_HEARTBEAT: Duration = Duration::from_secs(60);
    /// The longest that a long poll is held.
    pub const MAX_WAIT: Duration = Duration::from_secs(60);
    /// How long a connection may take no byte before it is closed.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
    /// The largest data of one event.
    pub const MAX_EVENT_BYTES: usize = 1 << 20;
    /// The largest body of a batch.
    pub const MAX_BATCH_BYTES: usize = 16 << 20;
    /// The most connections at once, where the system allows so many open files.
    pub const MAX_CONNECTIONS: usize = 100_000;
    /// The delay that streams ask clients to reconnect after.
    pub const RETRY: Duration = Duration::from_secs(2);
    /// The most that a client is asked to wait before it reconnects to a hub that shuts down.
    pub const DRAIN_RETRY: Duration = Duration::from_secs(5);
    /// How long a request's head may take to arrive.
    pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a connection may be idle between two requests.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
    /// How often an HTTP/2 connection is asked whether it is alive, and how long it may take to answer.
    pub const HTTP2_PING: Duration = Duration::from_secs(20);
    /// The largest head of a request, in bytes.
    pub const HEAD_BYTES: usize = 32 << 10;
    /// The most header fields of a request.
    pub const HEAD_FIELDS: usize = 100;
    /// How long a request's body may pause.
    pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
    /// How long, and for how many bytes, a body that was refused is taken in and thrown away.
    pub const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`LINGER_TIMEOUT`].
    pub const LINGER_BYTES: usize = 64 << 20;
    /// How many event types a reader may name.
    pub const EVENT_TYPES: usize = 100;
    /// Bytes of frames that a stream takes from the hub at once.
    pub const STREAM_CHUNK_BYTES: usize = 64 << 10;
    /// Streams at once on one HTTP/2 connection.
    pub const HTTP2_STREAMS: u32 = 1_000;
    /// Topics in one answer to `GET /topics`, unless the request says otherwise.
    pub const TOPICS: usize = 100;
    /// The most topics in one answer to `GET /topics`.
    pub const MAX_TOPICS: usize = 10_000;
    /// How long connections may take to end after the hub has begun to shut down.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
    /// Connections that may wait to be accepted; the system's own limit (`net.core.somaxconn`) applies as well.
    pub const ACCEPT_QUEUE: u32 = 65_535;
    /// How long the streams of an HTTP/2 connection have to end, when the hub shuts down, before the connection
    /// begins to.
    pub const HTTP2_DRAIN: Duration = Duration::from_millis(250);
    /// Connections at once while the log is not open yet.
    pub const OPENING_CONNECTIONS: usize = 1_024;
    /// How long accepting pauses where the system has no more open files to give.
    pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
    /// What `Retry-After` says, in seconds.
    pub const RETRY_AFTER_SECONDS: u64 = 2;
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            heartbeat: defaults::HEARTBEAT,
            max_wait: defaults::MAX_WAIT,
            write_timeout: defaults::WRITE_TIMEOUT,
            max_event_bytes: defaults::MAX_EVENT_BYTES,
            max_batch_bytes: defaults::MAX_BATCH_BYTES,
            max_connections: defaults::MAX_CONNECTIONS,
            retry: defaults::RETRY,
        }
    }
}
