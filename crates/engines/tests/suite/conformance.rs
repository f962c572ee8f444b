use std::sync::{Arc, Mutex};

use tidings_engine::EngineLog;
use tidings_log::conformance::{self, Subject};
use tidings_log::{Batch, BoxFuture, Log};

use crate::shelf::{Shelf, config};

/// Logs on shelves; the last shelf is kept, to be opened again.
struct Shelves {
    last: Mutex<Shelf>,
    /// How many reads of each come to a node that is behind.
    behind: usize,
}

pub(crate) async fn open(shelf: &Shelf) -> Arc<dyn Log> {
    let engine = Arc::new(shelf.clone());
    Arc::new(EngineLog::open(engine, config(), |error| unreachable!("{error}")).await.unwrap())
}

// === impl Shelves ===

impl Shelves {
    fn new(behind: usize) -> Self {
        Self { last: Mutex::new(Shelf::new()), behind }
    }
}

impl Subject for Shelves {
    fn open(&self) -> BoxFuture<'_, Arc<dyn Log>> {
        let shelf = Shelf::new();
        shelf.set_behind(self.behind);
        *self.last.lock().unwrap() = shelf.clone();
        Box::pin(async move { open(&shelf).await })
    }

    fn reopen(&self, closed: Arc<dyn Log>) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        drop(closed);
        self.beside()
    }

    fn ends_reads_early(&self) -> bool {
        self.behind > 0
    }

    fn beside(&self) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        let shelf = self.last.lock().unwrap().clone();
        Box::pin(async move { Some(open(&shelf).await) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_over_an_engine_conforms() {
    conformance::run(&Shelves::new(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_over_an_engine_conforms_whose_nodes_are_behind() {
    conformance::run(&Shelves::new(20)).await;
}

/// There is nothing in the log that its publisher could wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_batch_is_answered() {
    let log = open(&Shelf::new()).await;
    let empty = Batch { events: Vec::new(), close: None, idempotency: None };
    assert_eq!(log.append(empty).await.unwrap().count, 0);
}
