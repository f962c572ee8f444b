//! What a run found, for machines as it stands here and for people as a table.

use serde::Serialize;

use super::latency::Percentiles;
use super::run_state::Faults;
use super::tally::Completeness;

/// The whole account of a run. Parts that the run did not measure are absent.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) target: String,
    pub(crate) url: String,
    pub(crate) mode: &'static str,
    pub(crate) transport: &'static str,
    /// The version of HTTP that is spoken, in the words of ALPN.
    pub(crate) http: &'static str,
    /// The version of TLS and the suite; absent in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<String>,
    pub(crate) streams_per_connection: usize,
    pub(crate) subscribers: usize,
    pub(crate) topics: usize,
    pub(crate) publishers: usize,
    pub(crate) rate: Option<f64>,
    pub(crate) size: usize,
    pub(crate) batch: usize,
    /// How long it took until every subscriber was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publish: Option<Publish>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    /// What the subscribers did from the sign to begin until the last delivery, or for as long as they were held.
    pub(crate) subscribers_traffic: SubscribersTraffic,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<Disk>,
    /// The share of one processor that this program took: near 1 for each thread, it is itself the limit.
    pub(crate) generator_load: f64,
    pub(crate) faults: u64,
    pub(crate) messages: Vec<String>,
}

/// What publishers saw.
#[derive(Debug, Serialize)]
pub(crate) struct Publish {
    pub(crate) events: u64,
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) events_per_second: f64,
    /// From sending to the acknowledgement.
    pub(crate) latency_ms: Option<Percentiles>,
    /// How much later than the rate asks the publications left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<Percentiles>,
}

/// What subscribers saw.
#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    pub(crate) deliveries: u64,
    pub(crate) expected: u64,
    /// From the first publication, or from the return of the subscribers, to the last delivery.
    pub(crate) seconds: f64,
    pub(crate) deliveries_per_second: f64,
    /// From sending to receipt. Absent where events were published before the subscribers came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_ms: Option<Percentiles>,
    /// Held polls that the hub knew by their bytes, without the way through its routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repeated_polls: Option<u64>,
    /// Connections that their subscribers ended, to come back over others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) returns: Option<u64>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_received_each: f64,
    pub(crate) bytes_sent_each: f64,
    /// Reads that brought something. Where each subscriber has a connection, less than 1 tells of events that waited for others, and went
    /// out with them.
    pub(crate) reads_each: f64,
    #[serde(flatten)]
    pub(crate) completeness: Completeness,
}

/// What subscribers have asked, and what went over their wires: HTTP with its heads, and TLS where it is spoken.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SubscribersTraffic {
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    /// Reads that brought something.
    pub(crate) reads: u64,
    /// Connections that were opened in this time, beside those that were there.
    pub(crate) connections: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// How long the threads of the subscribers were on a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_seconds: Option<f64>,
}

/// What the server's process took.
#[derive(Debug, Serialize)]
pub(crate) struct Resources {
    /// From before there was any connection until all were there and at rest.
    pub(crate) opening_cpu_seconds: f64,
    /// Microseconds for each subscriber.
    pub(crate) opening_cpu_us_each: Option<f64>,
    pub(crate) cpu_seconds: f64,
    /// The same by the scheduler's own count, which is exact where the other counts ticks of 10 ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) busy_seconds: Option<f64>,
    /// Microseconds for each delivery, or where there are none, for each event published.
    pub(crate) cpu_us_each: Option<f64>,
    pub(crate) user_us_each: Option<f64>,
    pub(crate) system_us_each: Option<f64>,
    pub(crate) memory: Memory,
}

/// Proportional set sizes of the server's process, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    /// Before there was any connection.
    pub(crate) before: u64,
    /// With all connections, before anything happened.
    pub(crate) idle: u64,
    pub(crate) most: u64,
    /// With all connections, after everything had happened.
    pub(crate) served: u64,
    /// When everyone had gone.
    pub(crate) after: u64,
    /// What each idle connection adds.
    pub(crate) each_connection: Option<f64>,
    /// What each idle subscriber adds.
    pub(crate) each_subscriber: Option<f64>,
    /// What each has added after everything had happened.
    pub(crate) each_subscriber_served: Option<f64>,
}

/// The disk without a server.
#[derive(Debug, Serialize)]
pub(crate) struct Disk {
    pub(crate) fdatasync_ms: Percentiles,
    /// The median publication in median syncs.
    pub(crate) publish_ratio: Option<f64>,
}

// === impl Report ===

impl Report {
    /// Puts down what went wrong beside the deliveries.
    pub(crate) fn blame(&mut self, faults: Faults) {
        self.faults = faults.count;
        self.messages = faults.messages;
    }

    /// What is wrong, if anything is.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let mut wrongs = Vec::new();
        if let Some(delivery) = self.delivery.as_ref().filter(|delivery| !delivery.completeness.is_perfect())
        {
            let Completeness { lost, repeated, out_of_order, malformed } = delivery.completeness;
            wrongs.push(format!(
                "{lost} deliveries lost, {repeated} repeated, {out_of_order} out of order, {malformed} malformed"
            ));
        }
        if self.faults > 0 {
            wrongs.push(format!("{} faults: {}", self.faults, self.messages.join("; ")));
        }
        if wrongs.is_empty() { Ok(()) } else { Err(wrongs.join("; ")) }
    }
}
