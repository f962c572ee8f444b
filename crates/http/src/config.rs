use std::net::IpAddr;
use std::time::Duration;

use crate::{AllowedHosts, Cors, TrustedProxies};

/// How the HTTP API of a hub behaves. Every value has its default in [`defaults`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Whether WebSockets send back what they are sent, as Autobahn's test suite asks for.
    #[cfg(test)]
    pub(crate) websocket_echo: bool,
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
    /// The most events of a batch (`max-batch-events`).
    pub max_batch_events: usize,
    /// The most connections at once (`max-connections`); more are taken when some have ended.
    pub max_connections: usize,
    /// The most connections at once from one address, or from one /64 of IPv6 (`max-connections-per-address`). Where
    /// it is `None`, [`defaults::MAX_CONNECTIONS_PER_ADDRESS`], and as many as they like from this machine.
    pub max_connections_per_address: Option<usize>,
    /// The most readers at once that wait with tokens of one subject (`max-connections-per-subject`).
    pub max_connections_per_subject: usize,
    /// How many times a second one address may publish; 0 for no limit (`publish-rate-per-address`).
    pub publish_rate_per_address: u32,
    /// How many times a second one subject of tokens may; 0 for no limit (`publish-rate-per-subject`).
    pub publish_rate_per_subject: u32,
    /// The most selectors that one request reads (`max-topics-per-request`).
    pub max_topics_per_request: usize,
    /// The most requests at once on one HTTP/2 connection (`max-streams-per-connection`).
    pub max_streams_per_connection: u32,
    /// The largest head of a request, in bytes (`max-head-bytes`).
    pub max_head_bytes: usize,
    /// The most memory for bodies of requests that are under way, and the same again for what readers have not taken,
    /// in bytes (`max-buffered-bytes`). Of either, a client has at most one part of [`defaults::CLIENT_SHARE`].
    pub max_buffered_bytes: usize,
    /// How long a connection may take to agree on TLS (`handshake-timeout`).
    pub handshake_timeout: Duration,
    /// How long a request's head may take to arrive (`head-timeout`).
    pub head_timeout: Duration,
    /// How long a request's body may pause, while it brings [`defaults::BODY_RATE`] bytes a second (`body-timeout`).
    pub body_timeout: Duration,
    /// How long the body of a streaming publication may pause (`stream-timeout`).
    pub stream_timeout: Duration,
    /// How long a connection may be idle between two requests (`idle-timeout`).
    pub idle_timeout: Duration,
    /// How long connections may take to end when the hub shuts down (`drain-timeout`).
    pub drain_timeout: Duration,
    /// The proxies that are believed where a request comes from (`trusted-proxies`).
    pub trusted_proxies: TrustedProxies,
    /// The names that the hub may be asked for by, beside those of its machine (`allowed-hosts`).
    pub allowed_hosts: AllowedHosts,
    /// The delay that streams ask clients to reconnect after, in the ordinary case.
    pub retry: Duration,
    /// How long shared caches may keep a page that everybody may read; zero for not at all (`cache`).
    pub cache: Duration,
    /// Pages of which other origins may use the hub (`[cors]`).
    pub cors: Cors,
}

/// The defaults and bounds of the HTTP API, in one place.
pub mod defaults {
    use std::time::Duration;

