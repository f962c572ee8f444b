//! Appends by the publisher itself.
//!
//! Where one publisher sends one batch after the other to a fast disk, the way to the thread and back costs as much as
//! half a sync, and there is nobody to share the sync with. So the publisher takes the writer's place for the moment: it
//! holds up the thread that it runs on, but only for a sync that has lately been as short as the two hops. Who finds
//! the place taken, or others waiting, waits with them.
//!
//! The writer's thread has to be waiting for work: what it has taken from the queue comes first, and a log that is being
//! closed refuses under the same lock that this looks behind, so nothing is written after its clean end.

use std::sync::TryLockError;

use super::super::queue::{Answering, Append};
use super::super::{limits, record};
use super::{Handle, Writer};
use crate::append::Numbered;
use crate::{AppendError, Batch, LogUnavailable};

const NO_ANSWER: &str = "its writer gave no answer";

impl Handle {
    /// Appends a batch here and now; gives it back where it should wait for the thread instead.
    pub(crate) fn append(&self, batch: Batch, bytes: usize) -> Result<Result<Numbered, AppendError>, Batch> {
        // The keys of the past may have to be read from the disk first.
        if batch.idempotency.is_some() || bytes > limits::DIRECT_BYTES {
            return Err(batch);
        }
        match self.writer.try_lock() {
            Ok(mut writer) => match &mut *writer {
                Some(writer) if writer.is_free_for(bytes) => Ok(writer.append(batch)),
                _ => Err(batch),
            },
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => Err(batch),
        }
    }
}

impl Writer {
    fn is_free_for(&self, bytes: usize) -> bool {
        // Twice its memory is more than a batch of records; the next segment is begun by the thread.
        let end = self.active.end + 2 * bytes as u64 + record::FENCE_BYTES;
        self.pace.is_alone() && end <= self.active.header.capacity && self.shared.queue.is_idle()
    }

    fn append(&mut self, batch: Batch) -> Result<Numbered, AppendError> {
        let (answer, mut answered) = Answering::new(None);
        self.stage(Append { batch, fingerprint: None, bytes: 0, answer });
        // The failure is in the answer already.
        drop(self.commit());
        self.pace.direct();
        if self.shared.queue.is_empty() {
            self.fence();
        }
        // Whatever is staged is answered by the commit.
        answered.try_recv().unwrap_or_else(|_| Err(LogUnavailable { reason: NO_ANSWER.into() }.into()))
    }
}
