use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tidings_log::{
    AppendError, Appended, Batch, Bounds, BoxFuture, Chunk, Follower, Log, LogUnavailable, MemoryLog,
    Position, ReadError, ReadLimits, TopicInfo, TopicQuery,
};
use tidings_protocol::{Lineage, Selection, Sequence, Topic};

/// A log that becomes another one while its hub runs, as one does whose engine has lost some of it.
#[derive(Debug)]
pub(crate) struct RenewableLog {
    state: Mutex<State>,
    /// How often a shard that asks for its bounds shall panic.
    faults: AtomicUsize,
    reads: Mutex<Option<ReadError>>,
}

struct State {
    log: Arc<MemoryLog>,
    lineage: Lineage,
    follower: Option<Arc<dyn Follower>>,
}

// === impl RenewableLog ===

impl RenewableLog {
    pub(crate) fn new(log: MemoryLog) -> Self {
        let lineage = log.bounds().lineage;
        let state = Mutex::new(State { log: Arc::new(log), lineage, follower: None });
        Self { state, faults: AtomicUsize::new(0), reads: Mutex::default() }
    }

    /// Has the threads of parked connections panic so many times, each when it next tells somebody of a gap.
    pub(crate) fn fail_shards(&self, times: usize) {
        self.faults.store(times, Ordering::SeqCst);
    }

    /// Refuses reads, or no more.
    #[allow(dead_code, reason = "the model of a shard has it refuse them")]
    pub(crate) fn refuse_reads(&self, error: Option<ReadError>) {
        *self.reads.lock().unwrap() = error;
    }

    /// Goes on as another log, of which everything up to `common` is as before: nothing, where that is not known.
    pub(crate) fn renew(&self, log: MemoryLog, common: Option<Sequence>) {
        let mut state = self.state.lock().unwrap();
        let present = log.bounds().epoch();
        state.lineage = match common {
            Some(common) => state.lineage.renewed(present, common),
            None => Lineage::of(present),
        };
        state.log = Arc::new(log);
        if let Some(follower) = state.follower.clone() {
            follower.renewed(state.bounds());
            state.log.follow(follower);
        }
    }

    fn log(&self) -> Arc<MemoryLog> {
        Arc::clone(&self.state.lock().unwrap().log)
    }
}

impl State {
    fn bounds(&self) -> Bounds {
        Bounds { lineage: self.lineage.clone(), ..self.log.bounds() }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.log.fmt(f)
    }
}

impl Log for RenewableLog {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let log = self.log();
        Box::pin(async move { log.append(batch).await })
    }

    fn read<'a>(
        &'a self,
        after: Sequence,
        selection: &'a Selection,
        limits: ReadLimits,
    ) -> BoxFuture<'a, Result<Chunk, ReadError>> {
        let (log, refused) = (self.log(), self.reads.lock().unwrap().clone());
        Box::pin(async move {
            if let Some(error) = refused {
                return Err(error);
            }
            log.read(after, selection, limits).await
        })
    }

    fn locate<'a>(
        &'a self,
        place: Position,
        selection: &'a Selection,
    ) -> BoxFuture<'a, Result<Sequence, ReadError>> {
        let log = self.log();
        Box::pin(async move { log.locate(place, selection).await })
    }

    fn topic<'a>(&'a self, topic: &'a Topic) -> BoxFuture<'a, Result<Option<TopicInfo>, ReadError>> {
        let log = self.log();
        Box::pin(async move { log.topic(topic).await })
    }

    fn topics<'a>(&'a self, query: TopicQuery<'a>) -> BoxFuture<'a, Result<Vec<TopicInfo>, ReadError>> {
        let log = self.log();
        Box::pin(async move { log.topics(query).await })
    }

    fn bounds(&self) -> Bounds {
        let is_shard = std::thread::current().name().is_some_and(|name| name.starts_with("tidings-park"));
        let less = |faults: usize| faults.checked_sub(1);
        let fails = is_shard && self.faults.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
        assert!(!fails, "a fault of the test");
        self.state.lock().unwrap().bounds()
    }

    fn follow(&self, follower: Arc<dyn Follower>) -> Bounds {
        let mut state = self.state.lock().unwrap();
        state.follower = Some(Arc::clone(&follower));
        state.log.follow(follower);
        state.bounds()
    }

    fn ready(&self) -> Result<(), LogUnavailable> {
        self.log().ready()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), LogUnavailable>> {
        let log = self.log();
        Box::pin(async move { log.close().await })
    }
}
