use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidings_engine::{EngineConfig, EngineLog};
use tidings_engine_servers::PostgresServer;
use tidings_log::conformance::{self, Subject};
use tidings_log::{BoxFuture, Log, Retention};
use tidings_postgres::Postgres;

/// Logs in one database, each in a schema of its own.
struct Schemas {
    port: u16,
    opened: AtomicU32,
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig { retention: Retention::default(), idempotency_window: conformance::WINDOW }
}

pub(crate) async fn open(url: &str) -> Arc<dyn Log> {
    let engine = Postgres::new(url.parse().unwrap(), config()).unwrap();
    let log = EngineLog::open(Arc::new(engine), config(), |error| panic!("{error}"));
    Arc::new(log.await.unwrap())
}

impl Schemas {
    fn last(&self) -> String {
        let number = self.opened.load(Ordering::Relaxed);
        format!("postgres://postgres@127.0.0.1:{}/postgres?schema=log_{number}", self.port)
    }
}

impl Subject for Schemas {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { open(&self.last()).await })
    }

    fn reopen(&self, closed: Arc<dyn Log>) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        drop(closed);
        self.beside()
    }

    fn beside(&self) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        Box::pin(async { Some(open(&self.last()).await) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_postgres_conforms() {
    let Some(server) = PostgresServer::start() else { return };
    conformance::run(&Schemas { port: server.port(), opened: AtomicU32::new(0) }).await;
}
