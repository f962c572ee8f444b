//! What readers who are far behind read, and share.
//!
//! Readers that lost the same hub come back to about the same place, each with a selection of its own. So blocks of
//! the log are read whole, of every topic, and kept for a while: the second reader finds what the first one read,
//! and whoever comes while it is being read waits for that.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_protocol::{Epoch, Sequence};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use crate::limits::{BLOCK, ENTRY_BYTES, PATIENCE, READERS, REPLAY_BYTES, SEARCHERS};
use crate::{Block, Engine, EngineError};

/// What a read comes to, for everybody who waits for it.
type Cell = Arc<OnceCell<Result<Arc<Block>, EngineError>>>;

pub(crate) struct Replay {
    engine: Arc<dyn Engine>,
    readers: Semaphore,
    searchers: Semaphore,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Blocks by the place that they begin after.
    blocks: BTreeMap<Sequence, Slot>,
    /// What is being read now.
    reading: HashMap<(Epoch, Sequence), Cell>,
    bytes: usize,
    time: u64,
}

struct Slot {
    block: Arc<Block>,
    bytes: usize,
    used: u64,
}

/// Somebody who waits for what is being read.
struct ReadWaiter<'a> {
    replay: &'a Replay,
    place: (Epoch, Sequence),
    cell: Cell,
}

// === impl Replay ===

impl Replay {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        let (readers, searchers) = (Semaphore::new(READERS), Semaphore::new(SEARCHERS));
        Self { engine, readers, searchers, kept: Mutex::default() }
    }

    /// The block that goes on after a place, or begins before it and goes beyond.
    pub(crate) async fn block(&self, epoch: Epoch, after: Sequence) -> Result<Arc<Block>, EngineError> {
        let cell = {
            let mut kept = self.kept();
            if let Some(block) = kept.find(epoch, after) {
                return Ok(block);
            }
            Arc::clone(kept.reading.entry((epoch, after)).or_default())
        };
        let waiting = ReadWaiter { replay: self, place: (epoch, after), cell };
        waiting.cell.get_or_init(|| self.read(epoch, after)).await.clone()
    }

    /// As [`block`](Replay::block), for somebody who will want many.
    pub(crate) async fn search(&self, epoch: Epoch, after: Sequence) -> Result<Arc<Block>, EngineError> {
        let _turn = self.searchers.acquire().await.map_err(EngineError::away)?;
        self.block(epoch, after).await
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
            .field("reading", &kept.reading.len())
            .field("bytes", &kept.bytes)
            .finish_non_exhaustive()
    }
}

// === impl ReadWaiter ===

impl Drop for ReadWaiter<'_> {
    /// Also where the read failed, or its reader has left: whoever is the last takes it out.
    fn drop(&mut self) {
        let mut kept = self.replay.kept();
        // Given up here, where nobody else counts.
        let cell = std::mem::take(&mut self.cell);
        if !kept.reading.get(&self.place).is_some_and(|own| Arc::ptr_eq(own, &cell)) {
            return;
        }
        // This one, and the map's.
        let is_last = Arc::strong_count(&cell) <= 2;
        if cell.initialized() || is_last {
            kept.reading.remove(&self.place);
        }
        if let Some(Ok(block)) = cell.get() {
            kept.keep(self.place.1, block);
        }
    }
}

// === impl Kept ===

impl Kept {
    /// The block that holds what follows a place, where there is one.
    fn find(&mut self, epoch: Epoch, after: Sequence) -> Option<Arc<Block>> {
        self.time += 1;
        let (_, slot) = self.blocks.range_mut(..=after).next_back()?;
        if slot.block.epoch != epoch || slot.block.next <= after {
            return None;
        }
        slot.used = self.time;
        Some(Arc::clone(&slot.block))
    }

    /// Keeps a block that was read, and makes room. One in which nothing follows is not kept, as something may soon.
    fn keep(&mut self, start: Sequence, block: &Arc<Block>) {
        if block.next <= start {
            return;
        }
        let slot = Slot { block: Arc::clone(block), bytes: bytes(block), used: self.time };
        self.bytes += slot.bytes;
        if let Some(old) = self.blocks.insert(start, slot) {
            self.bytes -= old.bytes;
        }
        while self.bytes > REPLAY_BYTES {
            let oldest = self.blocks.iter().min_by_key(|(_, slot)| slot.used).map(|(&start, _)| start);
            let Some(slot) = oldest.and_then(|start| self.blocks.remove(&start)) else { break };
            self.bytes -= slot.bytes;
        }
    }
}

fn bytes(block: &Block) -> usize {
    let entry =
        |event: &Arc<tidings_protocol::Event>| event.data.len() + event.topic.as_str().len() + ENTRY_BYTES;
    block.entries.iter().map(entry).sum::<usize>() + ENTRY_BYTES
}
