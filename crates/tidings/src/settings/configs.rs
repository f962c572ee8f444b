//! What a hub is made with, from its settings.

mod auth;
mod cors;
mod limits;
mod mercure;
mod relay;
mod tls;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use tidings_http::{HttpConfig, InvalidHost, defaults};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{DiskLog, Retention};

use super::{ConfigError, Durability, Settings};
use crate::value::{LogPlace, Size, Span};

/// How long the answer to an idempotent publication is repeated.
pub(crate) const DEFAULT_IDEMPOTENCY_WINDOW: Span = Span(Duration::from_secs(24 * 3_600));
/// The shortest age that events are kept for.
const MIN_RETAIN_AGE: Duration = Duration::from_secs(1);
/// The least that a log keeps: enough for one event of the default limit and its segment.
const MIN_RETAIN_BYTES: u64 = 64 << 10;
/// The shortest time that a connection may take no byte.
const MIN_WRITE_TIMEOUT: Duration = Duration::from_millis(50);
/// How long the streams of a hub may be left open that says nothing any more.
const STREAM_LEASES: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(600);
/// A hundred years: the longest time that a setting may name.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_FOLDER: &str = "./tidings-data";
const DEFAULT_LOG_LEVEL: &str = "info";

impl From<Durability> for tidings_log::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Sync => Self::Sync,
            Durability::Os => Self::Os,
        }
    }
}

/// Whether an error says that a setting is wrong.
pub(super) fn is_wrong_setting(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<auth::AuthSetupError>()
        || error.is::<tls::TlsSetupError>()
        || error.is::<relay::RelaySetupError>()
        || error.is::<mercure::MercureSetupError>()
}

// === impl Settings ===

impl Settings {
    pub(crate) fn listen(&self) -> &str {
        self.listen.as_deref().unwrap_or(DEFAULT_LISTEN)
    }

    pub(crate) fn log(&self) -> LogPlace {
        self.log.clone().unwrap_or_else(|| LogPlace::Disk(DEFAULT_FOLDER.into()))
    }

    pub(crate) fn log_level(&self) -> &str {
        self.log_level.as_deref().unwrap_or(DEFAULT_LOG_LEVEL)
    }

    pub(crate) fn retention(&self) -> Result<Retention, ConfigError> {
        let age = self.retain_age.map_or(Retention::DEFAULT_AGE, |span| span.0);
        let bytes = self.retain_bytes.map_or(Retention::DEFAULT_BYTES, |size| size.0);
        within("retain-age", Span(age), &(MIN_RETAIN_AGE..=LONGEST))?;
        if bytes < MIN_RETAIN_BYTES {
            return Err(out_of_bounds(
                "retain-bytes",
                Size(bytes),
                format!("at least {}", Size(MIN_RETAIN_BYTES)),
            ));
        }
        Ok(Retention { age, bytes })
    }

    pub(crate) fn idempotency_window(&self) -> Duration {
        self.idempotency_window.unwrap_or(DEFAULT_IDEMPOTENCY_WINDOW).0
    }

    pub(crate) fn hub(&self) -> Result<HubConfig, ConfigError> {
        let tail_bytes = bytes("tail-bytes", self.tail_bytes, HubConfig::DEFAULT_TAIL_BYTES)?;
        let max_topics = self.max_topics.unwrap_or(HubConfig::DEFAULT_MAX_TOPICS);
        if max_topics == 0 {
            return Err(out_of_bounds("max-topics", max_topics, "at least 1"));
        }
        Ok(HubConfig { tail_bytes, max_topics })
    }

    pub(crate) fn stream_lease(&self) -> Result<Duration, ConfigError> {
        let lease = self.stream_lease.map_or(Hub::DEFAULT_STREAM_LEASE, |span| span.0);
        within("stream-lease", Span(lease), &STREAM_LEASES)?;
        Ok(lease)
    }

    pub(crate) fn http(&self) -> Result<HttpConfig, ConfigError> {
        let base = HttpConfig::default();
        let heartbeat = self.heartbeat.map_or(base.heartbeat, |span| span.0);
        within("heartbeat", Span(heartbeat), &(defaults::MIN_HEARTBEAT..=defaults::MAX_HEARTBEAT))?;
        let write_timeout = self.write_timeout.map_or(base.write_timeout, |span| span.0);
        within("write-timeout", Span(write_timeout), &(MIN_WRITE_TIMEOUT..=LONGEST))?;
        let max_wait = self.max_wait.map_or(base.max_wait, |span| span.0);
        within("max-wait", Span(max_wait), &(Duration::ZERO..=LONGEST))?;
        let cache = self.cache.map_or(base.cache, |span| span.0);
        within("cache", Span(cache), &(Duration::ZERO..=defaults::CACHE_MOST))?;
        let max_event_bytes = bytes("max-event-bytes", self.max_event_bytes, base.max_event_bytes)?;
        let max_batch_bytes = bytes("max-batch-bytes", self.max_batch_bytes, base.max_batch_bytes)?;
        for (name, size) in [("max-event-bytes", max_event_bytes), ("max-batch-bytes", max_batch_bytes)] {
            let (size, most) = (Size(size as u64), Size(DiskLog::BATCH_BYTES as u64));
            if size.0 == 0 || size.0 > most.0 {
                return Err(out_of_bounds(name, size, format!("from 1 to {most}")));
            }
        }
        let max_batch_events = self.max_batch_events.unwrap_or(base.max_batch_events);
        if max_batch_events == 0 {
            return Err(out_of_bounds("max-batch-events", max_batch_events, "at least 1"));
        }
        let max_connections = self.max_connections.unwrap_or(base.max_connections);
        if max_connections == 0 {
            return Err(out_of_bounds("max-connections", max_connections, "at least 1"));
        }
        let trusted_proxies = limits::trusted_proxies(self.trusted_proxies.as_deref().unwrap_or_default())?;
        let allowed_hosts = self.allowed_hosts.as_deref().unwrap_or_default().join(",");
        let allowed_hosts =
            allowed_hosts.parse().map_err(|error: InvalidHost| value("allowed-hosts", &error))?;
        self.limits.apply(HttpConfig {
            heartbeat,
            write_timeout,
            max_wait,
            max_event_bytes,
            max_batch_bytes,
            max_batch_events,
            max_connections,
            trusted_proxies,
            allowed_hosts,
            cache,
            cors: self.cors.cors()?,
            ..base
        })
    }
}

/// Refuses a length of time that is out of bounds.
fn within(name: &'static str, span: Span, bounds: &RangeInclusive<Duration>) -> Result<(), ConfigError> {
    if bounds.contains(&span.0) {
        return Ok(());
    }
    let right = format!("from {} to {}", Span(*bounds.start()), Span(*bounds.end()));
    Err(out_of_bounds(name, span, right))
}

/// Refuses a value that its own kind refuses.
fn value(name: &'static str, error: &dyn fmt::Display) -> ConfigError {
    ConfigError::Value { name, problem: error.to_string() }
}

fn out_of_bounds(name: &'static str, value: impl fmt::Display, right: impl fmt::Display) -> ConfigError {
    ConfigError::Value { name, problem: format!("it is {right}, not {value}") }
}

fn bytes(name: &'static str, size: Option<Size>, default: usize) -> Result<usize, ConfigError> {
    let Some(Size(bytes)) = size else { return Ok(default) };
    usize::try_from(bytes)
        .map_err(|_| ConfigError::Value { name, problem: "it is more than this machine can count".into() })
}

#[cfg(test)]
mod tests;
