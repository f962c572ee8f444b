use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_engine::{Attached, BatchResult, Block, Engine, EngineConfig, EngineError, Fed, Feed, Seen};
use tidings_log::{
    Batch, BoxFuture, Log, LogUnavailable, MemoryLog, Note, ReadError, ReadLimits, Retention, TopicQuery,
    conformance,
};
use tidings_protocol::{Epoch, Selection, Selector, Sequence};
use tokio::sync::watch;
use tokio::time::timeout;

/// An engine in memory.
#[derive(Clone)]
pub(crate) struct Shelf(Arc<State>);

struct State {
    log: Mutex<Arc<MemoryLog>>,
    /// Changes whenever something is written.
    written: watch::Sender<()>,
    away: AtomicBool,
    /// Whether writes are refused.
    refusing: AtomicBool,
    /// Whether the feed panics when it is woken, once.
    panicking: AtomicBool,
    /// Whether reads are left without an answer.
    silent: AtomicBool,
    /// Whether answers to writes are held back, as on a slow way.
    holding: watch::Sender<bool>,
    /// Whether the connection was closed.
    severed: AtomicBool,
    /// How often it was attached to.
    attached: AtomicUsize,
    /// How many reads come to a node that is behind.
    behind: AtomicUsize,
    reads: AtomicUsize,
    notes: Mutex<BTreeMap<String, String>>,
}

struct ShelfFeed {
    shelf: Shelf,
    written: watch::Receiver<()>,
    epoch: Epoch,
    after: Sequence,
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig { retention: Retention::default(), idempotency_window: conformance::WINDOW }
}

fn empty() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(config().retention, config().idempotency_window))
}

// === impl Shelf ===

