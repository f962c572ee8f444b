use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long things took, in buckets. Recording is a few atomic additions, from any thread.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what is above all of them.
    counts: [AtomicU64; Histogram::BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// What a [`Histogram`] has recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSnapshot {
    /// How many were recorded.
    pub count: u64,
    /// What all of them took, in seconds.
    pub sum: f64,
    /// The upper bound of each bucket, in seconds, and how many are in it and in none before it.
    pub buckets: Vec<(f64, u64)>,
}

// === impl Histogram ===

impl Histogram {
    /// The upper bounds of the buckets, in seconds, from a quarter of a millisecond to ten seconds.
    pub const BOUNDS: [f64; 15] =
        [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    /// Records that so many things took so long each.
    pub fn record(&self, took: Duration, times: u64) {
        let seconds = took.as_secs_f64();
        let bucket = Self::BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(times, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).saturating_mul(times);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was recorded so far.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let bounds = Self::BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        HistogramSnapshot {
            count: buckets.iter().map(|(_, count)| count).sum(),
            sum: self.micros.load(Ordering::Relaxed) as f64 / 1e6,
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_bucket_that_ends_at_or_above_it() {
        let histogram = Histogram::default();
        histogram.record(Duration::ZERO, 1);
        histogram.record(Duration::from_millis(1), 3);
        histogram.record(Duration::from_secs(60), 1);
        let snapshot = histogram.snapshot();
        let filled: Vec<_> = snapshot.buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.000_25, 1), (0.001, 3), (f64::INFINITY, 1)]);
        assert_eq!((snapshot.count, snapshot.sum), (5, 60.003));
    }
}
