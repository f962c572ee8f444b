use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};
use tidings_log::Histogram;

/// A histogram as a metric. The library's own takes a lock, and one value at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Timings(Arc<Histogram>);

// === impl Timings ===

impl Timings {
    pub(super) fn histogram(&self) -> Arc<Histogram> {
        Arc::clone(&self.0)
    }
}

impl From<Arc<Histogram>> for Timings {
    fn from(histogram: Arc<Histogram>) -> Self {
        Self(histogram)
    }
}

impl Deref for Timings {
    type Target = Histogram;

    fn deref(&self) -> &Histogram {
        &self.0
    }
}

impl TypedMetric for Timings {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Timings {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.snapshot();
        encoder.encode_histogram::<NoLabelSet>(snapshot.sum, snapshot.count, &snapshot.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
