//! A log in segment files of its own.

mod bytes;
mod error;
mod files;
mod group;
mod handles;
mod index;
mod index_file;
mod keeper;
mod keys;
mod limits;
mod locate;
mod preallocation;
mod queue;
mod reader;
mod record;
mod recovery;
mod scan;
mod segment;
mod state;
mod table;
mod view;
mod writer;

#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, allow(dead_code, reason = "tests use the rest"))]
#[allow(clippy::unwrap_used, reason = "only tests and fuzz targets come here")]
mod faults;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings_protocol::{Selection, Sequence, Timestamp, Topic};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use self::files::{Files, SystemFiles};
use self::queue::{Answering, Append, Chain, Request};
use self::view::{Clock, DiskState};
use crate::idempotency::Fingerprint;
use crate::{
    AppendError, Appended, Batch, Bounds, BoxFuture, Chunk, Follower, Log, LogStats, LogUnavailable,
    Position, ReadError, ReadLimits, Retention, TopicInfo, TopicQuery, list_in_parts,
};

pub use self::error::OpenError;

/// A log on disk.
///
/// An append resolves when its batch is on the disk; those that wait at the same time share one sync. What was
/// acknowledged survives a crash and a power cut; what is found damaged stops [`open`](DiskLog::open) and is
/// never passed over. Closing marks the end of the log; dropping it closes it too, and waits for that.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use tidings_log::{Batch, DiskConfig, DiskLog, Log};
/// use tidings_protocol::NewEvent;
///
/// let log = DiskLog::open(dir.path(), DiskConfig::default())?;
/// let appended = log.append(Batch::of(NewEvent::text("orders/42".parse()?, "shipped"))).await?;
/// assert_eq!(appended.first, 1);
/// log.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DiskLog {
    shared: Arc<DiskState>,
    readers: Arc<Semaphore>,
    searchers: Arc<Semaphore>,
    writer: writer::Handle,
}

/// What a log on disk goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskConfig {
    /// How much of the past is kept. Whole segments are discarded, each about an eighth of this.
    pub retention: Retention,
    /// How long the repetition of an idempotent batch is known as one.
    pub idempotency_window: Duration,
    /// When a batch is acknowledged.
    pub durability: Durability,
    /// The size of a segment in bytes; by default an eighth of what retention keeps, from 64 KiB to 64 MiB.
    pub segment_bytes: Option<u64>,
}

/// When a batch is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it is on the disk: it survives a power cut.
    #[default]
    Sync,
    /// When the operating system has it: it survives the end of the process, and a power cut may lose it. Readers who had
    /// seen what was lost are told of a gap, and nobody else is.
    Os,
}

// === impl DiskConfig ===

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            idempotency_window: limits::IDEMPOTENCY_WINDOW,
            durability: Durability::default(),
            segment_bytes: None,
        }
    }
}

impl DiskConfig {
    fn segment_bytes(&self) -> u64 {
        let least = segment::HEADER + 2 * record::FENCE_BYTES;
        self.segment_bytes.map_or_else(
            || {
                let share = self.retention.bytes / limits::SEGMENTS_IN_RETENTION;
                share.clamp(limits::SEGMENT_BYTES_MIN, limits::SEGMENT_BYTES_MAX)
            },
            |bytes| bytes.clamp(least, u64::from(u32::MAX)),
        )
    }

    /// The size of a new log's first segment.
    fn first_segment_bytes(&self) -> u64 {
        match self.segment_bytes {
            Some(_) => self.segment_bytes(),
            None => self.segment_bytes().min(limits::SEGMENT_BYTES_FIRST),
        }
    }

    /// The size of the segment after one of `capacity` bytes. It grows only where segments are filled: a quiet log, whose
    /// segments are ended by their age, stays small.
    fn next_segment_bytes(&self, capacity: u64, are_filled: bool) -> u64 {
        let usual = self.segment_bytes();
        match self.segment_bytes {
            None if are_filled => capacity.saturating_mul(2).min(usual),
            None => capacity.min(usual),
            Some(_) => usual,
        }
    }

    fn housekeeping(&self) -> Duration {
        (self.retention.age / 16).clamp(limits::HOUSEKEEPING_MIN, limits::HOUSEKEEPING_MAX)
    }
}

// === impl DiskLog ===

impl DiskLog {
    /// The largest batch, by [`Batch::bytes`].
    pub const BATCH_BYTES: usize = limits::BATCH_BYTES;

