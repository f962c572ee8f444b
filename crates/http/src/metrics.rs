//! What the API counts, and how it is told (`GET /metrics`).

mod figures;
mod labels;
mod process;
mod text;
mod timings;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::response::Response;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};
use tidings_hub::Hub;
use tidings_log::Histogram;
use tidings_protocol::{GapReason, ProblemKind, Timestamp};

use self::figures::Figures;
use self::labels::{CloseLabels, LimitLabels, ProtocolLabels, ReasonLabels, StatusLabels, TransportLabels};
use self::timings::Timings;
use crate::api::relay::{RelayLabels, RelayedLabels};
use crate::limit::Limit;

pub(crate) use self::labels::{Speaks, Transport};
pub(crate) use self::text::Format;

/// What the API counts.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) published: Counter,
    pub(crate) published_bytes: Counter,
    pub(crate) deleted_topics: Counter,
    publish_time: Timings,
    pub(crate) connections: Gauge,
    pub(crate) accepted: Counter,
    speaking: Family<ProtocolLabels, Gauge>,
    pub(crate) failed_handshakes: Counter,
    pub(crate) slow_closes: Counter,
    limits: Family<LimitLabels, Counter>,
    responses: Family<StatusLabels, Counter>,
    refusals: Family<ReasonLabels, Counter>,
    gaps: Family<ReasonLabels, Counter>,
    readers: Family<TransportLabels, Gauge>,
    reconnects: Family<TransportLabels, Counter>,
    /// Held polls that took the short way.
    pub(crate) repeated_polls: Counter,
    /// Pages that advised a stream.
    pub(crate) advised_polls: Counter,
    /// Streams of HTTP/2 that came to wait, since the beginning.
    pub(crate) waiting_streams: AtomicU64,
    /// System calls that sent something on connections of HTTP/2.
    pub(crate) http2_writes: Counter,
    websockets: Gauge,
    /// Messages that clients of WebSockets sent.
    pub(crate) websocket_messages: Counter,
    /// Publications among them that were acknowledged.
    pub(crate) websocket_publications: Counter,
    websocket_closes: Family<CloseLabels, Counter>,
    delivered: Family<TransportLabels, Counter>,
    delivered_bytes: Family<TransportLabels, Counter>,
    delivery_time: Family<TransportLabels, Timings>,
    /// Requests to relays.
    pub(crate) relayed: Family<RelayedLabels, Counter>,
    pub(crate) relay_runs: Family<RelayLabels, Gauge>,
}

/// The families of metrics, as they are put together.
struct Families(Registry);

/// What a transport counts; cheap to count with.
#[derive(Debug, Clone)]
pub(crate) struct Deliveries {
    events: Counter,
    bytes: Counter,
    time: Arc<Histogram>,
    readers: Gauge,
    reconnects: Counter,
}

/// Something that is counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

/// The codes that WebSockets are closed with, as they are counted.
const CLOSE_CODES: [u16; 15] = [
    1_000, 1_001, 1_002, 1_003, OTHER_CODE, 1_006, 1_007, 1_008, 1_009, 1_011, 1_013, 4_401, 4_403, 4_408,
    4_429,
];
/// Closed without a code, or with another one.
const OTHER_CODE: u16 = 1_005;

// === impl Families ===

impl Families {
    /// A metric that begins at nothing. Counters are told with `_total` after their name.
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    /// A metric whose unit follows its name.
    fn add_in<M: Metric + Clone + Default>(&mut self, unit: Unit, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut all = Families(Registry::with_prefix("tidings"));
        let own = Self {
            published: all.add("published_events", "Events that were appended"),
            published_bytes: all.add_in(Unit::Bytes, "published", "Data of the events that were appended"),
            deleted_topics: all.add("deleted_topics", "Topics that were deleted"),
            publish_time: all.add_in(
                Unit::Seconds,
                "publish",
                "Time from a publication that has arrived whole to its acknowledgement",
            ),
            connections: all.add("connections", "Connections that are open"),
            accepted: all.add("accepted_connections", "Connections that were taken"),
            speaking: all.add("protocol_connections", "Connections that are open, by what they speak"),
            failed_handshakes: all.add("failed_handshakes", "Connections that failed to agree on TLS"),
            slow_closes: all.add("slow_closes", "Connections closed for taking no byte"),
            limits: all.add("limits_reached", "Times that a limit was in force, by setting"),
            responses: all.add("responses", "Responses, by status"),
            refusals: all.add("refusals", "Requests that were refused, by the name of the problem"),
            gaps: all.add("gaps", "Readers that were told of a gap, by reason"),
            readers: all.add("subscribers", "Readers that wait for events, by transport"),
            reconnects: all.add("reconnects", "Streams and polls that came with a cursor, by transport"),
            repeated_polls: all.add(
                "repeated_polls",
                "Held polls that were known by their bytes, and held again without the way through the routes",
            ),
            advised_polls: all.add("advised_polls", "Polls whose page advised its reader to take a stream"),
            http2_writes: all.add(
                "http2_writes",
                "Writes to connections of HTTP/2, each of all that its streams had to send at the time",
            ),
            websockets: all.add("websockets", "WebSockets that are open"),
            websocket_messages: all.add("websocket_messages", "Messages that clients of WebSockets sent"),
            websocket_publications: all.add(
                "websocket_publications",
                "Publications by WebSocket that were acknowledged",
            ),
            websocket_closes: all.add("websocket_closes", "WebSockets that were closed, by code"),
            delivered: all.add("delivered_events", "Events given to readers, by transport"),
            delivered_bytes: all.add_in(Unit::Bytes, "delivered", "Frames given to readers, by transport"),
            delivery_time: all.add_in(
                Unit::Seconds,
                "delivery",
                "Age of new events when they are written to readers that wait, by transport",
            ),
            relayed: all.add("relayed_requests", "Requests to relays, by what became of them"),
            relay_runs: all.add("relay_runs", "Answers of relays' endpoints that are under way"),
            waiting_streams: AtomicU64::new(0),
            registry: all.0,
        };
        own.begin();
        own
    }

