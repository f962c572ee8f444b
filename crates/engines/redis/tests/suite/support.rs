use std::sync::Arc;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use tidings_engine::{EngineConfig, EngineError, EngineLog};
use tidings_engine_servers::RedisServer;
use tidings_log::conformance;
use tidings_log::{Batch, Log, ReadError, ReadLimits, Retention};
use tidings_protocol::{Cursor, Epoch, Event, GapReason, NewEvent, Selection, Topic};
use tidings_redis::Redis;
use tokio::time::timeout;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const WIDE: ReadLimits = ReadLimits { entries: 100_000, bytes: 64 << 20 };

pub(crate) fn config() -> EngineConfig {
    EngineConfig { retention: Retention::default(), idempotency_window: conformance::WINDOW }
}

/// A log whose engine is there.
pub(crate) async fn open(url: &str) -> Arc<dyn Log> {
    open_with(url, config()).await
}

pub(crate) async fn open_with(url: &str, config: EngineConfig) -> Arc<dyn Log> {
    let engine = Redis::new(url.parse().unwrap(), config).unwrap();
    let waits = |error: &EngineError| eprintln!("the log is not open yet: {error}");
    let log = timeout(PATIENCE, EngineLog::open(Arc::new(engine), config, waits)).await;
    Arc::new(log.expect("the engine to be there").unwrap())
}

/// Why a log cannot be opened: what is said first.
pub(crate) async fn refusal(url: &str) -> EngineError {
    let engine = Redis::new(url.parse().unwrap(), config()).unwrap();
    let (told, mut waits) = tokio::sync::watch::channel(None);
    let waiting = |error: &EngineError| drop(told.send_replace(Some(error.clone())));
    let refused = async {
        tokio::select! {
            opened = EngineLog::open(Arc::new(engine), config(), waiting) => opened.map(drop).unwrap_err(),
            waits = waits.wait_for(Option::is_some) => waits.unwrap().clone().unwrap(),
        }
    };
    timeout(PATIENCE, refused).await.expect("a refusal")
}

pub(crate) fn url(server: &RedisServer) -> String {
    format!("redis://127.0.0.1:{}/log", server.port())
}

/// Asks a server something, as an operator does.
pub(crate) async fn ask(server: &RedisServer, words: &[&str]) -> redis::Value {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}", server.port())).unwrap();
    // By default, the client gives a busy machine half a second.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| _ = command.arg(*word));
    command.query_async(&mut connection).await.unwrap()
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
    let begun = tokio::time::Instant::now();
    loop {
        let chunk = match log.read(after, selection, WIDE).await {
            // What was refused just before makes a hub connect anew.
            Err(ReadError::Away { .. }) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            read => read.unwrap(),
        };
        entries.extend(chunk.entries);
        if chunk.next == after {
            return entries;
        }
        after = chunk.next;
    }
}

pub(crate) fn texts(entries: &[Arc<Event>]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.data).unwrap()).collect()
}

/// Asks again and again until it is so; for what cannot be waited for.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "it never came that {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
