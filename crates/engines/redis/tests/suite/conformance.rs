use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidings_engine_servers::RedisServer;
use tidings_log::conformance::{self, Subject};
use tidings_log::{BoxFuture, Log};

use crate::support::open;

/// Logs on one server, each of another name.
struct Names {
    server: RedisServer,
    opened: AtomicU32,
}

impl Names {
    fn last(&self) -> String {
        format!("redis://127.0.0.1:{}/log{}", self.server.port(), self.opened.load(Ordering::Relaxed))
    }
}

impl Subject for Names {
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
async fn a_log_in_redis_conforms() {
    let Some(server) = RedisServer::start() else { return };
    conformance::run(&Names { server, opened: AtomicU32::new(0) }).await;
}