    /// Silence on a stream after which it gets a heartbeat.
    pub const HEARTBEAT: Duration = Duration::from_secs(15);
    /// The shortest interval between heartbeats that a client may wish for (§3).
    pub const MIN_HEARTBEAT: Duration = Duration::from_secs(1);
    /// The longest interval between heartbeats that a client may wish for (§3).
    pub const MAX_HEARTBEAT: Duration = Duration::from_secs(60);
    /// The longest that a reader may wish for between two deliveries (§3.10).
    pub const MAX_EVERY: Duration = Duration::from_secs(60);
    /// What a poll has beyond its wait to be given what was held for it, where the log has to be read for that.
    pub const HELD_GRACE: Duration = Duration::from_secs(5);
    /// The longest that a long poll is held.
    pub const MAX_WAIT: Duration = Duration::from_secs(60);
    /// How long a connection may take no byte before it is closed.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
    /// The largest data of one event.
    pub const MAX_EVENT_BYTES: usize = 1 << 20;
    /// The largest body of a batch.
    pub const MAX_BATCH_BYTES: usize = 16 << 20;
    /// The most events of a batch.
    pub const MAX_BATCH_EVENTS: usize = 65_536;
    /// What an event of a batch takes in memory beside its data, about.
    pub const BATCH_EVENT_BYTES: usize = 256;
    /// A larger body is parsed on a thread of its own, where it keeps nobody waiting.
    pub const PARSE_BYTES: usize = 64 << 10;
    /// How many of them are parsed at once, and appended, where their events take more than [`MEDIUM_BYTES`]; the others
    /// wait for their turn.
    pub const PARSES: usize = 2;
    /// The most connections at once, where the system allows so many open files.
    pub const MAX_CONNECTIONS: usize = 100_000;
    /// The most connections at once from one address of another machine.
    pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 10_000;
    /// The most readers at once with tokens of one subject.
    pub const MAX_CONNECTIONS_PER_SUBJECT: usize = 1_000;
    /// After so many publications those are forgotten who may publish as often as anybody.
    pub const RATE_TIDY: u32 = 10_000;
    /// The most requests at once on one HTTP/2 connection.
    pub const MAX_STREAMS_PER_CONNECTION: u32 = 250;
    /// The delay that streams ask clients to reconnect after.
    pub const RETRY: Duration = Duration::from_secs(2);
    /// The most that a client is asked to wait before it reconnects to a hub that shuts down.
    pub const DRAIN_RETRY: Duration = Duration::from_secs(5);
    /// The longest that shared caches may be told to keep a page.
    pub const CACHE_MOST: Duration = Duration::from_secs(86_400);
    /// How long they may keep one without events, in seconds: as long as it takes those who wait for it to fetch it.
    pub const CACHE_EMPTY_SECONDS: u32 = 1;
    /// How long browsers remember the answer to a preflight request.
    pub const CORS_MAX_AGE: Duration = Duration::from_secs(7_200);
    /// The longest that they may be told to.
    pub const CORS_MAX_AGE_MOST: Duration = Duration::from_secs(86_400);
    /// How long a reader of a facade stays whose token has no end, or who has none and is counted: a year.
    pub const LONGEST_LEASE: Duration = Duration::from_secs(365 * 86_400);
    /// The longest token.
    pub const TOKEN_BYTES: usize = 8 << 10;
    /// How far the clocks of the hub and of whoever issues tokens may differ.
    pub const TOKEN_LEEWAY: Duration = Duration::from_secs(30);
    /// The shortest secret for HS256: as long as its hashes (RFC 7518 §3.2).
    pub const SECRET_BYTES: usize = 32;
    /// How long fetching a set of keys may take.
    pub const JWKS_TIMEOUT: Duration = Duration::from_secs(10);
    /// The largest set of keys.
    pub const JWKS_BYTES: usize = 1 << 20;
    /// How many redirections lead to a set of keys at most.
    pub const JWKS_REDIRECTS: usize = 3;
    /// How old a set of keys grows before it is fetched again.
    pub const JWKS_REFRESH: Duration = Duration::from_secs(600);
    /// The least time between two fetches of a set of keys.
    pub const JWKS_PAUSE: Duration = Duration::from_secs(60);
    /// The same, while there are no keys at all.
    pub const JWKS_RETRY: Duration = Duration::from_secs(5);
    /// How long a connection may take to agree on TLS.
    pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
    /// How often the files of the certificate are looked at.
    pub const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(5);
    /// The largest file of certificates or of a key, in bytes.
    pub const CERTIFICATE_BYTES: u64 = 1 << 20;
    /// How long a request's head may take to arrive.
    pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a connection may be idle between two requests.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
    /// How often an HTTP/2 connection is asked whether it is alive, and how long it may take to answer.
    pub const HTTP2_PING: Duration = Duration::from_secs(20);
    /// The most memory for bodies of requests that are under way, and the same again for what readers have not taken.
    pub const MAX_BUFFERED_BYTES: usize = 256 << 20;
    /// The part of it that one client has at most: a quarter.
    pub const CLIENT_SHARE: usize = 4;
    /// What takes no more has all of that memory, and of each share; what takes more leaves an eighth of it free.
    pub const SMALL_BYTES: usize = 64 << 10;
    /// What takes more than this leaves a quarter of it free.
    pub const MEDIUM_BYTES: usize = 1 << 20;
    /// An answer that is larger counts among those.
    pub const LARGE_ANSWER_BYTES: usize = 32 << 10;
    /// The most of it that is handed on at once.
    pub const ANSWER_PIECE_BYTES: usize = 16 << 10;
    /// The largest head of a request, in bytes.
    pub const MAX_HEAD_BYTES: usize = 32 << 10;
    /// The least that it can be set to: what the HTTP library reads at once.
    pub const MIN_HEAD_BYTES: usize = 8 << 10;
    /// The most that it can be set to.
    pub const MOST_HEAD_BYTES: usize = 1 << 20;
    /// The most header fields of a request.
    pub const HEAD_FIELDS: usize = 100;
    /// How long a request's body may pause.
    pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
    /// How long the body of a streaming publication may pause.
    pub const STREAM_TIMEOUT: Duration = Duration::from_secs(300);
    /// The most text that is an item of a stream of chunks.
    pub const STREAM_CHUNK_TEXT_BYTES: usize = 16 << 10;
    /// What a line of a stream may have beside the data of its event.
    pub const STREAM_FIELD_BYTES: usize = 4 << 10;
    /// What a stream may hold that is not durable without being counted.
    pub const STREAM_UNCOUNTED_BYTES: usize = 8 << 10;
    /// The least time between two acknowledgements of a stream.
    pub const STREAM_ACKNOWLEDGEMENT: Duration = Duration::from_millis(100);
    /// The bytes a second that a body has to bring beside: the slowest upload that is put up with.
    pub const BODY_RATE: usize = 1 << 10;
    /// How long, and for how many bytes, a body that was refused is taken in and thrown away.
    pub const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
    /// See [`LINGER_TIMEOUT`].
    pub const LINGER_BYTES: usize = 64 << 20;
    /// What is unpacked at once of a body with a content coding.
    pub const CODING_PIECE_BYTES: usize = 16 << 10;
    /// How many event types a reader may name.
    pub const EVENT_TYPES: usize = 100;
    /// Bytes of data that a stream takes from the hub at once.
    pub const STREAM_CHUNK_BYTES: usize = 64 << 10;
    /// The most of its frames that a stream hands on at once, and so keeps if its client takes nothing.
    pub const STREAM_PIECE_BYTES: usize = 16 << 10;
    /// What the body of a stream takes before it is given away, where its connection is not the hub's own.
    pub const BODY_BYTES: usize = 16 << 10;
    /// The most events that are found again at once for a reader that did not take them.
    pub const PIECE_EVENTS: usize = 64;
    /// What a reader has not taken and is no more than this is kept without being counted.
    pub const UNCOUNTED_BYTES: usize = 4 << 10;
    /// How much is kept of what was read of a connection beyond the request that it waits with.
    pub const PIPELINED_BYTES: usize = 4 << 10;
    /// How much is read of a TLS stream's client that sends what nobody asked for, to hear what is about the connection.
    pub const IGNORED_BYTES: usize = 16 << 10;
    /// Topics in one answer to `GET /topics`, unless the request says otherwise.
    pub const TOPICS: usize = 100;
    /// How many requests list topics at once; the others wait for their turn.
    pub const LISTINGS: usize = 1;
    /// The most topics in one answer to `GET /topics`.
    pub const MAX_TOPICS: usize = 10_000;
    /// How long connections may take to end after the hub has begun to shut down.
    pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
    /// How long a connection that was taken just before has for its first request, when the hub shuts down.
    pub const DRAIN_GRACE: Duration = Duration::from_secs(1);
    /// Connections that may wait to be accepted; the system's own limit (`net.core.somaxconn`) applies as well.
    pub const ACCEPT_QUEUE: u32 = 65_535;
    /// The most of a response that an HTTP/2 stream is given at once.
    pub const HTTP2_PIECE_BYTES: usize = 8 << 10;
    /// How many of them a stream has that its client has not taken.
    pub const HTTP2_PIECES: usize = 2;
    /// What an HTTP/2 connection is given to send at once. Beyond that, its streams keep the rest.
    pub const HTTP2_OUT_BYTES: usize = 32 << 10;
    /// What an HTTP/2 client may send of a request's body before it is read, and of those of all of its requests.
    pub const HTTP2_WINDOW_BYTES: u32 = 1 << 20;
    /// How long an HTTP/2 connection that has ended waits for its client to close it.
    pub const HTTP2_LINGER: Duration = Duration::from_secs(1);
    /// How long the streams of an HTTP/2 connection have to end, when the hub shuts down, before the connection
    /// begins to.
    pub const HTTP2_DRAIN: Duration = Duration::from_millis(250);
    /// The longest name of a subscription of a WebSocket, in bytes.
    pub const SUBSCRIPTION_NAME_BYTES: usize = 64;
    /// The most subscriptions of one WebSocket.
    pub const SOCKET_SUBSCRIPTIONS: usize = 100;
    /// The topics and types of all subscriptions of one WebSocket, in bytes.
    pub const SOCKET_SELECTION_BYTES: usize = 128 << 10;
    /// What a message to a WebSocket may have beside the data of an event: the longest topics and types of a subscription, or
    /// a token.
    pub const SOCKET_HEAD_BYTES: usize = 96 << 10;
    /// The longest `ref` of a message to a WebSocket, in bytes.
    pub const SOCKET_REFERENCE_BYTES: usize = 256;
    /// The messages of one WebSocket that may wait to be dealt with, and what it is told of them, in bytes. Beyond that it is
    /// not read.
    pub const SOCKET_WAITING_BYTES: usize = 1 << 20;
    /// How long a WebSocket may take to show a token, where it can do nothing without.
    pub const SOCKET_TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long the client of a WebSocket that was closed may take to agree.
    pub const SOCKET_LINGER: Duration = Duration::from_secs(1);
    /// What is read at once of a WebSocket that a task carries.
    pub const SOCKET_PIECE_BYTES: usize = 8 << 10;
    /// How long a stream waits before it reads the log again whose engine is away.
    pub const READ_PAUSE: Duration = Duration::from_secs(1);
    /// How long an answer is looked for whose client has stopped sending, and may have left.
    pub const LEAVE_GRACE: Duration = Duration::from_secs(5);
    /// How long it takes until a thread of parked connections that ended begins anew.
    pub const SHARD_PAUSE: Duration = Duration::from_millis(100);
    /// Connections at once while the log is not open yet.
    pub const OPENING_CONNECTIONS: usize = 1_024;
    /// How long accepting pauses where the system has no more open files to give.
    pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
    /// How long a log may take to open before those who connect are told that the hub is not ready.
    pub const OPENING_GRACE: Duration = Duration::from_secs(1);
    /// How many polls have to bring something within the window before a client is advised to stream.
    pub const ADVICE_POLLS: u64 = 5;
    /// The time within which they have to.
    pub const ADVICE_WINDOW: Duration = Duration::from_secs(30);
    /// How long a client that was advised is left alone.
    pub const ADVICE_PAUSE: Duration = Duration::from_secs(60);
    /// How many clients that poll are remembered at once: less than 100 bytes for each.
    pub const ADVISED_CLIENTS: usize = 1_024;
    /// The most that a problem says, in bytes.
    pub const DETAIL_BYTES: usize = 1 << 10;
    /// What `Retry-After` says, in seconds.
    pub const RETRY_AFTER_SECONDS: u64 = 2;
}

