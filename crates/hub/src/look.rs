//! A look at what follows a reader's place, in memory or in the log, folded as the reader asks for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidings_log::ReadError;
use tidings_protocol::{Epoch, Lineage, Selection, Sequence};
use tokio::task::yield_now;

use crate::folding::Fold;
use crate::{Conflate, Entry, Hub, PullLimits, Recent};

/// What a reader looks for behind its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// How what is found is folded, where it is.
    pub conflate: Option<Conflate>,
    /// Only what comes up to and including this. With the same end, the same is found again, for as long as the log has it.
    pub until: Option<Sequence>,
    /// How much is given at most.
    pub limits: PullLimits,
}

/// What a look found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The entries, and how far they lead.
    pub recent: Recent,
    /// Where the look ended, which may be further than it leads where its limits cut it off.
    pub until: Sequence,
}

/// Looks at memory that a fold takes before it is work for a task.
const LOOKS: usize = 8;
/// How long a fold may take. What it has found until then is given.
const FOLDING: Duration = Duration::from_secs(10);

/// A look that is under way.
struct Looking<'a> {
    look: Look,
    selection: &'a Selection,
    fold: Fold,
    lineage: Lineage,
    next: Sequence,
    /// The end of the log when the look began, or where it is to end.
    end: Sequence,
}

// === impl Look ===

impl Look {
    /// Looks for whatever there is.
    #[must_use]
    pub fn new(conflate: Option<Conflate>, limits: PullLimits) -> Self {
        Self { conflate, until: None, limits }
    }
}

// === impl Found ===

impl Found {
    fn plain(recent: Recent) -> Self {
        Self { until: recent.next, recent }
    }

    /// Whether more was found than the limits let through.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.recent.next < self.until
    }
}

// === impl Looking ===

impl<'a> Looking<'a> {
    fn new(hub: &Hub, after: Sequence, selection: &'a Selection, look: Look) -> Self {
        let end = hub.end();
        Self {
            look,
            selection,
            fold: Fold::new(look.conflate),
            lineage: end.lineage,
            next: after,
            end: look.until.unwrap_or(end.latest),
        }
    }

    fn wants(&self) -> PullLimits {
        self.fold.wants(self.look.limits)
    }

    /// Takes what comes next. Says whether that is enough.
    fn take(&mut self, recent: Recent) -> bool {
        let end = self.look.until.unwrap_or(Sequence::MAX);
        for entry in recent.entries {
            if entry.event().sequence <= end {
                self.fold.push(entry, self.selection);
            }
        }
        (self.lineage, self.next) = (recent.lineage, recent.next.min(end));
        self.is_enough()
    }

    fn is_enough(&self) -> bool {
        self.next >= self.end || self.fold.is_full(self.look.limits)
    }

    fn finish(self) -> Found {
        let Self { look, fold, lineage, next: until, .. } = self;
        let (entries, is_all) = fold.finish(look.limits);
        let last = entries.last().map(|entry: &Arc<Entry>| entry.event().sequence);
        let next = last.filter(|_| !is_all).unwrap_or(until);
        Found { recent: Recent { lineage, entries, next }, until }
    }
}

// === impl Hub ===

impl Hub {
    /// What concerns a selection after a place, folded, from memory; `None` where memory does not reach back so far, or where
    /// there is so much to fold that it is work for a task. What is found is of [`Recent::lineage`], whichever the place was of.
    #[must_use]
    pub fn recent_folded(&self, after: Sequence, selection: &Selection, look: Look) -> Option<Found> {
        if look.conflate.is_none() {
            return self.recent_of(after, selection, look.limits).map(Found::plain);
        }
        let mut looking = Looking::new(self, after, selection, look);
        for _ in 0..LOOKS {
            let recent =
                self.shared().with_tail(|tail| tail.read(looking.next, selection, looking.wants()))?;
            if recent.lineage != looking.lineage {
                return Some(Found::plain(Recent { entries: Vec::new(), next: after, ..recent }));
            }
            if looking.take(recent) {
                self.shared().hits.fetch_add(1, Ordering::Relaxed);
                return Some(looking.finish());
            }
        }
        None
    }

    /// What concerns a selection after a place, folded, from memory and from the log. `epoch` is the present one as far as the
    /// reader knows, as for [`read`](Self::read).
    ///
    /// # Errors
    /// [`ReadError`] where the log cannot be read, or no longer has all that followed.
    pub async fn read_folded(
        &self,
        epoch: Epoch,
        after: Sequence,
        selection: &Selection,
        look: Look,
    ) -> Result<Found, ReadError> {
        if look.conflate.is_none() {
            return self.read(epoch, after, selection, look.limits).await.map(Found::plain);
        }
        let begun = Instant::now();
        let mut looking = Looking::new(self, after, selection, look);
        loop {
            let recent = match self.read(epoch, looking.next, selection, looking.wants()).await {
                // What is found is told before the gap is.
                Err(ReadError::Expired { .. }) if looking.next > after => return Ok(looking.finish()),
                read => read?,
            };
            if recent.epoch() != epoch {
                return Ok(Found::plain(Recent { entries: Vec::new(), next: after, ..recent }));
            }
            if looking.take(recent) || begun.elapsed() > FOLDING {
                return Ok(looking.finish());
            }
            yield_now().await;
        }
    }
}