    /// Opens the log in `dir`, or begins one where the directory is empty or missing.
    ///
    /// # Errors
    /// [`OpenError`] says what stands in the way. Where that is damage, nothing was changed.
    pub fn open(dir: impl AsRef<Path>, config: DiskConfig) -> Result<Self, OpenError> {
        Self::open_with(
            dir.as_ref(),
            config,
            &(Arc::new(SystemFiles::default()) as Arc<dyn Files>),
            Arc::new(Timestamp::now),
        )
    }

    fn open_with(
        dir: &Path,
        config: DiskConfig,
        files: &Arc<dyn Files>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let opened = recovery::open(dir, config, files, clock)?;
        let shared = Arc::clone(&opened.shared);
        let writer = writer::start(opened).map_err(OpenError::io("start a thread for", dir))?;
        let (readers, searchers) = (limits::READERS, limits::SEARCHERS);
        let (readers, searchers) = (Arc::new(Semaphore::new(readers)), Arc::new(Semaphore::new(searchers)));
        Ok(Self { shared, readers, searchers, writer })
    }

    async fn append_now(&self, batch: Batch) -> Result<Appended, AppendError> {
        let bytes = batch.bytes();
        if bytes > limits::BATCH_BYTES {
            return Err(AppendError::TooLarge { bytes, limit: limits::BATCH_BYTES });
        }
        let batch = match self.writer.append(batch, bytes) {
            Ok(numbered) => return Ok(numbered?.of(&self.shared.lineage)),
            Err(batch) => batch,
        };
        let fingerprint = Fingerprint::of(&batch, self.shared.secret);
        let queue = &self.shared.queue;
        queue.reserve(bytes).await;
        let (answer, answered) = Answering::new(None);
        if let Err(reason) = queue.push(Request::Append(Append { batch, fingerprint, bytes, answer })) {
            queue.release(bytes);
            return Err(reason.into());
        }
        let numbered = answered.await.unwrap_or_else(|_| Err(self.ended().into()))?;
        Ok(numbered.of(&self.shared.lineage))
    }

    /// Appends batches of which each waits for those before it. They are on their way together.
    async fn append_chain(&self, batches: Vec<Batch>) -> Vec<Result<Appended, AppendError>> {
        let chain = Chain::default();
        let mut waiting = VecDeque::with_capacity(batches.len());
        let mut answers = Vec::with_capacity(batches.len());
        for batch in batches {
            let bytes = batch.bytes();
            let (answer, answered) = Answering::new(Some(chain.clone()));
            if bytes > limits::BATCH_BYTES {
                answer.refuse();
                answer.tell(Err(AppendError::TooLarge { bytes, limit: limits::BATCH_BYTES }));
                waiting.push_back(answered);
                break;
            }
            let fingerprint = Fingerprint::of(&batch, self.shared.secret);
            let queue = &self.shared.queue;
            queue.reserve(bytes).await;
            waiting.push_back(answered);
            if queue.push(Request::Append(Append { batch, fingerprint, bytes, answer })).is_err() {
                queue.release(bytes);
                break;
            }
        }
        for answered in waiting {
            let answer = answered.await.unwrap_or_else(|_| Err(self.ended().into()));
            let is_refused = answer.is_err();
            answers.push(answer.map(|numbered| numbered.of(&self.shared.lineage)));
            if is_refused {
                break;
            }
        }
        answers
    }

    fn ended(&self) -> LogUnavailable {
        self.shared
            .queue
            .refused()
            .unwrap_or_else(|| LogUnavailable { reason: "its writer has ended".into() })
    }

