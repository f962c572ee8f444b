//! The task that follows an engine. There is one for each hub, however many subscribers it has.

use std::sync::Arc;

use tokio::time::{Instant, interval, sleep, timeout};

use crate::backoff::Backoff;
use crate::limits::{HOUSEKEEPING, PATIENCE};
use crate::shared::Shared;
use crate::{Attached, EngineError, Feed};

/// Follows until the log is closed, and attaches to the engine anew whenever it was away.
pub(crate) async fn run(shared: Arc<Shared>, attached: Attached) {
    let ended = shared.ended.clone();
    let follow = async {
        let mut feed = attached.feed;
        loop {
            let error = follow(&shared, &mut *feed).await;
            drop(feed);
            if error != EngineError::Renewed {
                shared.away(&error);
            }
            feed = attach(&shared).await;
        }
    };
    tokio::select! {
        () = ended.cancelled() => {}
        () = follow => {}
        () = tidy(&shared) => {}
    }
}

/// Attaches, however long it takes.
async fn attach(shared: &Shared) -> Box<dyn Feed> {
    let mut backoff = Backoff::new();
    let since = Instant::now();
    loop {
        let seen = shared.seen();
        match shared.engine.attach(Some(&seen)).await {
            Ok(attached) => {
                shared.attached(&attached);
                tracing::info!(engine = shared.engine.name(), after = ?since.elapsed(), "the engine is back");
                return attached.feed;
            }
            Err(error) => {
                shared.away(&error);
                tracing::debug!(engine = shared.engine.name(), %error, "the engine is still away");
                shared.give_up();
            }
        }
        sleep(backoff.pause()).await;
    }
}

async fn follow(shared: &Shared, feed: &mut dyn Feed) -> EngineError {
    loop {
        tokio::select! {
            biased;
            fed = timeout(PATIENCE, feed.next()) => match fed {
                Ok(Ok(fed)) => shared.fed(&fed),
                Ok(Err(error)) => return error,
                Err(_) => return EngineError::away(format!("it has said nothing for {PATIENCE:?}")),
            },
            () = shared.doubted() => return EngineError::away("a write failed"),
        }
    }
}

/// Keeps the bounds current, and lets no publisher wait for ever.
async fn tidy(shared: &Shared) {
    let every = (shared.config.retention.age / 16).clamp(HOUSEKEEPING.0, HOUSEKEEPING.1);
    let mut ticks = interval(every);
    loop {
        ticks.tick().await;
        shared.give_up();
        if shared.ready().is_err() {
            continue;
        }
        let attachment = shared.attachment();
        match timeout(PATIENCE, shared.engine.tidy()).await {
            Ok(Ok((epoch, earliest))) if epoch == shared.bounds().epoch => shared.trimmed(earliest),
            Ok(Ok(_) | Err(EngineError::Renewed)) => shared.doubt(attachment),
            Ok(Err(error)) => {
                tracing::debug!(engine = shared.engine.name(), %error, "failed to do what retention says");
            }
            Err(_) => {}
        }
    }
}
