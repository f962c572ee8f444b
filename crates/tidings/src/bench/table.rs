//! The report as people read it.

use std::fmt::{self, Display, Formatter};

use super::latency::Percentiles;
use super::report::{Delivery, Disk, Publish, Report, Resources};

/// Writes a report as lines of a name and what there is to say.
pub(crate) struct Table<'a>(pub(crate) &'a Report);

/// A number in groups of three digits.
struct Grouped(f64);

/// A number of bytes in the unit that suits it.
struct Bytes(f64);

const NAME_WIDTH: usize = 13;

// === impl Table ===

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let Report { target, url, mode, transport, subscribers, topics, .. } = report;
        writeln!(f)?;
        line(f, "server", format_args!("{target} at {url}"))?;
        let tls = report.tls.as_deref().unwrap_or("in clear");
        line(f, "speaking", format_args!("{}, {tls}", report.http))?;
        if *subscribers > 0 {
            let connect = report.connect_seconds.unwrap_or_default();
            let what =
                format_args!("{subscribers} by {transport} on {topics} topics, all there in {connect:.2} s");
            line(f, "subscribers", what)?;
            if report.streams_per_connection > 1 {
                line(f, "", format_args!("{} streams on each connection", report.streams_per_connection))?;
            }
        }
        let each = if report.delivery.is_some() { "delivery" } else { "event" };
        if let Some(publish) = &report.publish {
            write_publish(f, report, publish)?;
        }
        if let Some(delivery) = &report.delivery {
            write_delivery(f, delivery, mode)?;
        }
        if let Some(resources) = &report.resources {
            write_resources(f, resources, each)?;
        }
        if let Some(Disk { fdatasync_ms, publish_ratio }) = &report.disk {
            line(f, "disk", format_args!("one fdatasync takes {fdatasync_ms}"))?;
            if let Some(ratio) = publish_ratio {
                line(f, "", format_args!("a publication takes {ratio:.2} of them (median)"))?;
            }
        }
        line(f, "generator", format_args!("{:.0} % of a core", report.generator_load * 100.0))?;
        for message in &report.messages {
            line(f, "fault", format_args!("{message}"))?;
        }
        Ok(())
    }
}

fn write_publish(f: &mut Formatter<'_>, report: &Report, publish: &Publish) -> fmt::Result {
    let Report { publishers, size, .. } = report;
    let rate = match report.rate {
        Some(rate) => format!("at {rate}/s"),
        None => "flat out".to_owned(),
    };
    let (events, seconds) = (Grouped(publish.events as f64), publish.seconds);
    line(
        f,
        "published",
        format_args!("{events} events of {size} bytes by {publishers} {rate} in {seconds:.2} s"),
    )?;
    if let Some(latency) = publish.latency_ms {
        let rate = Grouped(publish.events_per_second);
        line(f, "acknowledged", format_args!("{rate}/s, each after {latency}"))?;
    }
    // A generator that is late measures something else than the rate it was asked for.
    if let Some(delay) = publish.delay_ms.filter(|delay| delay.p99 > LATE_MS) {
        line(f, "late", format_args!("publications left later than the rate asks by {delay}"))?;
    }
    Ok(())
}

fn write_delivery(f: &mut Formatter<'_>, delivery: &Delivery, mode: &str) -> fmt::Result {
    let (deliveries, expected) = (Grouped(delivery.deliveries as f64), Grouped(delivery.expected as f64));
    let (seconds, rate) = (delivery.seconds, Grouped(delivery.deliveries_per_second));
    let what = if mode == "return" { "all caught up in" } else { "in" };
    line(f, "delivered", format_args!("{deliveries} of {expected} {what} {seconds:.2} s: {rate}/s"))?;
    if let Some(latency) = delivery.latency_ms {
        line(f, "latency", format_args!("{latency}"))?;
    }
    let faults = delivery.completeness;
    let (lost, repeated) = (Grouped(faults.lost as f64), Grouped(faults.repeated as f64));
    line(
        f,
        "completeness",
        format_args!(
            "{lost} lost, {repeated} repeated, {} out of order, {} malformed",
            faults.out_of_order, faults.malformed
        ),
    )?;
    if let Some(repeated) = delivery.repeated_polls {
        let share = 100.0 * repeated as f64 / (delivery.deliveries as f64).max(1.0);
        line(
            f,
            "short way",
            format_args!(
                "{} polls known by their bytes, {share:.0} for 100 deliveries",
                Grouped(repeated as f64)
            ),
        )?;
    }
    if let Some(returns) = delivery.returns {
        line(f, "comings", format_args!("{} connections ended and made anew", Grouped(returns as f64)))?;
    }
    let (received, sent) = (delivery.bytes_received_each, delivery.bytes_sent_each);
    let reads = delivery.reads_each;
    line(
        f,
        "on the wire",
        format_args!(
            "{received:.0} bytes for each delivery in {reads:.2} reads, and {sent:.0} to ask for it"
        ),
    )
}

fn write_resources(f: &mut Formatter<'_>, resources: &Resources, each: &str) -> fmt::Result {
    if let (Some(total), Some(user), Some(system)) =
        (resources.cpu_us_each, resources.user_us_each, resources.system_us_each)
    {
        let parts = format_args!("{total:.2} µs for each {each} ({user:.2} user, {system:.2} system)");
        line(f, "server's CPU", parts)?;
    }
    if let Some(each) = resources.opening_cpu_us_each {
        let seconds = resources.opening_cpu_seconds;
        line(f, "", format_args!("{each:.0} µs for each subscriber to open ({seconds:.2} s in all)"))?;
    }
    let memory = &resources.memory;
    let [before, idle, most, served, after] =
        [memory.before, memory.idle, memory.most, memory.served, memory.after]
            .map(|bytes| Bytes(bytes as f64));
    line(
        f,
        "its memory",
        format_args!(
            "{before} before, {idle} with all idle, {most} at most, {served} with all idle again, {after} after"
        ),
    )?;
    if let (Some(each), Some(served)) = (memory.each_subscriber, memory.each_subscriber_served) {
        let (each, served) = (Bytes(each), Bytes(served));
        line(f, "", format_args!("{each} for each idle subscriber, {served} when idle again"))?;
    }
    Ok(())
}

/// What timers and a busy machine make of a schedule is not worth a word.
const LATE_MS: f64 = 5.0;

fn line(f: &mut Formatter<'_>, name: &str, what: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{name:<NAME_WIDTH$} {what}")
}

impl Display for Percentiles {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, max } = self;
        write!(f, "p50 {p50:.2} ms, p90 {p90:.2}, p99 {p99:.2}, max {max:.2}")
    }
}

impl Display for Grouped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = format!("{:.0}", self.0);
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        if bytes.abs() >= 1e6 {
            write!(f, "{:.1} MB", bytes / 1e6)
        } else if bytes.abs() >= 1e3 {
            write!(f, "{:.2} KB", bytes / 1e3)
        } else {
            write!(f, "{bytes:.0} B")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        for (number, text) in [(0.0, "0"), (999.4, "999"), (1_000.0, "1,000"), (1_234_567.0, "1,234,567")] {
            assert_eq!(Grouped(number).to_string(), text);
        }
        for (bytes, text) in [(12.0, "12 B"), (-2_500.0, "-2.50 KB"), (3_000_000.0, "3.0 MB")] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
