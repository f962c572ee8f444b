use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tidings_http::{HttpConfig, TrustedProxies, defaults};

use super::{ConfigError, LONGEST, bytes, out_of_bounds, within};
use crate::value::{Size, Span};

/// `[limits]`: what connections are allowed. Their flags have no prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct LimitSettings {
    /// The most connections at once from one address, or one /64 of IPv6; those of trusted proxies are counted for
    /// their clients [default: 10000, and any number from this machine]
    #[arg(long, env = "TIDINGS_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    #[serde(alias = "max_connections_per_address")]
    max_connections_per_address: Option<usize>,

    /// The most readers that wait at once with tokens of one subject [default: 1000]
    #[arg(long, env = "TIDINGS_MAX_CONNECTIONS_PER_SUBJECT", value_name = "NUMBER")]
    #[serde(alias = "max_connections_per_subject")]
    max_connections_per_subject: Option<usize>,

    /// How many times a second one address may publish; 0 for no limit [default: 0]
    #[arg(long, env = "TIDINGS_PUBLISH_RATE_PER_ADDRESS", value_name = "NUMBER")]
    #[serde(alias = "publish_rate_per_address")]
    publish_rate_per_address: Option<u32>,

    /// How many times a second one subject of tokens may publish; 0 for no limit [default: 0]
    #[arg(long, env = "TIDINGS_PUBLISH_RATE_PER_SUBJECT", value_name = "NUMBER")]
    #[serde(alias = "publish_rate_per_subject")]
    publish_rate_per_subject: Option<u32>,

    /// The most topics and patterns that one request reads [default: 100]
    #[arg(long, env = "TIDINGS_MAX_TOPICS_PER_REQUEST", value_name = "NUMBER")]
    #[serde(alias = "max_topics_per_request")]
    max_topics_per_request: Option<usize>,

    /// The most requests at once on one HTTP/2 connection [default: 250]
    #[arg(long, env = "TIDINGS_MAX_STREAMS_PER_CONNECTION", value_name = "NUMBER")]
    #[serde(alias = "max_streams_per_connection")]
    max_streams_per_connection: Option<u32>,

    /// The most memory for bodies of requests that are under way, and the same again for what readers have not taken;
    /// a client has a quarter of either [default: 256MiB]
    #[arg(long, env = "TIDINGS_MAX_BUFFERED_BYTES", value_name = "SIZE")]
    #[serde(alias = "max_buffered_bytes")]
    max_buffered_bytes: Option<Size>,

    /// The largest head of a request [default: 32KiB]
    #[arg(long, env = "TIDINGS_MAX_HEAD_BYTES", value_name = "SIZE")]
    #[serde(alias = "max_head_bytes")]
    max_head_bytes: Option<Size>,

    /// How long a connection may take to agree on TLS [default: 10s]
    #[arg(long, env = "TIDINGS_HANDSHAKE_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "handshake_timeout")]
    handshake_timeout: Option<Span>,

    /// How long a request's head may take to arrive [default: 10s]
    #[arg(long, env = "TIDINGS_HEAD_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "head_timeout")]
    head_timeout: Option<Span>,

    /// How long a request's body may pause, while it brings 1 KiB a second [default: 30s]
    #[arg(long, env = "TIDINGS_BODY_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "body_timeout")]
    body_timeout: Option<Span>,

    /// How long a connection may be idle between two requests [default: 75s]
    #[arg(long, env = "TIDINGS_IDLE_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "idle_timeout")]
    idle_timeout: Option<Span>,

    /// How long connections may take to end when the hub shuts down [default: 4s]
    #[arg(long, env = "TIDINGS_DRAIN_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "drain_timeout")]
    drain_timeout: Option<Span>,
}

// === impl LimitSettings ===

