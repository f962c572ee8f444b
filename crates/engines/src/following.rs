//! The task that follows an engine. There is one for each hub, however many subscribers it has.

use std::sync::Arc;

use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::engine_state::EngineState;
use crate::limits::{HOUSEKEEPING, PATIENCE, RECHECK, SEVERED_CHECK};
use crate::{Attached, EngineError, Feed};

/// Follows until the log is closed. What panics is begun anew: a hub that seems well and follows nothing would keep its
/// readers waiting for ever.
pub(crate) async fn run(shared: Arc<EngineState>, attached: Attached) {
    let mut feed = Some(attached.feed);
    loop {
        let task = tokio::spawn(follow_all(Arc::clone(&shared), feed.take()));
        let Err(error) = AbortOnDropHandle::new(task).await else { return };
        if !error.is_panic() {
            return;
        }
        tracing::error!(%error, "the task that follows the engine has failed, and begins anew");
        shared.away(&EngineError::away("the task that follows it has failed"));
    }
}

/// Follows until the log is closed, and attaches to the engine anew whenever it was away.
async fn follow_all(shared: Arc<EngineState>, feed: Option<Box<dyn Feed>>) {
    let ended = shared.ended.clone();
    let follow = async {
        let (mut backoff, mut fruitless) = (Backoff::new(), 0);
        let mut feed = match feed {
            Some(feed) => feed,
            None => {
                sleep(backoff.pause()).await;
                attach(&shared, &mut backoff).await
            }
        };
        loop {
            let (error, fed) = follow(&shared, &mut *feed).await;
            drop(feed);
            fruitless = if fed { 0 } else { fruitless + 1 };
            match &error {
                EngineError::Renewed => {}
                // An engine that can be attached to and then gives nothing, again and again, is as good as away.
                error if fruitless > 1 => shared.away(error),
                error => shared.lost(error),
            }
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
        () = prove_all(&shared) => {}
        () = look_after(&shared) => {}
    }
}

/// Finds out whether the engine takes writes, and says so. Gives whether it does.
pub(crate) async fn prove(shared: &EngineState) -> bool {
    let attachment = shared.attachment();
    let checked = timeout(PATIENCE, shared.engine.check()).await;
    match checked.unwrap_or_else(|_| Err(EngineError::away(format!("no answer within {PATIENCE:?}")))) {
        Ok(()) => shared.may_take_writes(attachment),
        Err(error) => {
            shared.refuses(attachment, &error.to_string());
            false
        }
    }
}

/// Notices connections that were closed while they were idle, before a publication does.
async fn look_after(shared: &EngineState) {
    let mut ticks = interval(SEVERED_CHECK);
    loop {
        ticks.tick().await;
        let attachment = shared.attachment();
        if shared.present().is_ok() && shared.engine.is_severed() {
            shared.doubt(attachment, EngineError::away("a connection was closed while it was idle"));
            shared.attached_after(attachment).await;
        } else {
            shared.engine.touch().await;
        }
    }
}

/// Asks again and again where the engine takes no writes, as nobody may bring any: load balancers heed `ready`.
async fn prove_all(shared: &EngineState) {
    loop {
        shared.unproven().await;
        if !prove(shared).await {
            sleep(RECHECK).await;
        }
    }
}

/// Attaches, however long it takes.
async fn attach(shared: &EngineState, backoff: &mut Backoff) -> Box<dyn Feed> {
    let since = Instant::now();
    loop {
        let seen = shared.seen();
        match shared.engine.attach(Some(&seen)).await {
            Ok(attached) => {
                shared.attached(&attached);
                tracing::debug!(engine = shared.engine.name(), after = ?since.elapsed(), "attached");
                return attached.feed;
            }
            Err(error) => {
                shared.away(&error);
                shared.give_up();
            }
        }
        sleep(backoff.pause()).await;
    }
}

/// Follows until that fails: why, and whether the feed gave anything before.
async fn follow(shared: &EngineState, feed: &mut dyn Feed) -> (EngineError, bool) {
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
            error = shared.doubted() => error,
        };
        return (error, has_fed);
    }
}

/// Keeps the bounds current, and lets no publisher wait for ever.
async fn tidy(shared: &EngineState) {
    let every = (shared.config.retention.age / 16).clamp(HOUSEKEEPING.0, HOUSEKEEPING.1);
    let mut ticks = interval(every);
    let (mut failed, mut told) = (None, None);
    loop {
        ticks.tick().await;
        shared.give_up();
        if shared.present().is_err() {
            continue;
        }
        // Where writes are refused for a reason of the engine's own, that shows also while nobody publishes.
        prove(shared).await;
        let attachment = shared.attachment();
        match timeout(PATIENCE, shared.engine.tidy()).await {
            Ok(Ok((epoch, earliest))) if epoch == shared.bounds().epoch() => {
                (failed, told) = (None, None);
                shared.trimmed(epoch, earliest);
            }
            Ok(Ok(_) | Err(EngineError::Renewed)) => shared.doubt(attachment, EngineError::Renewed),
            Ok(Err(error)) => {
                // The first may be that the engine has just gone away, which is told elsewhere.
                let again = failed.replace(error.clone()).as_ref() == Some(&error);
                if again && told.replace(error.clone()).as_ref() != Some(&error) {
                    tracing::warn!(engine = shared.engine.name(), %error, "failed to do what retention says");
                }
            }
            Err(_) => {}
        }
    }
}
