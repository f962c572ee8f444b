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
        let mut backoff = Backoff::new();
        loop {
            let (error, fed) = follow(&shared, &mut *feed).await;
            drop(feed);
            if error != EngineError::Renewed {
                shared.away(&error);
            }
            // An engine that can be attached to and then gives nothing is as good as away.
            if fed {
                backoff = Backoff::new();
            } else {
                sleep(backoff.pause()).await;
            }
            feed = attach(&shared, &mut backoff).await;
        }
    };
    tokio::select! {
        () = ended.cancelled() => {}
        () = follow => {}
        () = tidy(&shared) => {}
    }
}

/// Attaches, however long it takes.
async fn attach(shared: &Shared, backoff: &mut Backoff) -> Box<dyn Feed> {
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

/// Follows until that fails: why, and whether the feed gave anything before.
async fn follow(shared: &Shared, feed: &mut dyn Feed) -> (EngineError, bool) {
    let mut has_fed = false;
    loop {
        let error = tokio::select! {
            biased;
            fed = timeout(PATIENCE, feed.next()) => match fed {
                Ok(Ok(fed)) => {
                    shared.fed(&fed);
                    has_fed = true;
                    continue;
                }
                Ok(Err(error)) => error,
                Err(_) => EngineError::away(format!("it has said nothing for {PATIENCE:?}")),
            },
            () = shared.doubted() => EngineError::away("a write failed"),
        };
        return (error, has_fed);
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
            Ok(Ok((epoch, earliest))) if epoch == shared.bounds().epoch => shared.trimmed(epoch, earliest),
            Ok(Ok(_) | Err(EngineError::Renewed)) => shared.doubt(attachment),
            Ok(Err(error)) => {
                tracing::debug!(engine = shared.engine.name(), %error, "failed to do what retention says");
            }
            Err(_) => {}
        }
    }
}