    /// Makes every counter that is known to come be there from the beginning, at nothing: what appears later would
    /// seem not to have grown.
    fn begin(&self) {
        for reason in [GapReason::Expired, GapReason::Unknown, GapReason::Ahead] {
            drop(self.gaps.get_or_create(&ReasonLabels { reason: reason.as_str() }));
        }
        for kind in ProblemKind::ALL {
            drop(self.refusals.get_or_create(&ReasonLabels { reason: kind.name() }));
        }
        for limit in Limit::ALL {
            drop(self.limits.get_or_create(&LimitLabels { limit }));
        }
        for transport in Transport::ALL {
            drop(self.deliveries(transport));
        }
        for code in CLOSE_CODES {
            drop(self.websocket_closes.get_or_create(&CloseLabels { code: code.into() }));
        }
    }

    /// All metrics, with the figures of the hub and of the process.
    pub(crate) fn text(&self, hub: &Hub, dropped_log_lines: u64, format: Format) -> String {
        let mut figures = Registry::default();
        figures.register_collector(Box::new(Figures::of(hub.clone(), dropped_log_lines)));
        format.write(&[&self.registry, &figures]).unwrap_or_else(|error| {
            tracing::error!(%error, "failed to write the metrics");
            String::new()
        })
    }

    pub(crate) fn deliveries(&self, transport: Transport) -> Deliveries {
        let labels = TransportLabels { transport };
        Deliveries {
            events: self.delivered.get_or_create(&labels).clone(),
            bytes: self.delivered_bytes.get_or_create(&labels).clone(),
            time: self.delivery_time.get_or_create(&labels).histogram(),
            readers: self.readers.get_or_create(&labels).clone(),
            reconnects: self.reconnects.get_or_create(&labels).clone(),
        }
    }

    /// How long publications take.
    pub(crate) fn publish_time(&self) -> &Histogram {
        &self.publish_time
    }

    /// Counts a connection as one that speaks a protocol, until the result is dropped.
    pub(crate) fn speaking(&self, speaks: Speaks) -> Counted {
        Counted::new(self.speaking.get_or_create(&speaks.into()).clone())
    }

    /// Counts a WebSocket as open, until the result is dropped.
    pub(crate) fn open_websocket(&self) -> Counted {
        Counted::new(self.websockets.clone())
    }

    /// A WebSocket was closed with a code, by either side. Those that clients make up are one.
    pub(crate) fn count_websocket_close(&self, code: u16) {
        let code = if CLOSE_CODES.contains(&code) { code } else { OTHER_CODE };
        self.websocket_closes.get_or_create(&CloseLabels { code: code.into() }).inc();
    }

    /// Something was refused, by the name of the problem.
    pub(crate) fn count_refusal(&self, kind: ProblemKind) {
        self.refusals.get_or_create(&ReasonLabels { reason: kind.name() }).inc();
    }

    /// Somebody came up against a limit.
    pub(crate) fn count_limit(&self, limit: Limit) {
        self.limits.get_or_create(&LimitLabels { limit }).inc();
    }

    #[cfg(test)]
    pub(crate) fn limit(&self, limit: Limit) -> u64 {
        self.limits.get_or_create(&LimitLabels { limit }).get()
    }

    pub(crate) fn count_gap(&self, reason: GapReason) {
        self.gaps.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
    }

    /// Counts an answer, and where it is a refusal, which.
    pub(crate) fn count_response(&self, response: &Response) {
        self.responses(response.status().as_u16()).inc();
        if let Some(kind) = response.extensions().get::<ProblemKind>() {
            self.count_refusal(*kind);
        }
    }

    /// The counter of answers with a status.
    pub(crate) fn responses(&self, status: u16) -> Counter {
        self.responses.get_or_create(&StatusLabels { status: status.into() }).clone()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

// === impl Deliveries ===

impl Deliveries {
    pub(crate) fn count(&self, events: usize, bytes: usize) {
        self.events.inc_by(events as u64);
        self.bytes.inc_by(bytes as u64);
    }

    /// Takes note of how old events are that have just been written to readers who waited for them. `oldest` is the
    /// time of the first of them: the clock is read once for all.
    pub(crate) fn time(&self, oldest: Option<Timestamp>, events: usize) {
        if let (Some(oldest), 1..) = (oldest, events) {
            self.time.record(oldest.elapsed(), events as u64);
        }
    }

    /// Counts a reader that waits from now on.
    pub(crate) fn arrive(&self) {
        self.readers.inc();
    }

    /// Counts a reader no longer.
    pub(crate) fn leave(&self) {
        self.readers.dec();
    }

    /// Counts a reader that came with a cursor.
    pub(crate) fn reconnect(&self) {
        self.reconnects.inc();
    }
}

// === impl Counted ===

impl Counted {
    pub(crate) fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
