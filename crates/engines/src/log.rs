use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tidings_log::{
    AppendError, Appended, Batch, Bounds, BoxFuture, Chunk, Follower, Log, LogUnavailable, Note, Position,
    ReadError, ReadLimits, TopicInfo, TopicQuery, list_in_parts,
};
use tidings_protocol::{Cursor, Selection, Sequence, Topic};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::awaiting::{Answer, Publisher};
use crate::backoff::Backoff;
use crate::engine_state::EngineState;
use crate::limits::{BATCH_BYTES, CLOSE_TIMEOUT, PATIENCE, QUEUE_BYTES, STEPS_AT_ONCE, STREAM};
use crate::writing::Append;
use crate::{Block, Engine, EngineConfig, EngineError, following, locate, writing};

/// A log that an [`Engine`] keeps.
///
/// A batch is acknowledged when the engine has it, as durably as it promises, and this hub's follower has seen it,
/// so that whoever was told finds the event. While the engine is away, appends are refused at once, and readers
/// wait. Dropping it ends its tasks.
pub struct EngineLog {
    shared: Arc<EngineState>,
    queue: Mutex<Option<UnboundedSender<Append>>>,
    room: Arc<Semaphore>,
    tasks: Mutex<Option<(JoinHandle<()>, JoinHandle<()>)>>,
}

// === impl EngineLog ===

impl EngineLog {
    /// Opens the log that an engine keeps, or begins one. Waits for an engine that is away, and says each time what
    /// it waits for.
    ///
    /// # Errors
    /// [`EngineError::Refused`], where waiting would be of no use.
    pub async fn open(
        engine: Arc<dyn Engine>,
        config: EngineConfig,
        mut waiting: impl FnMut(&EngineError),
    ) -> Result<Self, EngineError> {
        let mut backoff = Backoff::new();
        loop {
            match engine.attach(None).await {
                Ok(attached) => {
                    let shared = Arc::new(EngineState::new(engine, config, &attached));
                    following::prove(&shared).await;
                    let (queue, batches) = unbounded_channel();
                    let follows = tokio::spawn(following::run(Arc::clone(&shared), attached));
                    let writes = tokio::spawn(writing::run(Arc::clone(&shared), batches));
                    return Ok(Self {
                        shared,
                        queue: Mutex::new(Some(queue)),
                        room: Arc::new(Semaphore::new(QUEUE_BYTES)),
                        tasks: Mutex::new(Some((follows, writes))),
                    });
                }
                Err(error @ EngineError::Refused { .. }) => return Err(error),
                Err(error) => waiting(&error),
            }
            sleep(backoff.pause()).await;
        }
    }

    async fn append_now(&self, batch: Batch) -> Result<Appended, AppendError> {
        let bytes = batch.bytes();
        if bytes > BATCH_BYTES {
            return Err(AppendError::TooLarge { bytes, limit: BATCH_BYTES });
        }
        self.shared.takes_appends()?;
        let share = u32::try_from(bytes).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.room).acquire_many_owned(share).await;
        let share = share.map_err(|_| self.shared.unavailable())?;
        let (answer, answered) = oneshot::channel();
        self.send(Append::One { batch, publisher: Publisher { answer, share } })?;
        let appended = answered.await.unwrap_or_else(|_| Err(self.shared.unavailable().into()))?;
        // What is repeated may have been written in an epoch before.
        Ok(Appended { epoch: self.shared.bounds().lineage.epoch_of(appended.first), ..appended })
    }

    fn send(&self, append: Append) -> Result<(), LogUnavailable> {
        let sent = match &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.send(append).is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(LogUnavailable { reason: "it was closed".into() }) }
    }

    /// Appends batches of which each waits for those before it, and which are written together.
    async fn append_chain(&self, batches: Vec<Batch>) -> Vec<Result<Appended, AppendError>> {
        let (mut chain, mut waiting) = (Vec::with_capacity(batches.len()), Vec::with_capacity(batches.len()));
        let (mut refused, mut bytes) = (None, 0);
        for batch in batches {
            let size = batch.bytes();
            if size > BATCH_BYTES {
                refused = Some(AppendError::TooLarge { bytes: size, limit: BATCH_BYTES });
                break;
            }
            bytes += size;
            let (answer, answered) = oneshot::channel();
            chain.push((batch, answer));
            waiting.push(answered);
        }
        let mut answers = Vec::with_capacity(chain.len() + 1);
        if let Err(error) = self.queue_chain(chain, bytes).await {
            return vec![Err(error)];
        }
        for answered in waiting {
            let answer = answered.await.unwrap_or_else(|_| Err(self.shared.unavailable().into()));
            let epoch_of = |first| self.shared.bounds().lineage.epoch_of(first);
            let is_refused = answer.is_err();
            answers.push(answer.map(|appended| Appended { epoch: epoch_of(appended.first), ..appended }));
            if is_refused {
                return answers;
            }
        }
        answers.extend(refused.map(Err));
        answers
    }

    async fn queue_chain(&self, chain: Vec<(Batch, Answer)>, bytes: usize) -> Result<(), AppendError> {
        if chain.is_empty() {
            return Ok(());
        }
        self.shared.takes_appends()?;
        let share = u32::try_from(bytes.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.room).acquire_many_owned(share).await;
        let mut share = share.map_err(|_| self.shared.unavailable())?;
        let chain = chain.into_iter().map(|(batch, answer)| {
            let own = share.split(batch.bytes().min(share.num_permits()));
            own.map(|share| (batch, Publisher { answer, share }))
        });
        let (batches, publishers) = chain.flatten().unzip();
        Ok(self.send(Append::Chain { batches, publishers })?)
    }

    async fn read_now(
        &self,
        after: Sequence,
        selection: &Selection,
        limits: ReadLimits,
    ) -> Result<Chunk, ReadError> {
        let Bounds { lineage, earliest, latest } = self.shared.bounds();
        let epoch = lineage.present();
        if after.saturating_add(1) < earliest {
            return Err(ReadError::Expired { after, earliest });
        }
        if after >= latest {
            return Ok(Chunk { entries: Vec::new(), next: after });
        }
        if !self.shared.may_concern(after, selection) {
            return Ok(Chunk { entries: Vec::new(), next: latest });
        }
        let block = self.shared.replay.block(epoch, after).await;
        let block = block.map_err(|error| self.shared.unreadable(&error))?;
        // The engine or another hub may have discarded what this one has not heard of.
        if after.saturating_add(1) < block.earliest {
            self.shared.trimmed(epoch, block.earliest);
        }
        // What was discarded before the read is not in it, and what was discarded since does no harm.
        let earliest = self.shared.bounds().earliest;
        if after.saturating_add(1) < earliest {
            return Err(ReadError::Expired { after, earliest });
        }
        let mut chunk = pick(&block, after, latest, selection, limits);
        self.shared.retain_readable(&mut chunk.entries);
        Ok(chunk)
    }

    /// Waits for the engine, but not for ever.
    async fn ask<T>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, LogUnavailable> {
        let unavailable = |reason| LogUnavailable { reason };
        match timeout(PATIENCE, asked).await {
            Ok(answer) => answer.map_err(|error| unavailable(format!("failed to {what}: {error}"))),
            Err(_) => Err(unavailable(format!("failed to {what}: no answer within {PATIENCE:?}"))),
        }
    }

    async fn finish(&self) -> Result<(), LogUnavailable> {
        self.shared.shut();
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((follows, writes)) = tasks else { return Ok(()) };
        let finished = async {
            drop(writes.await);
            loop {
                let told = self.shared.told.notified();
                if self.shared.is_idle() {
                    return;
                }
                told.await;
            }
        };
        let in_time = timeout(CLOSE_TIMEOUT, finished).await;
        self.shared.ended.cancel();
        drop(follows.await);
        in_time
            .map_err(|_| LogUnavailable { reason: "it did not finish in time what it had accepted".into() })
    }
}

