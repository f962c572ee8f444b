use std::sync::Arc;

use tidings_protocol::{Cursor, Epoch, Event, GapReason, Lineage, Selector, Sequence, Timestamp};

/// How much a read gives at most. It gives at least one entry where there is one, however large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Entries.
    pub entries: usize,
    /// Bytes of data and topics.
    pub bytes: usize,
}

/// What a read gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The entries, in order.
    pub entries: Vec<Arc<Event>>,
    /// Everything up to and including this is seen.
    pub next: Sequence,
}

/// A place that is not given by a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Before the earliest entry that is kept. [`Bounds`] may be a little behind where others keep the log; where they cannot
    /// be asked, that has to do.
    Earliest,
    /// Before the first entry, of any topic, at or after a moment; the end where there is none.
    Time(Timestamp),
    /// Before the last so many events that [match](tidings_protocol::Selection::matches); before the earliest
    /// entry where there are fewer.
    Last(usize),
}

/// Which log this is, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Which log: the epochs that it has had.
    pub lineage: Lineage,
    /// The first entry that is kept; one more than `latest` where there is none.
    pub earliest: Sequence,
    /// The last entry.
    pub latest: Sequence,
}

// === impl Bounds ===

impl Bounds {
    /// The epoch that events are written in now.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.lineage.present()
    }

    /// The place to go on from after a cursor without a gap.
    ///
    /// # Errors
    /// Why the reader has to be told of a gap (§3.4).
    pub fn resume(&self, cursor: Cursor) -> Result<Sequence, GapReason> {
        self.lineage.resume(cursor, self.earliest, self.latest)
    }
}

/// Which topics are asked for.
#[derive(Debug, Clone, Copy)]
pub struct TopicQuery<'a> {
    /// Only these.
    pub selector: &'a Selector,
    /// Only those after this one, in the order of their bytes.
    pub after: Option<&'a str>,
    /// No more than these.
    pub limit: usize,
}
