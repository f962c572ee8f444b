use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidings_engine_servers::{PostgresServer, SlowProxy};
use tidings_log::conformance::{self, Subject};
use tidings_log::{BoxFuture, Log};

use crate::support::{Reader, batch, hub, open};

/// Logs in one database, each in a schema of its own.
struct Schemas {
    port: u16,
    opened: AtomicU32,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_only_slow() {
    let Some(server) = PostgresServer::start() else { return };
    let proxy = SlowProxy::start(server.port(), Duration::from_millis(40));
    let slow = hub(&format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port())).await;
    let mut reader = Reader::of(&slow).await;
    let numbers = 0..30;
    let publications = numbers.clone().map(|number| {
        let slow = slow.clone();
        tokio::spawn(async move { slow.publish(batch("a", &number.to_string())).await.unwrap() })
    });
    for publication in publications.collect::<Vec<_>>() {
        publication.await.unwrap();
    }
    slow.publish(batch("a", "last")).await.unwrap();
    assert_eq!(reader.until("last").await.len(), numbers.len() + 1);
    slow.close().await.unwrap();
}
