use std::sync::Arc;
use std::time::Duration;

use tidings_engine::{EngineConfig, EngineError, EngineLog};
use tidings_engine_servers::NatsServer;
use tidings_log::conformance;
use tidings_log::{AppendError, Batch, Idempotency, Log, ReadLimits, Retention, Scope};
use tidings_nats::Nats;
use tidings_protocol::{Cursor, Epoch, Event, GapReason, NewEvent, Selection, Topic};
use tokio::time::timeout;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const WIDE: ReadLimits = ReadLimits { entries: 100_000, bytes: 64 << 20 };

pub(crate) fn config() -> EngineConfig {
    // NATS sets aside what a stream may hold, and a test makes many streams.
    let retention = Retention { bytes: 64 << 20, ..Retention::default() };
    EngineConfig { retention, idempotency_window: conformance::WINDOW }
}

/// A log whose engine is there.
pub(crate) async fn open(url: &str) -> Arc<dyn Log> {
    open_with(url, config()).await
}

pub(crate) async fn open_with(url: &str, config: EngineConfig) -> Arc<dyn Log> {
    let engine = Nats::new(url.parse().unwrap(), config).unwrap();
    let waits = |error: &EngineError| eprintln!("the log is not open yet: {error}");
    let log = timeout(PATIENCE, EngineLog::open(Arc::new(engine), config, waits)).await;
    Arc::new(log.expect("the engine to be there").unwrap())
}

/// Why a log cannot be opened: what is said first.
pub(crate) async fn refusal(url: &str) -> EngineError {
    let engine = Nats::new(url.parse().unwrap(), config()).unwrap();
    let (told, mut waits) = tokio::sync::watch::channel(None);
    let waiting = |error: &EngineError| drop(told.send_replace(Some(error.clone())));
    let refused = async {
        tokio::select! {
            opened = EngineLog::open(Arc::new(engine), config(), waiting) => opened.map(drop).unwrap_err(),
            waits = waits.wait_for(Option::is_some) => waits.unwrap().clone().unwrap(),
        }
    };
    timeout(PATIENCE, refused).await.expect("something to be said")
}

pub(crate) fn url(server: &NatsServer) -> String {
    format!("nats://127.0.0.1:{}/LOG", server.port())
}

pub(crate) fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

pub(crate) fn event(name: &str, data: &str) -> NewEvent {
    NewEvent::text(topic(name), data)
}

pub(crate) async fn publish(log: &dyn Log, name: &str, data: &str) -> u64 {
    log.append(Batch::of(event(name, data))).await.unwrap().first
}

/// Publishes once, however often the log says that it is away: as a publisher does who is told to try again.
pub(crate) async fn publish_at_last(log: &dyn Log, name: &str, data: &str, key: &str) -> u64 {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let idempotency = Some(Idempotency { scope: Scope::Topic(topic(name)), key: key.to_owned() });
        match log.append(Batch { idempotency, ..Batch::of(event(name, data)) }).await {
            Err(AppendError::Unavailable(_)) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            appended => return appended.unwrap().first,
        }
    }
}

/// Whoever had seen no more than what was kept goes on, and whoever had seen what was lost is told.
pub(crate) fn told_who_lost_something(log: &dyn Log, epoch: Epoch, kept: u64, lost: &[u64]) {
    let bounds = log.bounds();
    assert_eq!(bounds.resume(Cursor::new(epoch, kept)), Ok(kept));
    assert_eq!(bounds.lineage.id(kept), Cursor::new(epoch, kept), "its id is what it was");
    for sequence in lost {
        assert_eq!(bounds.resume(Cursor::new(epoch, *sequence)), Err(GapReason::Ahead));
    }
}

pub(crate) async fn read(log: &dyn Log, mut after: u64, selection: &Selection) -> Vec<Arc<Event>> {
    let mut entries = Vec::new();
    loop {
        let chunk = log.read(after, selection, WIDE).await.unwrap();
        entries.extend(chunk.entries);
        if chunk.next == after {
            return entries;
        }
        after = chunk.next;
    }
}

/// Waits until two hubs have followed the log to the same place: whichever starts puts a message into the stream.
pub(crate) async fn agree(one: &dyn Log, other: &dyn Log) {
    eventually("they are at the same place", || one.bounds() == other.bounds()).await;
}

/// Asks again and again until it is so; for what cannot be waited for.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "it never came that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
