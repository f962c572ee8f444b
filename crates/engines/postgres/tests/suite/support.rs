use std::sync::Arc;
use std::time::Duration;

use tidings_engine::{EngineConfig, EngineError, EngineLog};
use tidings_engine_servers::PostgresServer;
use tidings_hub::{Hub, HubConfig, PullLimits, Subscription};
use tidings_log::{Batch, Log, Retention, conformance};
use tidings_postgres::Postgres;
use tidings_protocol::{Event, Gap, NewEvent, Selection, Start, Topic};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::NoTls;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn config() -> EngineConfig {
    EngineConfig { retention: Retention::default(), idempotency_window: conformance::WINDOW }
}

pub(crate) fn url(server: &PostgresServer) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres", server.port())
}

pub(crate) async fn open_with(url: &str, config: EngineConfig) -> Arc<dyn Log> {
    let engine = Postgres::new(url.parse().unwrap(), config).unwrap();
    let waits = |error: &EngineError| eprintln!("the log is not open yet: {error}");
    let log = timeout(PATIENCE, EngineLog::open(Arc::new(engine), config, waits)).await;
    Arc::new(log.expect("the engine to be there").unwrap())
}

pub(crate) async fn open(url: &str) -> Arc<dyn Log> {
    open_with(url, config()).await
}

pub(crate) async fn hub(url: &str) -> Hub {
    Hub::new(open(url).await, HubConfig::default())
}

/// A connection as an application has it.
pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

pub(crate) fn batch(name: &str, data: &str) -> Batch {
    Batch::of(NewEvent::text(topic(name), data))
}

pub(crate) fn text(event: &Event) -> String {
    String::from_utf8(event.data.to_vec()).unwrap()
}

/// Somebody who reads everything from the beginning.
pub(crate) struct Reader(Subscription);

impl Reader {
    pub(crate) async fn of(hub: &Hub) -> Self {
        Self(hub.subscribe(Selection::all(), Start::Earliest).await.unwrap())
    }

    /// What comes next: a gap, and events.
    pub(crate) async fn next(&mut self) -> (Option<Gap>, Vec<Event>) {
        let pull = timeout(PATIENCE, self.0.next(PullLimits::default())).await.unwrap().unwrap();
        (pull.gap, pull.entries.iter().map(|entry| entry.event().clone()).collect())
    }

    /// Everything up to an event with this data. There is no gap in it.
    pub(crate) async fn until(&mut self, data: &str) -> Vec<Event> {
        let mut events = Vec::new();
        while !events.iter().any(|event: &Event| event.data == data) {
            let (gap, more) = self.next().await;
            assert_eq!(gap, None);
            events.extend(more);
        }
        events
    }
}

/// Asks again and again until it is so; for what cannot be waited for.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "it never came that {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
