use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tidings_log::{
    AppendError, Appended, Batch, Bounds, BoxFuture, Chunk, Follower, Log, LogUnavailable, MemoryLog,
    Position, ReadError, ReadLimits, TopicInfo, TopicQuery,
};
use tidings_protocol::{Selection, Sequence, Topic};
use tokio::sync::watch;

/// A log that fails when it is told to.
#[derive(Debug)]
pub(crate) struct FaultyLog {
    log: MemoryLog,
    append: Mutex<Option<AppendError>>,
    read: Mutex<Option<ReadError>>,
    withheld: watch::Sender<bool>,
    panics: AtomicBool,
}

// === impl FaultyLog ===

impl FaultyLog {
    pub(crate) fn new(log: MemoryLog) -> Self {
        Self {
            log,
            append: Mutex::default(),
            read: Mutex::default(),
            withheld: watch::Sender::new(false),
            panics: AtomicBool::new(false),
        }
    }

    pub(crate) fn refuse_appends(&self, error: Option<AppendError>) {
        *self.append.lock().unwrap() = error;
    }

    pub(crate) fn refuse_reads(&self, error: Option<ReadError>) {
        *self.read.lock().unwrap() = error;
    }

    /// Leaves reads without an answer, or answers them.
    pub(crate) fn withhold_reads(&self, withheld: bool) {
        self.withheld.send_replace(withheld);
    }

    /// Has reads panic, or no more.
    pub(crate) fn panic_reads(&self, panics: bool) {
        self.panics.store(panics, Ordering::SeqCst);
    }

    fn readable(&self) -> Result<(), ReadError> {
        self.read.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Log for FaultyLog {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let refused = self.append.lock().unwrap().clone();
        match refused {
            Some(error) => Box::pin(async { Err(error) }),
            None => self.log.append(batch),
        }
    }

    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>> {
        Box::pin(async move {
            self.withheld.subscribe().wait_for(|withheld| !withheld).await.unwrap();
            assert!(!self.panics.load(Ordering::SeqCst), "a fault of the test");
            self.readable()?;
            self.log.read(after, selection, limits).await
        })
    }

    fn locate<'a>(
        &'a self,
        place: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>> {
        Box::pin(async move {
            // The earliest entry can always be told, as far as it is known.
            if place != Position::Earliest {
                self.readable()?;
            }
            self.log.locate(place, selection).await
        })
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
        match &*self.append.lock().unwrap() {
            Some(AppendError::Unavailable(reason)) => Err(reason.clone()),
            _ => self.log.ready(),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        self.log.close()
    }
}
