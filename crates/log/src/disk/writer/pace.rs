use std::time::Duration;

use super::super::limits;

/// Whether there is one publisher, who then may write for itself.
///
/// Nobody can see who is about to publish. But where others do, they share a round sooner or later: a publisher counts
/// as alone after some rounds of one batch each, and has to show it again after so many that it wrote for itself.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Rounds of one batch, one after the other.
    lone: u32,
    /// How many batches a publisher may still write for itself.
    left: u32,
    /// What the last sync took.
    sync: Duration,
    /// Whether others waited when it was done.
    company: bool,
}

// === impl Pace ===

impl Pace {
    /// A sync has taken so long.
    pub(super) fn synced(&mut self, took: Duration) {
        self.sync = took;
    }

    /// Others wait while a batch is about to be answered, or not.
    pub(super) fn look(&mut self, company: bool) {
        self.company = company;
    }

    /// The thread has written so many batches together.
    pub(super) fn round(&mut self, batches: usize) {
        if batches > 1 || self.company || self.sync > limits::DIRECT_SYNC {
            self.lone = 0;
            return;
        }
        self.lone += 1;
        if self.lone >= limits::LONE_ROUNDS {
            self.lone = limits::LONE_ROUNDS / 2;
            self.left = limits::DIRECT_RUN;
        }
    }

    /// A publisher has written a batch for itself.
    pub(super) fn direct(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.company || self.sync > limits::DIRECT_SYNC {
            (self.lone, self.left) = (0, 0);
        }
    }

    /// Whether a publisher may write for itself.
    pub(super) fn is_alone(&self) -> bool {
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone() -> Pace {
        let mut pace = Pace::default();
        (0..limits::LONE_ROUNDS).for_each(|_| pace.round(1));
        assert!(pace.is_alone());
        pace
    }

    #[test]
    fn who_is_alone_shows_it_again_and_again() {
        let mut pace = alone();
        (0..limits::DIRECT_RUN).for_each(|_| pace.direct());
        assert!(!pace.is_alone());
        (0..limits::LONE_ROUNDS / 2).for_each(|_| {
            assert!(!pace.is_alone());
            pace.round(1);
        });
        assert!(pace.is_alone());
    }

    #[test]
    fn company_ends_it() {
        let mut pace = alone();
        pace.look(true);
        pace.direct();
        assert!(!pace.is_alone());
        (0..2 * limits::LONE_ROUNDS).for_each(|_| pace.round(1));
        assert!(!pace.is_alone());
        pace.look(false);
        (0..2 * limits::LONE_ROUNDS).for_each(|round| pace.round(1 + round as usize % 2));
        assert!(!pace.is_alone());
    }

    #[test]
    fn a_slow_disk_ends_it() {
        let mut pace = alone();
        pace.synced(limits::DIRECT_SYNC * 2);
        pace.direct();
        assert!(!pace.is_alone());
        (0..2 * limits::LONE_ROUNDS).for_each(|_| pace.round(1));
        assert!(!pace.is_alone());
        pace.synced(Duration::ZERO);
        (0..limits::LONE_ROUNDS).for_each(|_| pace.round(1));
        assert!(pace.is_alone());
    }
}
