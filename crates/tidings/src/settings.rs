//! The settings of a hub: each is a flag, an environment variable and a key of the configuration file, of the
//! same name. A flag wins over the environment, and that over the file.
//!
//! Settings that belong together are a section: `--cors-origins` is `origins` in `[cors]`. Keys are written with `-`
//! or with `_`. The keys of `[limits]` are flags without a prefix.

mod auth;
#[cfg(feature = "serve")]
mod configs;
mod cors;
mod limits;
mod mercure;
mod relay;
mod tls;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use tidings_protocol::object;

pub(crate) use self::auth::{AuthSettings, SECRET_VARIABLES};
use self::cors::CorsSettings;
use self::limits::LimitSettings;
pub(crate) use self::mercure::MERCURE_VARIABLES;
use self::mercure::MercureSettings;
use self::relay::RelayTables;
use self::tls::TlsSettings;
use crate::value::{LogPlace, Size, Span};

/// When an event counts as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum, Default)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Durability {
    /// When it is on the disk: it survives the machine.
    #[default]
    Sync,
    /// When the system has it: it survives the process, and an unclean end of the machine is told to readers.
    Os,
}

/// What was set in one place; what is absent is set elsewhere or has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Settings {
    /// Address and port to listen on; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "TIDINGS_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,

    /// Where the events are kept: `disk:FOLDER`, `memory:` for as long as the process lives, or an engine, which any
    /// number of hubs may share: `nats://HOST:PORT/STREAM`, `redis://HOST:PORT/NAME`, `postgres://HOST:PORT/DATABASE`
    /// (see docs/engines.md)
    /// [default: disk:./tidings-data]
    // The address of an engine may hold a password.
    #[arg(long, env = "TIDINGS_LOG", value_name = "LOG", hide_env_values = true)]
    pub(crate) log: Option<LogPlace>,

    /// When a publication is acknowledged: `sync`, once it is on the disk, or `os`, once the system has it
    /// [default: sync]
    #[arg(long, env = "TIDINGS_DURABILITY", value_enum, hide_possible_values = true)]
    pub(crate) durability: Option<Durability>,

    /// Events older than this are discarded [default: 7d]
    #[arg(long, env = "TIDINGS_RETAIN_AGE", value_name = "DURATION")]
    #[serde(alias = "retain_age")]
    pub(crate) retain_age: Option<Span>,

    /// The oldest events are discarded while the log is larger than this [default: 1GiB]
    #[arg(long, env = "TIDINGS_RETAIN_BYTES", value_name = "SIZE")]
    #[serde(alias = "retain_bytes")]
    pub(crate) retain_bytes: Option<Size>,

    /// How long the answer to a publication with an `Idempotency-Key` is repeated [default: 24h]
    #[arg(long, env = "TIDINGS_IDEMPOTENCY_WINDOW", value_name = "DURATION")]
    #[serde(alias = "idempotency_window")]
    pub(crate) idempotency_window: Option<Span>,

    /// Memory for the newest events; older ones are read from the disk [default: 64MiB]
    #[arg(long, env = "TIDINGS_TAIL_BYTES", value_name = "SIZE")]
    #[serde(alias = "tail_bytes")]
    pub(crate) tail_bytes: Option<Size>,

    /// The most topics; a publication to another is refused until older ones are discarded [default: 1000000]
    #[arg(long, env = "TIDINGS_MAX_TOPICS", value_name = "NUMBER")]
    #[serde(alias = "max_topics")]
    pub(crate) max_topics: Option<usize>,

    /// How long a hub over NATS, Redis or Postgres may say nothing before the others end the streams that it left open [default: 15s]
    #[arg(long, env = "TIDINGS_STREAM_LEASE", value_name = "DURATION")]
    #[serde(alias = "stream_lease")]
    pub(crate) stream_lease: Option<Span>,

    /// Silence on a stream after which it gets a heartbeat [default: 15s]
    #[arg(long, env = "TIDINGS_HEARTBEAT", value_name = "DURATION")]
    pub(crate) heartbeat: Option<Span>,

    /// The longest that a long poll is held [default: 60s]
    #[arg(long, env = "TIDINGS_MAX_WAIT", value_name = "DURATION")]
    #[serde(alias = "max_wait")]
    pub(crate) max_wait: Option<Span>,

    /// How long a connection may take no byte before it is closed [default: 60s]
    #[arg(long, env = "TIDINGS_WRITE_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "write_timeout")]
    pub(crate) write_timeout: Option<Span>,

    /// The largest data of one event [default: 1MiB]
    #[arg(long, env = "TIDINGS_MAX_EVENT_BYTES", value_name = "SIZE")]
    #[serde(alias = "max_event_bytes")]
    pub(crate) max_event_bytes: Option<Size>,

    /// The largest body of a batch [default: 16MiB]
    #[arg(long, env = "TIDINGS_MAX_BATCH_BYTES", value_name = "SIZE")]
    #[serde(alias = "max_batch_bytes")]
    pub(crate) max_batch_bytes: Option<Size>,

    /// The most events of a batch [default: 65536]
    #[arg(long, env = "TIDINGS_MAX_BATCH_EVENTS", value_name = "NUMBER")]
    #[serde(alias = "max_batch_events")]
    pub(crate) max_batch_events: Option<usize>,

    /// The most connections at once; the system's limit on open files applies as well [default: 100000]
    #[arg(long, env = "TIDINGS_MAX_CONNECTIONS", value_name = "NUMBER")]
    #[serde(alias = "max_connections")]
    pub(crate) max_connections: Option<usize>,

    /// Whether the page that shows the hub at work is served at `/` [default: true]
    #[arg(
        long,
        env = "TIDINGS_CONSOLE",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    pub(crate) console: Option<bool>,

    /// How long shared caches may keep a page that everybody may read and that follows a cursor; 0 for not at all
    /// [default: 0]
    #[arg(long, env = "TIDINGS_CACHE", value_name = "DURATION")]
    pub(crate) cache: Option<Span>,

    /// What the hub's own log tells: error, warn, info, debug or trace, also by part [default: info]
    #[arg(long, env = "TIDINGS_LOG_LEVEL", value_name = "LEVEL")]
    #[serde(alias = "log_level")]
    pub(crate) log_level: Option<String>,

    /// Write the hub's own log as lines of JSON [default: false]
    #[arg(
        long,
        env = "TIDINGS_LOG_JSON",
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true
    )]
    #[serde(alias = "log_json")]
    pub(crate) log_json: Option<bool>,

    /// A collector that takes traces over OTLP, like `http://127.0.0.1:4318`; for programs that are built with the
    /// feature `otlp` [default: none]
    // It may name a user with a password.
    #[arg(long, env = "TIDINGS_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    #[serde(alias = "otlp_endpoint")]
    pub(crate) otlp_endpoint: Option<String>,

    /// Addresses and networks of proxies that are believed where a request comes from, like `10.0.0.0/8`
    /// [default: none]
    #[arg(long, env = "TIDINGS_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    #[serde(alias = "trusted_proxies")]
    pub(crate) trusted_proxies: Option<Vec<String>>,

    /// Hosts that the hub may be asked for by, like `hub.example` or `*.example`; `localhost` and addresses of this
    /// machine always are, and without keys nothing else is [default: none without keys, any with keys]
    #[arg(long, env = "TIDINGS_ALLOWED_HOSTS", value_name = "HOST", value_delimiter = ',')]
    #[serde(alias = "allowed_hosts")]
    pub(crate) allowed_hosts: Option<Vec<String>>,

    /// Endpoints whose events are relayed, each like `NAME=URL`: `/relay/NAME/…` leads there; what else is to be said of one is
    /// `[relay.NAME]` in the file (see docs/relay.md) [default: none]
    #[arg(long = "relay", env = "TIDINGS_RELAY", value_name = "NAME=URL", value_delimiter = ',')]
    #[serde(skip)]
    pub(crate) relay_urls: Option<Vec<String>>,

    #[arg(skip)]
    #[serde(default)]
    pub(crate) relay: RelayTables,

    #[command(flatten)]
    #[serde(default, deserialize_with = "object")]
    pub(crate) limits: LimitSettings,

    #[command(flatten)]
    #[serde(default, deserialize_with = "object")]
    pub(crate) cors: CorsSettings,

    #[command(flatten)]
    #[serde(default, deserialize_with = "object")]
    pub(crate) tls: TlsSettings,

    #[command(flatten)]
    #[serde(default, deserialize_with = "object")]
    pub(crate) auth: AuthSettings,

    #[command(flatten)]
    #[serde(default, deserialize_with = "object")]
    pub(crate) mercure: MercureSettings,
}

