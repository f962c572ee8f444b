//! What is not counted here but asked for: the figures of the hub, its log, and the process.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tidings_hub::{Hub, NotReady, StreamStats};

use super::process::Process;
use super::timings::Timings;

/// The figures of a moment.
#[derive(Debug)]
pub(super) struct Figures {
    hub: Hub,
    dropped_log_lines: u64,
    process: Option<Process>,
}

/// Writes one after the other.
struct Writer<'a>(DescriptorEncoder<'a>);

// === impl Figures ===

impl Figures {
    pub(super) fn of(hub: Hub, dropped_log_lines: u64) -> Self {
        let process = Process::own()
            .inspect_err(|error| tracing::debug!(%error, "failed to find what the process takes"));
        Self { hub, dropped_log_lines, process: process.ok() }
    }

    fn write_hub(&self, out: &mut Writer<'_>) -> fmt::Result {
        let (bounds, stats) = (self.hub.bounds(), self.hub.stats());
        let writable = u64::from(!matches!(self.hub.ready(), Err(NotReady::Log(_))));
        out.gauge("tidings_log_earliest", "Sequence number of the earliest entry kept", bounds.earliest)?;
        out.gauge("tidings_log_latest", "Sequence number of the latest entry", bounds.latest)?;
        out.gauge("tidings_log_writable", "1 while the log takes writes", writable)?;
        if let Some(entries) = stats.log.entries {
            out.gauge("tidings_log_entries", "Entries that the log keeps", entries)?;
        }
        if let Some(bytes) = stats.log.bytes {
            out.bytes("tidings_log", "What the log keeps, as retention counts it", bytes)?;
        }
        if let Some(segments) = stats.log.segments {
            out.gauge("tidings_log_segments", "Files that the log is in", segments)?;
        }
        if let Some(behind) = stats.log.clock_behind {
            let help = "How far the clock is behind the newest entry: more than zero where it was once ahead";
            let behind = ConstGauge::new(behind.as_secs_f64());
            out.write("tidings_log_clock_behind", help, Some(&Unit::Seconds), &behind)?;
        }
        if let Some(syncs) = stats.log.syncs {
            let help = "Time that commits of the log wait for the disk";
            out.write("tidings_log_sync", help, Some(&Unit::Seconds), &Timings::from(syncs))?;
        }
        out.gauge("tidings_tail_entries", "Entries in memory", stats.tail_entries)?;
        out.gauge("tidings_log_topics", "Topics that the log keeps in memory", stats.topics)?;
        out.bytes("tidings_tail", "Memory for the newest entries that is taken", stats.tail_bytes)?;
        out.counter("tidings_tail_hits", "Reads that were answered from memory", stats.tail_hits)?;
        out.counter("tidings_tail_misses", "Reads that went to the log", stats.tail_misses)?;
        let StreamStats { under_way, items, ends } = stats.streams;
        out.gauge("tidings_publishing_streams", "Streaming publications that are under way", under_way)?;
        let help = "Items of streaming publications that were appended, or were there already";
        out.counter("tidings_stream_items", help, items)?;
        let ends = ends.into_iter().map(|(end, count)| (end.as_str(), count));
        out.counters("tidings_stream_ends", "Streaming publications that have ended, by how", "reason", ends)
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Writer(encoder);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let one = ConstGauge::new(1_u64);
        let help = "1; the version of the hub is a label";
        let mut info = out.0.encode_descriptor("tidings_build_info", help, None, one.metric_type())?;
        one.encode(info.encode_family(&version)?)?;
        self.write_hub(&mut out)?;
        let help = "Lines of the program's own log that could not be written";
        out.counter("tidings_log_lines_dropped", help, self.dropped_log_lines)?;
        let Some(process) = &self.process else { return Ok(()) };
        out.gauge("process_open_fds", "Open files of the process", process.open_files)?;
        if let Some(most) = process.max_files {
            out.gauge("process_max_fds", "The most files that the process may open", most)?;
        }
        out.bytes("process_resident_memory", "Memory of the process", process.memory)?;
        let cpu = ConstCounter::new(process.cpu);
        out.write("process_cpu", "Time on processors", Some(&Unit::Seconds), &cpu)?;
        let start = ConstGauge::new(process.start);
        let help = "When the process began, since 1970";
        out.write("process_start_time", help, Some(&Unit::Seconds), &start)
    }
}

// === impl Writer ===

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.write(name, help, None, &ConstGauge::new(value))
    }

    fn bytes(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.write(name, help, Some(&Unit::Bytes), &ConstGauge::new(value))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.write(name, help, None, &ConstCounter::new(value))
    }

    /// A counter for each value of a label.
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, count) in values {
            ConstCounter::new(count).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        metric: &impl EncodeMetric,
    ) -> fmt::Result {
        metric.encode(self.0.encode_descriptor(name, help, unit, metric.metric_type())?)
    }
}