impl Shelf {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            log: Mutex::new(empty()),
            written: watch::Sender::new(()),
            away: AtomicBool::new(false),
            refusing: AtomicBool::new(false),
            panicking: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            holding: watch::Sender::new(false),
            severed: AtomicBool::new(false),
            attached: AtomicUsize::new(0),
            behind: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            notes: Mutex::default(),
        }))
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
        self.0.written.send_replace(());
    }

    /// Holds answers to writes back, or lets them go.
    pub(crate) fn set_holding(&self, holding: bool) {
        self.0.holding.send_replace(holding);
    }

    /// Closes the connection that writes go over.
    pub(crate) fn sever(&self) {
        self.0.severed.store(true, Ordering::SeqCst);
    }

    /// How often it was attached to.
    pub(crate) fn attached(&self) -> usize {
        self.0.attached.load(Ordering::SeqCst)
    }

    /// Takes no writes, and goes on to be read and followed.
    pub(crate) fn set_refusing(&self, refusing: bool) {
        self.0.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Lets the feed panic.
    pub(crate) fn panic(&self) {
        self.0.panicking.store(true, Ordering::SeqCst);
        self.0.written.send_replace(());
    }

    /// Leaves reads without an answer.
    pub(crate) fn set_silent(&self, silent: bool) {
        self.0.silent.store(silent, Ordering::SeqCst);
    }

    /// Lets so many reads come to a node that is behind: one half of them finds the first entries, and the other nothing.
    pub(crate) fn set_behind(&self, reads: usize) {
        self.0.behind.store(reads, Ordering::SeqCst);
    }

    /// Forgets everything but the first `kept` entries, as a replica does that was behind when it took over.
    pub(crate) async fn lose_all_but(&self, kept: usize) {
        let old = self.log();
        let new = empty();
        let limits = ReadLimits { entries: kept.max(1), bytes: usize::MAX };
        for event in old.read(0, &Selection::all(), limits).await.unwrap().entries.iter().take(kept) {
            let event = tidings_protocol::NewEvent::restored(
                event.topic.clone(),
                event.event_type.clone(),
                event.format,
                event.data.clone(),
            );
            new.append(Batch::of(event)).await.unwrap();
        }
        *self.0.log.lock().unwrap() = new;
    }

    /// Whether nothing was written yet.
    pub(crate) async fn log_is_empty(&self) -> bool {
        self.log().bounds().latest == 0
    }

    /// How many reads there have been.
    pub(crate) fn reads(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    fn log(&self) -> Arc<MemoryLog> {
        Arc::clone(&self.0.log.lock().unwrap())
    }

    fn present(&self) -> Result<(), EngineError> {
        if self.0.away.load(Ordering::SeqCst) { Err(EngineError::away("switched off")) } else { Ok(()) }
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl Engine for Shelf {
    fn name(&self) -> &'static str {
        "The shelf"
    }

    fn put_notes(&self, new: Vec<Note>) -> BoxFuture<'_, Result<(), EngineError>> {
        let mut notes = self.0.notes.lock().unwrap();
        for Note { name, text } in new {
            if text.is_empty() {
                notes.remove(&name);
            } else {
                notes.insert(name, text);
            }
        }
        Box::pin(std::future::ready(self.present()))
    }

    fn notes(&self) -> BoxFuture<'_, Result<Vec<Note>, EngineError>> {
        let notes = self.0.notes.lock().unwrap();
        let all = notes.iter().map(|(name, text)| Note { name: name.clone(), text: text.clone() }).collect();
        Box::pin(std::future::ready(self.present().map(|()| all)))
    }

    fn attach<'a>(&'a self, seen: Option<&'a Seen>) -> BoxFuture<'a, Result<Attached, EngineError>> {
        Box::pin(async move {
            self.present()?;
            let log = self.log();
            let bounds = log.bounds();
            let same = seen.filter(|seen| seen.cursor.epoch == bounds.epoch());
            let query = TopicQuery { selector: &Selector::all(), after: None, limit: usize::MAX };
            let topics = if same.is_some() { Vec::new() } else { log.topics(query).await.unwrap() };
            let feed = ShelfFeed {
                shelf: self.clone(),
                written: self.0.written.subscribe(),
                epoch: bounds.epoch(),
                after: same.map_or(bounds.latest, |seen| seen.cursor.sequence),
            };
            self.0.severed.store(false, Ordering::SeqCst);
            self.0.attached.fetch_add(1, Ordering::SeqCst);
            let all = ReadLimits { entries: usize::MAX, bytes: usize::MAX };
            let entries = log.read(bounds.earliest - 1, &Selection::all(), all).await.unwrap().entries;
            let deletions = entries.iter().filter(|entry| entry.deletes());
            let deletions = deletions.map(|entry| (entry.topic.clone(), entry.sequence)).collect();
            Ok(Attached { bounds, topics, deletions, feed: Box::new(feed) })
        })
    }

    fn is_severed(&self) -> bool {
        self.0.severed.load(Ordering::SeqCst)
    }

    fn write(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(async move {
            self.present()?;
            if self.is_severed() {
                return Err(EngineError::away("the connection is closed"));
            }
            if let Err(error) = self.check().await {
                let reason = LogUnavailable { reason: error.to_string() };
                return Ok(vec![Err(reason.into()); batches.len()]);
            }
            let log = self.log();
            let mut results = Vec::new();
            for batch in batches {
                results.push(log.append(batch).await);
            }
            self.0.written.send_replace(());
            self.0.holding.subscribe().wait_for(|holding| !holding).await.unwrap();
            Ok(results)
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        let refusing = self.0.refusing.load(Ordering::SeqCst);
        Box::pin(async move { if refusing { Err(EngineError::away("it is full of dust")) } else { Ok(()) } })
    }

    fn writes(&self) -> usize {
        3
    }

    fn read(&self, after: Sequence, mut limits: ReadLimits) -> BoxFuture<'_, Result<Block, EngineError>> {
        Box::pin(async move {
            self.present()?;
            let reads = self.0.reads.fetch_add(1, Ordering::SeqCst);
            if reads < self.0.behind.load(Ordering::SeqCst) {
                if reads.is_multiple_of(2) {
                    return Err(EngineError::away("it has not come to this node yet"));
                }
                limits.entries = limits.entries.min(3);
            }
            if self.0.silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let log = self.log();
            let epoch = log.bounds().epoch();
            match log.read(after, &Selection::all(), limits).await {
                Ok(chunk) => Ok(Block { epoch, entries: chunk.entries, next: chunk.next, earliest: 0 }),
                Err(ReadError::Expired { earliest, .. }) => {
                    self.read(earliest - 1, limits).await.map(|block| Block { earliest, ..block })
                }
                Err(error) => Err(EngineError::away(error)),
            }
        })
    }

    fn tidy(&self) -> BoxFuture<'_, Result<(Epoch, Sequence), EngineError>> {
        Box::pin(async move {
            self.present()?;
            let bounds = self.log().bounds();
            Ok((bounds.epoch(), bounds.earliest))
        })
    }
}

impl Feed for ShelfFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Fed, EngineError>> {
        Box::pin(async move {
            let log = self.shelf.log();
            loop {
                self.shelf.present()?;
                self.written.borrow_and_update();
                assert!(!self.shelf.0.panicking.swap(false, Ordering::SeqCst), "as it was told to");
                let all = Selection::all();
                let limits = ReadLimits { entries: 100, bytes: 1 << 20 };
                let chunk = log.read(self.after, &all, limits).await.map_err(EngineError::away)?;
                if log.bounds().epoch() != self.epoch {
                    return Err(EngineError::Renewed);
                }
                let idle = chunk.entries.is_empty()
                    && timeout(Duration::from_secs(1), self.written.changed()).await.is_ok();
                if !idle {
                    self.after = chunk.next;
                    return Ok(Fed { entries: chunk.entries, next: chunk.next });
                }
            }
        })
    }
}
