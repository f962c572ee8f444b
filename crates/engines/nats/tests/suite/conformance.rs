use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidings_engine_servers::{NatsCluster, NatsServer};
use tidings_log::conformance::{self, Subject};
use tidings_log::{BoxFuture, Log};

use crate::support::open;

/// Logs on servers, each in a stream of its own.
struct Streams {
    hosts: String,
    options: &'static str,
    opened: AtomicU32,
}

impl Streams {
    fn on(hosts: String, options: &'static str) -> Self {
        Self { hosts, options, opened: AtomicU32::new(0) }
    }

    fn last(&self) -> String {
        format!("nats://{}/LOG{}{}", self.hosts, self.opened.load(Ordering::Relaxed), self.options)
    }
}

impl Subject for Streams {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { open(&self.last()).await })
    }

    fn reopen(&self, closed: Arc<dyn Log>) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        drop(closed);
        self.beside()
    }

    fn leaves_numbers_out(&self) -> bool {
        true
    }

    fn ends_reads_early(&self) -> bool {
        self.hosts.contains(',')
    }

    fn beside(&self) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        Box::pin(async { Some(open(&self.last()).await) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_one_server_conforms() {
    let Some(server) = NatsServer::start() else { return };
    conformance::run(&Streams::on(format!("127.0.0.1:{}", server.port()), "")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_a_cluster_conforms() {
    let Some(cluster) = NatsCluster::start() else { return };
    conformance::run(&Streams::on(cluster.hosts(), "?replicas=3")).await;
}
