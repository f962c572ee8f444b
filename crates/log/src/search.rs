//! How far back a log is searched for the last events of a selection (`since=-N`, §3).

/// What a search may still look at.
///
/// Whoever asks for events that are rare, or that there are none of, would have the whole log read. So a search ends
/// after [`Budget::ENTRIES`] entries, [`Budget::BYTES`] bytes or [`Budget::COMPARISONS`], whichever comes first, and
/// reading begins at the place that it has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    entries: usize,
    bytes: u64,
    comparisons: u64,
}

// === impl Budget ===

impl Budget {
    /// How many entries are looked at.
    pub const ENTRIES: usize = 1_000_000;
    /// How many bytes they have.
    pub const BYTES: u64 = 256 << 20;

    /// How many segments of topics are compared with patterns: a fraction of a second's. Only very many long patterns
    /// take as many.
    pub const COMPARISONS: u64 = 20_000_000;

    #[cfg(test)]
    pub(crate) fn new(entries: usize, bytes: u64, comparisons: u64) -> Self {
        Self { entries, bytes, comparisons }
    }

    /// Takes note of an entry that was looked at.
    pub fn spend(&mut self, bytes: u64) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Takes note of comparisons that were made.
    pub fn compare(&mut self, comparisons: u64) {
        self.comparisons = self.comparisons.saturating_sub(comparisons);
    }

    /// Whether nothing more is looked at.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.entries == 0 || self.bytes == 0 || self.comparisons == 0
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { entries: Self::ENTRIES, bytes: Self::BYTES, comparisons: Self::COMPARISONS }
    }
}
