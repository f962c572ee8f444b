use std::fmt::{self, Write as _};
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tidings_hub::Hub;
use tidings_protocol::GapReason;

use crate::limit::{Limit, LimitLabels};

/// What the face counts, and how it is told (`GET /metrics`).
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) published: Counter,
    pub(crate) published_bytes: Counter,
    pub(crate) connections: Gauge,
    pub(crate) accepted: Counter,
    pub(crate) slow_closes: Counter,
    limits: Family<LimitLabels, Counter>,
    pub(crate) failed_handshakes: Counter,
    pub(crate) gaps: Family<GapLabels, Counter>,
    readers: Family<TransportLabels, Gauge>,
    delivered: Family<TransportLabels, Counter>,
    delivered_bytes: Family<TransportLabels, Counter>,
    earliest: Gauge<u64, AtomicU64>,
    latest: Gauge<u64, AtomicU64>,
    writable: Gauge,
}

/// How a reader gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Poll,
    LongPoll,
    Stream,
    Lines,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TransportLabels {
    transport: Transport,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct GapLabels {
    reason: &'static str,
}

/// What a transport counts; cheap to count with.
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    events: Counter,
    bytes: Counter,
    readers: Gauge,
}

/// A reader that is counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Reader(Gauge);

impl EncodeLabelValue for Transport {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Poll => "poll",
            Self::LongPoll => "long-poll",
            Self::Stream => "sse",
            Self::Lines => "ndjson",
        })
    }
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tidings");
        let mut own = Self {
            published: Counter::default(),
            published_bytes: Counter::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            slow_closes: Counter::default(),
            limits: Family::default(),
            failed_handshakes: Counter::default(),
            gaps: Family::default(),
            readers: Family::default(),
            delivered: Family::default(),
            delivered_bytes: Family::default(),
            earliest: Gauge::default(),
            latest: Gauge::default(),
            writable: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("published_events", "Events that were appended", own.published.clone());
        registry.register_with_unit(
            "published",
            "Data of the events that were appended",
            Unit::Bytes,
            own.published_bytes.clone(),
        );
        registry.register("connections", "Connections that are open", own.connections.clone());
        registry.register("accepted_connections", "Connections that were taken", own.accepted.clone());
        registry.register("subscribers", "Readers that wait for events, by transport", own.readers.clone());
        registry.register("delivered_events", "Events given to readers, by transport", own.delivered.clone());
        registry.register_with_unit(
            "delivered",
            "Frames given to readers, by transport",
            Unit::Bytes,
            own.delivered_bytes.clone(),
        );
        registry.register("gaps", "Readers that were told of a gap, by reason", own.gaps.clone());
        registry.register("slow_closes", "Connections closed for taking no byte", own.slow_closes.clone());
        registry.register(
            "limits_reached",
            "Times that a limit was in force, by setting",
            own.limits.clone(),
        );
        registry.register(
            "failed_handshakes",
            "Connections that failed to agree on TLS",
            own.failed_handshakes.clone(),
        );
        registry.register("log_earliest", "Sequence number of the earliest entry kept", own.earliest.clone());
        registry.register("log_latest", "Sequence number of the latest entry", own.latest.clone());
        registry.register("log_writable", "1 while the log takes writes", own.writable.clone());
        own.registry = registry;
        own
    }

    pub(crate) fn text(&self, hub: &Hub) -> String {
        let bounds = hub.bounds();
        self.earliest.set(bounds.earliest);
        self.latest.set(bounds.latest);
        self.writable.set(i64::from(hub.ready().is_ok()));
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "failed to write the metrics");
        }
        text
    }

    pub(crate) fn deliveries(&self, transport: Transport) -> Deliveries {
        let labels = TransportLabels { transport };
        Deliveries {
            events: self.delivered.get_or_create(&labels).clone(),
            bytes: self.delivered_bytes.get_or_create(&labels).clone(),
            readers: self.readers.get_or_create(&labels).clone(),
        }
    }

    /// Somebody came up against a limit.
    pub(crate) fn count_limit(&self, limit: Limit) {
        self.limits.get_or_create(&LimitLabels { limit }).inc();
    }

    pub(crate) fn count_gap(&self, reason: GapReason) {
        self.gaps.get_or_create(&GapLabels { reason: reason.as_str() }).inc();
    }
}

// === impl Deliveries ===

impl Deliveries {
    pub(crate) fn count(&self, events: usize, bytes: usize) {
        self.events.inc_by(events as u64);
        self.bytes.inc_by(bytes as u64);
    }

    /// Counts a reader that waits from now on.
    pub(crate) fn arrive(&self) {
        self.readers.inc();
    }

    /// Counts a reader no longer.
    pub(crate) fn leave(&self) {
        self.readers.dec();
    }

    /// Counts a reader until the result is dropped.
    pub(crate) fn reader(&self) -> Reader {
        self.readers.inc();
        Reader(self.readers.clone())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.dec();
    }
}