/// The configuration file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("failed to read the configuration file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("failed to understand the configuration file {}: {problem}", path.display())]
    Syntax { path: PathBuf, problem: String },
    #[cfg(feature = "serve")]
    #[error("failed to set `{name}`: {problem}")]
    Value { name: &'static str, problem: String },
}

/// Where a file is wrong, and what is wrong there. The line is not shown, as it may hold a password.
fn problem(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return error.message().to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let whole = text.lines().nth(line - 1).unwrap_or_default();
    let key = whole.split_once('=').map(|(key, _)| key.trim());
    let is_key = |key: &&str| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let key = key.filter(is_key).map(|key| format!(", at `{key}`")).unwrap_or_default();
    format!("line {line}, column {column}{key}: {}", error.message())
}

/// Whether an error says that a setting is wrong.
pub(crate) fn is_wrong_setting(error: &(dyn std::error::Error + 'static)) -> bool {
    let here = error.is::<ConfigError>() || error.is::<auth::SecretError>();
    #[cfg(feature = "serve")]
    let here = here || configs::is_wrong_setting(error);
    here
}

// === impl Settings ===

impl Settings {
    /// Reads a file of settings.
    pub(crate) fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Syntax { path: path.to_owned(), problem: problem(&text, &error) })
    }

    /// These settings, and for what they leave open, others.
    #[cfg(feature = "serve")]
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            log: self.log.or(other.log),
            durability: self.durability.or(other.durability),
            retain_age: self.retain_age.or(other.retain_age),
            retain_bytes: self.retain_bytes.or(other.retain_bytes),
            idempotency_window: self.idempotency_window.or(other.idempotency_window),
            tail_bytes: self.tail_bytes.or(other.tail_bytes),
            max_topics: self.max_topics.or(other.max_topics),
            stream_lease: self.stream_lease.or(other.stream_lease),
            heartbeat: self.heartbeat.or(other.heartbeat),
            max_wait: self.max_wait.or(other.max_wait),
            write_timeout: self.write_timeout.or(other.write_timeout),
            max_event_bytes: self.max_event_bytes.or(other.max_event_bytes),
            max_batch_bytes: self.max_batch_bytes.or(other.max_batch_bytes),
            max_batch_events: self.max_batch_events.or(other.max_batch_events),
            max_connections: self.max_connections.or(other.max_connections),
            console: self.console.or(other.console),
            cache: self.cache.or(other.cache),
            log_level: self.log_level.or(other.log_level),
            log_json: self.log_json.or(other.log_json),
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            allowed_hosts: self.allowed_hosts.or(other.allowed_hosts),
            relay_urls: self.relay_urls.or(other.relay_urls),
            relay: self.relay.or(other.relay),
            limits: self.limits.or(other.limits),
            cors: self.cors.or(other.cors),
            tls: self.tls.or(other.tls),
            auth: self.auth.or(other.auth),
            mercure: self.mercure.or(other.mercure),
        }
    }
}
