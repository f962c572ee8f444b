use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidings_engine::{EngineError, Fed, Feed};
use tidings_log::BoxFuture;
use tidings_protocol::{Epoch, Sequence};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::limits::{FED, POLL, SILENCE};
use crate::read::Reader;
use crate::session::Hints;

/// What comes into the log: read when Postgres notifies of it, and every so often in any case.
pub(crate) struct PostgresFeed {
    reader: Reader,
    hints: Arc<Hints>,
    epoch: Epoch,
    after: Sequence,
    /// What this hub has followed, for those who write.
    seen: Arc<AtomicU64>,
    /// Moves what applications publish into the log. It ends only where it fails.
    moving: AbortOnDropHandle<EngineError>,
}

// === impl PostgresFeed ===

impl PostgresFeed {
    pub(crate) fn new(
        reader: Reader,
        hints: Arc<Hints>,
        epoch: Epoch,
        after: Sequence,
        seen: Arc<AtomicU64>,
        moving: AbortOnDropHandle<EngineError>,
    ) -> Self {
        Self { reader, hints, epoch, after, seen, moving }
    }

    async fn next_now(&mut self) -> Result<Fed, EngineError> {
        let begun = Instant::now();
        loop {
            let block = self.reader.block(self.after, FED).await?;
            if block.epoch != self.epoch {
                return Err(EngineError::Renewed);
            }
            if self.after.saturating_add(1) < block.earliest {
                return Err(EngineError::away("entries were discarded before this hub had read them"));
            }
            if block.next > self.after || begun.elapsed() >= SILENCE {
                self.after = block.next;
                self.seen.fetch_max(self.after, Ordering::AcqRel);
                return Ok(Fed { entries: block.entries, next: block.next });
            }
            tokio::select! {
                _ = timeout(POLL, self.hints.log.notified()) => {}
                ended = &mut self.moving => return Err(ended.unwrap_or_else(EngineError::away)),
            }
        }
    }
}

impl Feed for PostgresFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Fed, EngineError>> {
        Box::pin(self.next_now())
    }
}
