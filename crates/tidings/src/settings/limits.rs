use clap::Args;
use serde::Deserialize;

use crate::value::{Size, Span};

/// `[limits]`: what connections are allowed. Their flags have no prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct LimitSettings {
    /// The most connections at once from one address, or one /64 of IPv6; those of trusted proxies are counted for
    /// their clients [default: 10000, and any number from this machine]
    #[arg(long, env = "TIDINGS_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    #[serde(alias = "max_connections_per_address")]
    pub(super) max_connections_per_address: Option<usize>,

    /// The most readers that wait at once with tokens of one subject [default: 1000]
    #[arg(long, env = "TIDINGS_MAX_CONNECTIONS_PER_SUBJECT", value_name = "NUMBER")]
    #[serde(alias = "max_connections_per_subject")]
    pub(super) max_connections_per_subject: Option<usize>,

    /// How many times a second one address may publish; 0 for no limit [default: 0]
    #[arg(long, env = "TIDINGS_PUBLISH_RATE_PER_ADDRESS", value_name = "NUMBER")]
    #[serde(alias = "publish_rate_per_address")]
    pub(super) publish_rate_per_address: Option<u32>,

    /// How many times a second one subject of tokens may publish; 0 for no limit [default: 0]
    #[arg(long, env = "TIDINGS_PUBLISH_RATE_PER_SUBJECT", value_name = "NUMBER")]
    #[serde(alias = "publish_rate_per_subject")]
    pub(super) publish_rate_per_subject: Option<u32>,

    /// The most topics and patterns that one request reads [default: 100]
    #[arg(long, env = "TIDINGS_MAX_TOPICS_PER_REQUEST", value_name = "NUMBER")]
    #[serde(alias = "max_topics_per_request")]
    pub(super) max_topics_per_request: Option<usize>,

    /// The most requests at once on one HTTP/2 connection [default: 250]
    #[arg(long, env = "TIDINGS_MAX_STREAMS_PER_CONNECTION", value_name = "NUMBER")]
    #[serde(alias = "max_streams_per_connection")]
    pub(super) max_streams_per_connection: Option<u32>,

    /// The most memory for bodies of requests that are under way, and the same again for what readers have not taken;
    /// a client has a quarter of either [default: 256MiB]
    #[arg(long, env = "TIDINGS_MAX_BUFFERED_BYTES", value_name = "SIZE")]
    #[serde(alias = "max_buffered_bytes")]
    pub(super) max_buffered_bytes: Option<Size>,

    /// The largest head of a request [default: 32KiB]
    #[arg(long, env = "TIDINGS_MAX_HEAD_BYTES", value_name = "SIZE")]
    #[serde(alias = "max_head_bytes")]
    pub(super) max_head_bytes: Option<Size>,

    /// How long a connection may take to agree on TLS [default: 10s]
    #[arg(long, env = "TIDINGS_HANDSHAKE_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "handshake_timeout")]
    pub(super) handshake_timeout: Option<Span>,

    /// How long a request's head may take to arrive [default: 10s]
    #[arg(long, env = "TIDINGS_HEAD_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "head_timeout")]
    pub(super) head_timeout: Option<Span>,

    /// How long a request's body may pause, while it brings 1 KiB a second [default: 30s]
    #[arg(long, env = "TIDINGS_BODY_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "body_timeout")]
    pub(super) body_timeout: Option<Span>,

    /// How long the body of a streaming publication may pause [default: 5m]
    #[arg(long, env = "TIDINGS_STREAM_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "stream_timeout")]
    pub(super) stream_timeout: Option<Span>,

    /// How long a connection may be idle between two requests [default: 75s]
    #[arg(long, env = "TIDINGS_IDLE_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "idle_timeout")]
    pub(super) idle_timeout: Option<Span>,

    /// How long connections may take to end when the hub shuts down [default: 4s]
    #[arg(long, env = "TIDINGS_DRAIN_TIMEOUT", value_name = "DURATION")]
    #[serde(alias = "drain_timeout")]
    pub(super) drain_timeout: Option<Span>,
}

// === impl LimitSettings ===

#[cfg(feature = "serve")]
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
            stream_timeout: self.stream_timeout.or(other.stream_timeout),
            idle_timeout: self.idle_timeout.or(other.idle_timeout),
            drain_timeout: self.drain_timeout.or(other.drain_timeout),
        }
    }
}
