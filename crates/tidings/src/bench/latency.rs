//! How long things took.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A record of durations, to three digits, in a bounded space however many there are.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    nanos: Histogram<u64>,
}

/// What people ask of such a record, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// The longest that is told from a longer one.
const MAX: Duration = Duration::from_secs(3_600);

// === impl Latencies ===

impl Latencies {
    pub(crate) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self { nanos: Histogram::new_with_max(MAX.as_nanos() as u64, 3)? })
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.nanos.saturating_record(nanos);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds, which is all that can fail here.
        _ = self.nanos.add(&other.nanos);
    }

    /// `None` where nothing was recorded.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.nanos.value_at_quantile(quantile) as f64 / 1e6;
        let max = self.nanos.max() as f64 / 1e6;
        (!self.nanos.is_empty()).then(|| Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!(latencies.percentiles(), None);
        for micros in 1..=1_000 {
            latencies.record(micros * 1_000);
        }
        let mut other = Latencies::new().unwrap();
        other.record(u64::MAX);
        let percentiles = latencies.percentiles().unwrap();
        for (value, expected) in [(percentiles.p50, 0.5), (percentiles.p90, 0.9), (percentiles.p99, 0.99)] {
            assert!((value / expected - 1.0).abs() < 0.002, "{value} {expected}");
        }
        latencies.add(&other);
        let max = latencies.percentiles().unwrap().max;
        assert!((max / 3_600_000.0 - 1.0).abs() < 0.002, "{max}");
    }
}
