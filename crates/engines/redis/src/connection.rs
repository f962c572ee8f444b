use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value, cmd};
use tidings_engine::EngineError;
use tidings_protocol::{Epoch, Event};

use crate::limits::{ANSWER, CONNECT, ENTRIES, REPLY_BYTES};
use crate::options::Options;

/// The connections to one master: one for what is written, one for what is read, and one for the reader that is held.
/// None of them connects again by itself, as whoever does looks first whether the log is still the same.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) writes: MultiplexedConnection,
    pub(crate) reads: MultiplexedConnection,
    pub(crate) epoch: Epoch,
    pub(crate) secret: [u8; 16],
    /// What this hub has seen or was told of.
    seen: AtomicU64,
    /// The last event that was followed.
    last: Mutex<Option<Arc<Event>>>,
    /// The size of the largest entry, in bytes, as far as is known.
    largest: AtomicU64,
}

/// The keys of a log.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) log: String,
    pub(crate) meta: String,
    pub(crate) topics: String,
    /// The entry that deleted each topic last.
    pub(crate) deleted: String,
    pub(crate) notes: String,
    /// A key that is never there.
    pub(crate) probe: String,
    prefix: String,
}

// === impl Keys ===

impl Keys {
    /// The braces put all of them into one slot, also where there is a cluster.
    pub(crate) fn new(name: &str) -> Self {
        let prefix = format!("{{{name}}}:");
        let key = |what: &str| format!("{prefix}{what}");
        let (log, meta, topics) = (key("log"), key("meta"), key("topics"));
        let (deleted, notes, probe) = (key("deleted"), key("notes"), key("probe"));
        Self { log, meta, topics, deleted, notes, probe, prefix }
    }

    /// The key of an idempotent batch.
    pub(crate) fn batch(&self, fingerprint: u128) -> String {
        format!("{}key:{fingerprint:032x}", self.prefix)
    }
}

// === impl Connection ===

impl Connection {
    pub(crate) fn new(
        (writes, reads): (MultiplexedConnection, MultiplexedConnection),
        epoch: Epoch,
        secret: [u8; 16],
        largest: u64,
    ) -> Self {
        let (seen, last, largest) = (AtomicU64::new(0), Mutex::default(), AtomicU64::new(largest));
        Self { writes, reads, epoch, secret, seen, last, largest }
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    pub(crate) fn note_seen(&self, sequence: u64) {
        self.seen.fetch_max(sequence, Ordering::AcqRel);
    }

    pub(crate) fn last(&self) -> Option<Arc<Event>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note_last(&self, event: &Arc<Event>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(event));
    }

    pub(crate) fn note_size(&self, bytes: u64) {
        self.largest.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Asks something of the connections, so that a server with a `timeout` does not take them for idle.
    pub(crate) async fn touch(&self) {
        for connection in [&self.writes, &self.reads] {
            drop(cmd("PING").query_async::<Value>(&mut connection.clone()).await);
        }
    }

    /// Whether one of the connections is closed: that is said at once, before anything is sent. Nothing is sent where
    /// nobody waits for the answer.
    pub(crate) fn is_closed(&self) -> bool {
        [&self.writes, &self.reads].into_iter().any(|connection| {
            let mut connection = connection.clone();
            let ping = cmd("PING");
            let asked = ping.query_async::<Value>(&mut connection).now_or_never();
            matches!(asked, Some(Err(_)))
        })
    }

    /// How many entries may be asked for at once, so that what comes has a bound in bytes.
    pub(crate) fn count(&self) -> u64 {
        (REPLY_BYTES / self.largest.load(Ordering::Relaxed).max(1)).clamp(1, ENTRIES)
    }
}

/// Finds the master and connects to it. Says where it is.
pub(crate) async fn master(options: &Options) -> Result<(Client, String), EngineError> {
    let mut reason = EngineError::away("there is no host");
    for (host, port) in &options.hosts {
        let found = match &options.sentinel {
            Some(name) => ask_sentinel(options, host, *port, name).await,
            None => Ok((host.clone(), *port)),
        };
        let result = match found {
            Ok((host, port)) => check(options, &host, port).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(found) => return Ok(found),
            // What no other host may know better is said in the end.
            Err(error) => {
                if !matches!(reason, EngineError::Refused { .. }) {
                    reason = error;
                }
            }
        }
    }
    Err(reason)
}

async fn check(options: &Options, host: &str, port: u16) -> Result<(Client, String), EngineError> {
    let client = options.client(host, port)?;
    let place = format!("{host}:{port}");
    let failed = |error: &RedisError| because(&format!("failed to connect to {place}"), error);
    let mut connection = connect(&client).await.map_err(|error| failed(&error))?;
    let role: Value = cmd("ROLE").query_async(&mut connection).await.map_err(|error| failed(&error))?;
    if !is_master(&role) {
        return Err(EngineError::away(format!("{place} is a replica, and no master was found")));
    }
    Ok((client, place))
}

/// What `ROLE` says. A server that becomes a replica takes on what its master has and keeps its clients, so it has to be
/// asked together with whatever is read.
pub(crate) fn is_master(role: &Value) -> bool {
    let Value::Array(role) = role else { return false };
    matches!(role.first(), Some(Value::BulkString(role)) if role == b"master")
}

async fn ask_sentinel(
    options: &Options,
    host: &str,
    port: u16,
    name: &str,
) -> Result<(String, u16), EngineError> {
    let failed = |error: &RedisError| because(&format!("failed to ask the sentinel {host}:{port}"), error);
    let client = options.sentinel(host, port)?;
    let mut connection = connect(&client).await.map_err(|error| failed(&error))?;
    let ask = cmd("SENTINEL").arg("get-master-addr-by-name").arg(name).to_owned();
    let found: Option<(String, u16)> =
        ask.query_async(&mut connection).await.map_err(|error| failed(&error))?;
    found.ok_or_else(|| EngineError::away(format!("the sentinel {host}:{port} knows no master of that name")))
}

/// A connection whose commands have to be answered in time.
pub(crate) async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A connection whose commands may be held by Redis, so that the client waits for them as long as they take.
pub(crate) async fn connect_to_follow(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// What an error of the client means. Its texts hold no password.
pub(crate) fn because(what: &str, error: &RedisError) -> EngineError {
    let reason = format!("{what}: {error}");
    let refused = error.kind() == redis::ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "WRONGTYPE"));
    if refused { EngineError::refused(reason) } else { EngineError::away(reason) }
}
