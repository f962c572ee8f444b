use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidings_engine::{Attached, BatchResult, Block, Engine, EngineError, EngineLog, Fed, Feed, Seen};
use tidings_log::{Batch, Bounds, BoxFuture, ReadLimits};
use tidings_protocol::{Epoch, Lineage, Sequence};
use tokio::time::sleep;

use crate::shelf::config;

/// An engine that can be attached to, and whose feed then fails at once.
struct Fruitless {
    attached: Arc<AtomicUsize>,
    error: EngineError,
}

struct NoFeed(EngineError);

/// More than anybody does who pauses.
const ENDLESS: usize = 1_000;

fn bounds() -> Bounds {
    Bounds { lineage: Lineage::of(Epoch::from_random(1)), earliest: 1, latest: 0 }
}

impl fmt::Debug for Fruitless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fruitless").finish_non_exhaustive()
    }
}

impl Engine for Fruitless {
    fn name(&self) -> &'static str {
        "Nobody"
    }

    fn attach<'a>(&'a self, _: Option<&'a Seen>) -> BoxFuture<'a, Result<Attached, EngineError>> {
        Box::pin(async {
            if self.attached.fetch_add(1, Ordering::SeqCst) > ENDLESS {
                pending::<()>().await;
            }
            let feed = Box::new(NoFeed(self.error.clone()));
            Ok(Attached { bounds: bounds(), topics: Vec::new(), deletions: Vec::new(), feed })
        })
    }

    fn write(&self, _: Vec<Batch>) -> BoxFuture<'_, Result<Vec<BatchResult>, EngineError>> {
        Box::pin(async { Err(self.error.clone()) })
    }

    fn read(&self, _: Sequence, _: ReadLimits) -> BoxFuture<'_, Result<Block, EngineError>> {
        Box::pin(async { Err(self.error.clone()) })
    }

    fn tidy(&self) -> BoxFuture<'_, Result<(Epoch, Sequence), EngineError>> {
        Box::pin(async { Ok((bounds().epoch(), 1)) })
    }
}

impl Feed for NoFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Fed, EngineError>> {
        Box::pin(async { Err(self.0.clone()) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_gives_nothing_is_attached_to_with_pauses() {
    for error in [EngineError::away("nothing"), EngineError::Renewed] {
        let attached = Arc::<AtomicUsize>::default();
        let engine = Arc::new(Fruitless { attached: Arc::clone(&attached), error });
        let log = EngineLog::open(engine, config(), |error| unreachable!("{error}")).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        let times = attached.load(Ordering::SeqCst);
        assert!((30..100).contains(&times), "{times} in a minute");
        drop(log);
    }
}