impl LimitSettings {
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            max_connections_per_address: self
                .max_connections_per_address
                .or(other.max_connections_per_address),
            max_connections_per_subject: self
                .max_connections_per_subject
                .or(other.max_connections_per_subject),
            publish_rate_per_address: self.publish_rate_per_address.or(other.publish_rate_per_address),
            publish_rate_per_subject: self.publish_rate_per_subject.or(other.publish_rate_per_subject),
            max_topics_per_request: self.max_topics_per_request.or(other.max_topics_per_request),
            max_streams_per_connection: self.max_streams_per_connection.or(other.max_streams_per_connection),
            max_buffered_bytes: self.max_buffered_bytes.or(other.max_buffered_bytes),
            max_head_bytes: self.max_head_bytes.or(other.max_head_bytes),
            handshake_timeout: self.handshake_timeout.or(other.handshake_timeout),
            head_timeout: self.head_timeout.or(other.head_timeout),
            body_timeout: self.body_timeout.or(other.body_timeout),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            drain_timeout: self.drain_timeout.or(other.drain_timeout),
        }
    }

    /// What the face is allowed to allow.
    pub(crate) fn apply(&self, base: HttpConfig) -> Result<HttpConfig, ConfigError> {
        let per_address = self.max_connections_per_address.or(base.max_connections_per_address);
        if per_address == Some(0) {
            return Err(out_of_bounds("max-connections-per-address", 0, "at least 1"));
        }
        let streams = self.max_streams_per_connection.unwrap_or(base.max_streams_per_connection);
        if streams == 0 {
            return Err(out_of_bounds("max-streams-per-connection", streams, "at least 1"));
        }
        let per_subject = self.max_connections_per_subject.unwrap_or(base.max_connections_per_subject);
        if per_subject == 0 {
            return Err(out_of_bounds("max-connections-per-subject", per_subject, "at least 1"));
        }
        let topics = self.max_topics_per_request.unwrap_or(base.max_topics_per_request);
        if topics == 0 {
            return Err(out_of_bounds("max-topics-per-request", topics, "at least 1"));
        }
        let buffered_bytes = bytes("max-buffered-bytes", self.max_buffered_bytes, base.max_buffered_bytes)?;
        if buffered_bytes < base.max_batch_bytes.max(base.max_event_bytes) {
            let right = "at least as much as the largest event and the largest batch";
            return Err(out_of_bounds("max-buffered-bytes", Size(buffered_bytes as u64), right));
        }
        let head_bytes = bytes("max-head-bytes", self.max_head_bytes, base.max_head_bytes)?;
        let sizes = defaults::MIN_HEAD_BYTES..=defaults::MOST_HEAD_BYTES;
        if !sizes.contains(&head_bytes) {
            let [least, most] = [sizes.start(), sizes.end()].map(|&size| Size(size as u64));
            let right = format!("from {least} to {most}");
            return Err(out_of_bounds("max-head-bytes", Size(head_bytes as u64), right));
        }
        let time = |name, own: Option<Span>, default: Duration| {
            let time = own.map_or(default, |span| span.0);
            within(name, Span(time), &(SHORTEST..=LONGEST)).map(|()| time)
        };
        Ok(HttpConfig {
            max_connections_per_address: per_address,
            max_connections_per_subject: per_subject,
            publish_rate_per_address: self.publish_rate_per_address.unwrap_or(base.publish_rate_per_address),
            publish_rate_per_subject: self.publish_rate_per_subject.unwrap_or(base.publish_rate_per_subject),
            max_topics_per_request: topics,
            max_streams_per_connection: streams,
            max_buffered_bytes: buffered_bytes,
            max_head_bytes: head_bytes,
            handshake_timeout: time("handshake-timeout", self.handshake_timeout, base.handshake_timeout)?,
            head_timeout: time("head-timeout", self.head_timeout, base.head_timeout)?,
            body_timeout: time("body-timeout", self.body_timeout, base.body_timeout)?,
            idle_timeout: time("idle-timeout", self.idle_timeout, base.idle_timeout)?,
            drain_timeout: time("drain-timeout", self.drain_timeout, base.drain_timeout)?,
            ..base
        })
    }
}

/// Less time than this is none.
const SHORTEST: Duration = Duration::from_millis(50);

/// The proxies that are believed, from a list of addresses and networks.
pub(crate) fn trusted_proxies(networks: &[String]) -> Result<TrustedProxies, ConfigError> {
    networks.join(",").parse().map_err(|error| super::value("trusted-proxies", &error))
}