/// What of a block concerns a reader.
fn pick(
    block: &Block,
    after: Sequence,
    latest: Sequence,
    selection: &Selection,
    limits: ReadLimits,
) -> Chunk {
    let mut chunk = Chunk { entries: Vec::new(), next: after };
    let (mut bytes, mut steps) = (0, 0);
    let from = block.entries.partition_point(|entry| entry.sequence <= after);
    for entry in block.entries.iter().skip(from).take_while(|entry| entry.sequence <= latest) {
        if steps >= STEPS_AT_ONCE {
            return chunk;
        }
        if selection.concerns_counting(entry, &mut steps) {
            bytes += entry.data.len() + entry.topic.as_str().len();
            let full = chunk.entries.len() >= limits.entries || bytes > limits.bytes;
            if full && !chunk.entries.is_empty() {
                return chunk;
            }
            chunk.entries.push(Arc::clone(entry));
        }
        chunk.next = entry.sequence;
    }
    chunk.next = block.next.min(latest).max(chunk.next);
    chunk
}

impl fmt::Debug for EngineLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EngineLog").field(&self.shared).finish()
    }
}

impl Drop for EngineLog {
    fn drop(&mut self) {
        self.shared.ended.cancel();
    }
}

impl Log for EngineLog {
    fn append_each(&self, batches: Vec<Batch>) -> BoxFuture<'_, Vec<Result<Appended, AppendError>>> {
        Box::pin(self.append_chain(batches))
    }

    fn stream_limits(&self) -> ReadLimits {
        STREAM
    }

    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.append_now(batch))
    }

    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>> {
        Box::pin(self.read_now(after, selection, limits))
    }

    fn locate<'a>(
        &'a self,
        place: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>> {
        Box::pin(locate::locate(&self.shared, place, selection))
    }

    fn topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Option<TopicInfo>, ReadError>> {
        Box::pin(async move { Ok(self.shared.topic(topic)) })
    }

    fn topics<'a>(&'a self, query: TopicQuery<'a>) -> BoxFuture<'a, Result<Vec<TopicInfo>, ReadError>> {
        Box::pin(async move { Ok(list_in_parts(query, |part, steps| self.shared.topics(part, steps)).await) })
    }

    fn deleted_upto(&self, topic: &Topic) -> Sequence {
        self.shared.deleted_upto(topic)
    }

    fn topic_count(&self) -> usize {
        self.shared.topic_count()
    }

    fn bounds(&self) -> Bounds {
        self.shared.bounds()
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Bounds {
        self.shared.follow(follower)
    }

    fn reaches(&self, cursor: Cursor) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.reaches(cursor))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn put_notes(&self, notes: Vec<Note>) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        Box::pin(self.ask("keep notes of hubs", self.shared.engine.put_notes(notes)))
    }

    fn notes(&self) -> BoxFuture<'_, Result<Vec<Note>, LogUnavailable>> {
        Box::pin(self.ask("read the notes of hubs", self.shared.engine.notes()))
    }

    fn ready(&self) -> Result<(), LogUnavailable> {
        self.shared.ready()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        Box::pin(self.finish())
    }
}
