//! What connections are allowed, from the settings.

use std::time::Duration;

use tidings_http::{HttpConfig, TrustedProxies, defaults};

use super::{LONGEST, bytes, out_of_bounds, value, within};
use crate::settings::ConfigError;
use crate::settings::limits::LimitSettings;
use crate::value::{Size, Span};

// === impl LimitSettings ===

impl LimitSettings {
    /// What the API is allowed to allow.
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
            stream_timeout: time("stream-timeout", self.stream_timeout, base.stream_timeout)?,
            idle_timeout: time("idle-timeout", self.idle_timeout, base.idle_timeout)?,
            drain_timeout: time("drain-timeout", self.drain_timeout, base.drain_timeout)?,
            ..base
        })
    }
}

/// Less time than this is none.
const SHORTEST: Duration = Duration::from_millis(50);

/// The proxies that are believed, from a list of addresses and networks.
pub(super) fn trusted_proxies(networks: &[String]) -> Result<TrustedProxies, ConfigError> {
    networks.join(",").parse().map_err(|error| value("trusted-proxies", &error))
}
