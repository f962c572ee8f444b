//! What a hub's streams of items have come to.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a hub's streams of items have come to.
#[derive(Debug, Default)]
pub(crate) struct ProducerCounts {
    under_way: AtomicU64,
    items: AtomicU64,
    ends: [AtomicU64; StreamEnd::ALL.len()],
}

/// What a hub's streams of items have come to, so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// How many are under way.
    pub under_way: u64,
    /// How many items were appended, or were there already.
    pub items: u64,
    /// How many have ended in each way.
    pub ends: Vec<(StreamEnd, u64)>,
}

/// How a stream of items has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamEnd {
    /// With its last item.
    Complete,
    /// It broke off.
    Aborted,
    /// Somebody else had ended its topic.
    Stopped,
    /// The log refused an item.
    Refused,
    /// The hub shut down.
    Suspended,
}

// === impl StreamEnd ===

impl StreamEnd {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Complete, Self::Aborted, Self::Stopped, Self::Refused, Self::Suspended];

    /// The name, as metrics have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Stopped => "stopped",
            Self::Refused => "refused",
            Self::Suspended => "suspended",
        }
    }
}

// === impl ProducerCounts ===

impl ProducerCounts {
    /// A stream is under way.
    pub(super) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// Items were appended, or were there.
    pub(super) fn add(&self, items: u32) {
        self.items.fetch_add(u64::from(items), Ordering::Relaxed);
    }

    /// A stream is under way no longer.
    pub(super) fn end(&self, end: StreamEnd) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let known = StreamEnd::ALL.iter().zip(&self.ends).find(|(own, _)| **own == end);
        if let Some((_, count)) = known {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self) -> StreamStats {
        let ends = StreamEnd::ALL.into_iter().zip(&self.ends);
        StreamStats {
            under_way: self.under_way.load(Ordering::Relaxed),
            items: self.items.load(Ordering::Relaxed),
            ends: ends.map(|(end, count)| (end, count.load(Ordering::Relaxed))).collect(),
        }
    }
}
