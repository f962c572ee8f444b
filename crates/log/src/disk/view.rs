//! What the threads of a log share, and what readers see of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tidings_protocol::{Lineage, Sequence, Timestamp};

use super::DiskConfig;
use super::files::Files;
use super::handles::Handles;
use super::keys::Keys;
use super::queue::Queue;
use super::segment::Segment;
use crate::{Bounds, Follower, Histogram, LogUnavailable, TopicTable};

/// Tells the time; tests have their own.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the threads of a log share.
pub(crate) struct DiskState {
    pub(crate) dir: PathBuf,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) clock: Clock,
    pub(crate) config: DiskConfig,
    pub(crate) lineage: Lineage,
    pub(crate) log: u64,
    pub(crate) secret: [u8; 16],
    pub(crate) handles: Arc<Handles>,
    pub(crate) queue: Queue,
    /// Held while a group becomes visible and is given to the follower, so that a follower misses nothing and
    /// gets nothing twice.
    pub(crate) follower: Mutex<Option<Arc<dyn Follower>>>,
    view: RwLock<View>,
    topics: RwLock<TopicTable>,
    /// Of sealed segments, oldest first.
    pub(crate) keys: Mutex<Vec<Arc<Keys>>>,
    /// How long commits wait for the disk.
    pub(crate) syncs: Arc<Histogram>,
    full: Mutex<Option<String>>,
    poisoned: OnceLock<LogUnavailable>,
    prepared: AtomicU64,
}

/// What readers see. A reader takes a copy and needs no lock while it reads.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) earliest: Sequence,
    pub(crate) latest: Sequence,
    /// Oldest first; the last one is written to.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
}

// === impl DiskState ===

impl DiskState {
    #[expect(clippy::too_many_arguments, reason = "one place puts the log together")]
    pub(crate) fn new(
        dir: PathBuf,
        files: Arc<dyn Files>,
        clock: Clock,
        config: DiskConfig,
        (lineage, log, secret): (Lineage, u64, [u8; 16]),
        handles: Arc<Handles>,
        (view, topics): (View, TopicTable),
        keys: Vec<Arc<Keys>>,
    ) -> Self {
        Self {
            dir,
            files,
            clock,
            config,
            lineage,
            log,
            secret,
            handles,
            queue: Queue::new(),
            follower: Mutex::new(None),
            view: RwLock::new(view),
            topics: RwLock::new(topics),
            keys: Mutex::new(keys),
            syncs: Arc::default(),
            full: Mutex::new(None),
            poisoned: OnceLock::new(),
            prepared: AtomicU64::new(0),
        }
    }

    pub(crate) fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first and the last sequence number.
    pub(crate) fn range(&self) -> (Sequence, Sequence) {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        (view.earliest, view.latest)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let (earliest, latest) = self.range();
        Bounds { lineage: self.lineage.clone(), earliest, latest }
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn topics(&self) -> RwLockReadGuard<'_, TopicTable> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn topics_mut(&self) -> RwLockWriteGuard<'_, TopicTable> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn follower(&self) -> MutexGuard<'_, Option<Arc<dyn Follower>>> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn keys(&self) -> MutexGuard<'_, Vec<Arc<Keys>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the next segment is prepared. Each has a name of its own: while the writer begins one, the keeper
    /// may prepare another.
    pub(crate) fn preparation(&self) -> PathBuf {
        self.dir.join(format!("{}.new", self.prepared.fetch_add(1, Ordering::Relaxed)))
    }

    /// Says that there is no room for the next segment, or that there is. The log says it once, when it changes.
    pub(crate) fn set_full(&self, reason: Option<String>) {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*full, &reason) {
            (None, Some(reason)) => tracing::error!(
                dir = %self.dir.display(),
                %reason,
                "the log is full: publications are refused until there is room for its next segment"
            ),
            (Some(_), None) => tracing::info!("there is room for the log again"),
            _ => {}
        }
        *full = reason;
    }

    pub(crate) fn full(&self) -> Option<String> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends all writing until a restart.
    pub(crate) fn set_poisoned(&self, reason: LogUnavailable) {
        let reason = self.poisoned.get_or_init(|| reason);
        self.queue.refuse(reason.clone());
    }

    pub(crate) fn poisoned(&self) -> Option<LogUnavailable> {
        self.poisoned.get().cloned()
    }

    pub(crate) fn ready(&self) -> Result<(), LogUnavailable> {
        self.queue.refused().map_or(Ok(()), Err)?;
        self.full().map_or(Ok(()), |reason| Err(LogUnavailable { reason: format!("it is full: {reason}") }))
    }
}

impl std::fmt::Debug for DiskState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (earliest, latest) = self.range();
        f.debug_struct("DiskState")
            .field("dir", &self.dir)
            .field("lineage", &self.lineage)
            .field("earliest", &earliest)
            .field("latest", &latest)
            .finish_non_exhaustive()
    }
}