    /// Runs a read where it may wait for the disk without holding up other tasks: a read of the log is a
    /// reader that has fallen behind, so the hop costs little, and a cold disk costs the others nothing.
    ///
    /// One that is dropped ends with the step that it is in: no step takes more than some milliseconds.
    async fn reading<T: Send + 'static>(
        &self,
        pool: &Arc<Semaphore>,
        read: impl FnOnce(&DiskState) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = Arc::clone(pool).acquire_owned().await;
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let _permit = permit;
            read(&shared)
        };
        match Handle::try_current() {
            Ok(runtime) => runtime
                .spawn_blocking(work)
                .await
                .unwrap_or_else(|error| Err(ReadError::Unavailable { reason: error.to_string() })),
            Err(_) => work(),
        }
    }

    /// Finds the last events of a selection. Between two steps others have their turn.
    async fn search(&self, count: usize, selection: Selection) -> Result<Sequence, ReadError> {
        let begin =
            move |shared: &DiskState| Box::new(locate::Search::new(shared, count, selection)).step(shared);
        let mut step = self.reading(&self.searchers, begin).await?;
        loop {
            match step {
                locate::Step::Found(sequence) => return Ok(sequence),
                locate::Step::On(search) => {
                    step = self.reading(&self.searchers, move |shared| search.step(shared)).await?;
                }
            }
        }
    }

    /// Does now what retention says, and returns when it is done. The log does this by itself, every ten
    /// seconds or sixteen times within the age that is kept.
    pub async fn tidy(&self) {
        let (done, wait) = oneshot::channel();
        if self.shared.queue.push(Request::Tidy(done)).is_ok() {
            // It is not done only where the writer has ended.
            let _ = wait.await;
        }
    }
}

impl fmt::Debug for DiskLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskLog").field("dir", &self.shared.dir).field("bounds", &self.bounds()).finish()
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        // A poisoned queue refuses; the writer has to end all the same.
        self.shared.queue.push_last(Request::Close(done));
        self.writer.join();
    }
}

impl Log for DiskLog {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(self.append_now(batch))
    }

    fn append_each(&self, batches: Vec<Batch>) -> BoxFuture<'_, Vec<Result<Appended, AppendError>>> {
        Box::pin(self.append_chain(batches))
    }

    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>> {
        Box::pin(async move {
            let (earliest, latest) = self.shared.range();
            if after >= latest && after.saturating_add(1) >= earliest {
                return Ok(Chunk { entries: Vec::new(), next: after });
            }
            let selection = selection.clone();
            self.reading(&self.readers, move |shared| reader::read(shared, after, &selection, limits)).await
        })
    }

    fn locate<'a>(
        &'a self,
        place: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>> {
        Box::pin(async move {
            match place {
                Position::Earliest => Ok(self.shared.range().0.saturating_sub(1)),
                Position::Time(time) => {
                    self.reading(&self.readers, move |shared| locate::before_time(shared, time)).await
                }
                Position::Last(count) => self.search(count, selection.clone()).await,
            }
        })
    }

    fn topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Option<TopicInfo>, ReadError>> {
        Box::pin(async move {
            let earliest = self.shared.range().0;
            let info = self.shared.topics().get(topic.as_str());
            Ok(info.filter(|info| info.latest >= earliest))
        })
    }

    fn topics<'a>(&'a self, query: TopicQuery<'a>) -> BoxFuture<'a, Result<Vec<TopicInfo>, ReadError>> {
        Box::pin(async move {
            let earliest = self.shared.range().0;
            Ok(list_in_parts(query, |part, steps| self.shared.topics().list(part, earliest, steps)).await)
        })
    }

    fn deleted_upto(&self, topic: &Topic) -> Sequence {
        self.shared.topics().deleted_upto(topic.as_str())
    }

    fn topic_count(&self) -> usize {
        self.shared.topics().len()
    }

    fn bounds(&self) -> Bounds {
        self.shared.bounds()
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Bounds {
        let mut slot = self.shared.follower();
        *slot = Some(follower);
        self.shared.bounds()
    }

    fn ready(&self) -> Result<(), LogUnavailable> {
        self.shared.ready()
    }

    fn stats(&self) -> LogStats {
        let view = self.shared.view();
        let keys: u64 = self.shared.keys().iter().map(|keys| keys.bytes()).sum();
        let bytes = view.segments.iter().map(|segment| segment.index().summary().end).sum::<u64>() + keys;
        let newest = view.segments.last().map(|segment| segment.index().summary().time);
        LogStats {
            clock_behind: newest.map(|newest| (self.shared.clock)().until(newest)),
            entries: Some((view.latest + 1).saturating_sub(view.earliest)),
            bytes: Some(bytes),
            segments: Some(view.segments.len() as u64),
            syncs: Some(Arc::clone(&self.shared.syncs)),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        Box::pin(async move {
            let (done, wait) = oneshot::channel();
            self.shared.queue.push_last(Request::Close(done));
            let closed = match wait.await {
                Ok(closed) => closed,
                // Somebody has closed it before.
                Err(_) => self.shared.poisoned().map_or(Ok(()), Err),
            };
            self.writer.join();
            closed
        })
    }
}