impl HttpConfig {
    /// The most connections at once that an address may have.
    pub(crate) fn max_connections_of(&self, address: IpAddr) -> usize {
        match self.max_connections_per_address {
            Some(most) => most,
            // Whoever is here already needs no hub to do harm, and often is a proxy.
            None if address.is_loopback() => usize::MAX,
            None => defaults::MAX_CONNECTIONS_PER_ADDRESS,
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            #[cfg(test)]
            websocket_echo: false,
            heartbeat: defaults::HEARTBEAT,
            max_wait: defaults::MAX_WAIT,
            write_timeout: defaults::WRITE_TIMEOUT,
            max_event_bytes: defaults::MAX_EVENT_BYTES,
            max_batch_bytes: defaults::MAX_BATCH_BYTES,
            max_batch_events: defaults::MAX_BATCH_EVENTS,
            max_connections: defaults::MAX_CONNECTIONS,
            max_connections_per_address: None,
            max_connections_per_subject: defaults::MAX_CONNECTIONS_PER_SUBJECT,
            publish_rate_per_address: 0,
            publish_rate_per_subject: 0,
            max_topics_per_request: tidings_protocol::limits::SELECTORS,
            max_streams_per_connection: defaults::MAX_STREAMS_PER_CONNECTION,
            max_buffered_bytes: defaults::MAX_BUFFERED_BYTES,
            max_head_bytes: defaults::MAX_HEAD_BYTES,
            handshake_timeout: defaults::HANDSHAKE_TIMEOUT,
            head_timeout: defaults::HEAD_TIMEOUT,
            body_timeout: defaults::BODY_TIMEOUT,
            stream_timeout: defaults::STREAM_TIMEOUT,
            idle_timeout: defaults::IDLE_TIMEOUT,
            drain_timeout: defaults::DRAIN_TIMEOUT,
            trusted_proxies: TrustedProxies::default(),
            allowed_hosts: AllowedHosts::default(),
            retry: defaults::RETRY,
            cache: Duration::ZERO,
            cors: Cors::default(),
        }
    }
}
