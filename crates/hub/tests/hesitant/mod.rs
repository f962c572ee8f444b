//! A log that answers, but never at once.

use std::sync::Arc;

use tidings_log::{
    AppendError, Appended, Batch, Bounds, BoxFuture, Chunk, Follower, Log, LogUnavailable, MemoryLog,
    Position, ReadError, ReadLimits, TopicInfo, TopicQuery,
};
use tidings_protocol::{Selection, Sequence, Topic};
use tokio::task::yield_now;

/// A log in memory whose readers have to be asked again before they answer, and once more after they have read.
#[derive(Debug)]
pub(crate) struct HesitantLog(MemoryLog);

impl HesitantLog {
    pub(crate) fn new(log: MemoryLog) -> Self {
        Self(log)
    }
}

impl Log for HesitantLog {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.0.append(batch)
    }

    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>> {
        Box::pin(async move {
            yield_now().await;
            let chunk = self.0.read(after, selection, limits).await;
            yield_now().await;
            chunk
        })
    }

    fn locate<'a>(
        &'a self,
        place: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>> {
        self.0.locate(place, selection)
    }

    fn topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Option<TopicInfo>, ReadError>> {
        self.0.topic(topic)
    }

    fn topics<'a>(&'a self, query: TopicQuery<'a>) -> BoxFuture<'a, Result<Vec<TopicInfo>, ReadError>> {
        self.0.topics(query)
    }

    fn bounds(&self) -> Bounds {
        self.0.bounds()
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Bounds {
        self.0.follow(follower)
    }

    fn ready(&self) -> Result<(), LogUnavailable> {
        self.0.ready()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        self.0.close()
    }
}
