//! What readers who are far behind read, and share.
//!
//! Readers that lost the same hub come back to about the same place, each with a selection of its own. So blocks of
//! the log are read whole, of every topic, and kept for a while: the second reader finds what the first one read,
//! and whoever comes while it is being read waits for that.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_protocol::{Epoch, Sequence};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use crate::limits::{BLOCK, ENTRY_BYTES, PATIENCE, READERS, REPLAY_BYTES};
use crate::{Block, Engine, EngineError};

type Cell = Arc<OnceCell<Arc<Block>>>;

pub(crate) struct Replay {
    engine: Arc<dyn Engine>,
    readers: Semaphore,
    kept: Mutex<Kept>,
}

/// Blocks by the place that they begin after.
#[derive(Default)]
struct Kept {
    blocks: BTreeMap<Sequence, Slot>,
    bytes: usize,
    time: u64,
}

struct Slot {
    cell: Cell,
    bytes: usize,
    used: u64,
}

// === impl Replay ===

impl Replay {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, readers: Semaphore::new(READERS), kept: Mutex::default() }
    }

    /// The block that goes on after a place, or begins before it and goes beyond.
    pub(crate) async fn block(&self, epoch: Epoch, after: Sequence) -> Result<Arc<Block>, EngineError> {
        let cell = self.kept().find(epoch, after);
        let block = cell.get_or_try_init(|| self.read(epoch, after)).await?;
        self.kept().settle(after, &cell, block);
        Ok(Arc::clone(block))
    }

    /// The first entry after a place.
    pub(crate) async fn entry(
        &self,
        epoch: Epoch,
        after: Sequence,
    ) -> Result<Option<Arc<tidings_protocol::Event>>, EngineError> {
        let limits = tidings_log::ReadLimits { entries: 1, ..BLOCK };
        let block = self.ask(epoch, after, limits).await?;
        Ok(block.entries.first().cloned())
    }

    pub(crate) fn clear(&self) {
        *self.kept() = Kept::default();
    }

    async fn read(&self, epoch: Epoch, after: Sequence) -> Result<Arc<Block>, EngineError> {
        self.ask(epoch, after, BLOCK).await.map(Arc::new)
    }

    async fn ask(
        &self,
        epoch: Epoch,
        after: Sequence,
        limits: tidings_log::ReadLimits,
    ) -> Result<Block, EngineError> {
        let _permit = self.readers.acquire().await.map_err(EngineError::away)?;
        let read = timeout(PATIENCE, self.engine.read(after, limits)).await;
        let block = read.unwrap_or_else(|_| {
            Err(EngineError::away(format!("a read was not answered within {PATIENCE:?}")))
        })?;
        if block.epoch == epoch { Ok(block) } else { Err(EngineError::Renewed) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept();
        f.debug_struct("Replay")
            .field("blocks", &kept.blocks.len())
            .field("bytes", &kept.bytes)
            .finish_non_exhaustive()
    }
}

// === impl Kept ===

impl Kept {
    /// The block that holds what follows a place, where there is one; else a new one that begins there.
    fn find(&mut self, epoch: Epoch, after: Sequence) -> Cell {
        self.time += 1;
        let near = self.blocks.range_mut(..=after).next_back();
        if let Some((&start, slot)) = near {
            let holds = match slot.cell.get() {
                Some(block) => block.epoch == epoch && (after < block.next || start == after),
                // It is being read.
                None => start == after,
            };
            if holds {
                slot.used = self.time;
                return Arc::clone(&slot.cell);
            }
        }
        let cell = Cell::default();
        let slot = Slot { cell: Arc::clone(&cell), bytes: 0, used: self.time };
        if let Some(old) = self.blocks.insert(after, slot) {
            self.bytes -= old.bytes;
        }
        cell
    }

    /// Counts a block that was read, and makes room. One that ends where the log did is not kept, as it will be
    /// longer soon.
    fn settle(&mut self, after: Sequence, cell: &Cell, block: &Block) {
        let Some((&start, slot)) = self.blocks.range_mut(..=after).next_back() else { return };
        if !Arc::ptr_eq(&slot.cell, cell) || slot.bytes > 0 {
            return;
        }
        if block.next == start {
            self.blocks.remove(&start);
            return;
        }
        slot.bytes = bytes(block);
        self.bytes += slot.bytes;
        while self.bytes > REPLAY_BYTES {
            let oldest =
                self.blocks.iter().filter(|(_, slot)| slot.bytes > 0).min_by_key(|(_, slot)| slot.used);
            let Some(slot) = oldest.map(|(&start, _)| start).and_then(|start| self.blocks.remove(&start))
            else {
                break;
            };
            self.bytes -= slot.bytes;
        }
    }
}

fn bytes(block: &Block) -> usize {
    let entry =
        |event: &Arc<tidings_protocol::Event>| event.data.len() + event.topic.as_str().len() + ENTRY_BYTES;
    block.entries.iter().map(entry).sum::<usize>() + ENTRY_BYTES
}
