use std::sync::Arc;

use tidings_log::{
    AppendError, Appended, Batch, Bounds, BoxFuture, Chunk, Follower, Log, LogUnavailable, MemoryLog,
    Position, ReadError, ReadLimits, Retention, TopicInfo, TopicQuery,
};
use tidings_protocol::{Selection, Sequence, Topic};
use tokio::sync::Semaphore;

/// A log that appends only as often as it is let.
#[derive(Debug)]
pub(crate) struct SlowLog {
    log: MemoryLog,
    lets: Semaphore,
}

// === impl SlowLog ===

impl SlowLog {
    pub(crate) fn new() -> Arc<Self> {
        let log = MemoryLog::new(Retention::default(), std::time::Duration::from_secs(60));
        Arc::new(Self { log, lets: Semaphore::new(0) })
    }

    /// Lets it append once more.
    pub(crate) fn let_append(&self, times: usize) {
        self.lets.add_permits(times);
    }
}

impl Log for SlowLog {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            self.lets.acquire().await.unwrap().forget();
            self.log.append(batch).await
        })
    }

    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>> {
        self.log.read(after, selection, limits)
    }

    fn locate<'a>(
        &'a self,
        position: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>> {
        self.log.locate(position, selection)
    }

    fn topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Option<TopicInfo>, ReadError>> {
        self.log.topic(topic)
    }

    fn topics<'a>(&'a self, query: TopicQuery<'a>) -> BoxFuture<'a, Result<Vec<TopicInfo>, ReadError>> {
        self.log.topics(query)
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Bounds {
        self.log.follow(follower)
    }

    fn ready(&self) -> Result<(), LogUnavailable> {
        self.log.ready()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        self.log.close()
    }
}
