//! Runs that callers of the same URL share: each of them reads the topic, and the endpoint is asked once for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use reqwest::Response;
use tidings_protocol::{Cursor, Start, Topic};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::defaults;
use crate::lanes::InLane;
use crate::run::{Outcome, Run, Transcript};
use crate::upstream::{self, Events, Upstream};

/// The runs of a relay by what was asked.
#[derive(Debug, Default)]
pub(crate) struct SharedRuns(StdMutex<HashMap<String, Slot>>);

/// The run of one URL, while there is one. Whoever begins one keeps it locked, so that the others wait for it.
pub(crate) type Slot = Arc<Mutex<Option<Place>>>;

/// Where a run is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) topic: Topic,
    /// Before its first event.
    pub(crate) begin: Cursor,
}

/// What a shared run asks for, again and again.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) limit: usize,
}

// === impl SharedRuns ===

impl SharedRuns {
    pub(crate) fn slot(&self, key: &str) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(key.to_owned()).or_default())
    }

    /// Forgets what nobody waits for and no run has.
    pub(crate) fn tidy(&self, key: &str, slot: &Slot) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own, and the one that is given up here.
        if Arc::strong_count(slot) <= 2 && slot.try_lock().is_ok_and(|place| place.is_none()) {
            slots.remove(key);
        }
    }
}

// === impl Place ===

impl Place {
    /// Where a reader begins that names no place: with what comes, or, where it is the one who asked first, with all of it.
    pub(crate) fn start(&self, is_first: bool) -> Start {
        if is_first { Start::Cursor(self.begin) } else { Start::Latest }
    }
}

/// Goes on for as long as somebody reads and the endpoint is there, connecting again whenever that has come to an end.
pub(crate) async fn keep(mut run: Run, source: Source) -> Outcome {
    let mut last_event_id = String::new();
    let mut pause = defaults::SHARE_RETRY;
    let mut failures = 0_u32;
    loop {
        let outcome = run.relay().await;
        match outcome {
            Outcome::Whole | Outcome::Broken(_) => {}
            other => return run.end(other).await,
        }
        let (id, retry) = run.transcript.place();
        if !id.is_empty() {
            id.clone_into(&mut last_event_id);
            failures = 0;
        }
        if let Some(retry) = retry {
            pause = Duration::from_millis(retry);
        }
        loop {
            if let Some(outcome) = rest(&mut run, delay(pause, failures)).await {
                return run.end(outcome).await;
            }
            match again(&source, &last_event_id).await {
                Ok(Some((response, in_lane))) => {
                    (run.response, run.in_lane) = (response, in_lane);
                    run.transcript = Transcript::new(Events::Stream, source.limit);
                    failures += 1;
                    break;
                }
                Ok(None) => return run.end(Outcome::Whole).await,
                Err(Failure::Passing) => failures += 1,
                Err(Failure::ForGood(why)) => return run.end(Outcome::Broken(why)).await,
            }
        }
    }
}

/// Why the endpoint gave no further events.
enum Failure {
    Passing,
    ForGood(String),
}

/// Asks for what follows; `None` where nothing ever will.
async fn again(source: &Source, last_event_id: &str) -> Result<Option<(Response, InLane)>, Failure> {
    let asked = source.upstream.ask_for_all(&source.path, source.query.as_deref(), last_event_id).await;
    let Ok((response, in_lane)) = asked else { return Err(Failure::Passing) };
    let status = response.status();
    match upstream::events(&response) {
        Ok(Some(Events::Stream)) => Ok(Some((response, in_lane))),
        _ if status == StatusCode::NO_CONTENT => Ok(None),
        _ if status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status) =>
        {
            Err(Failure::Passing)
        }
        _ => Err(Failure::ForGood(format!("asked again, it answered {status} without events"))),
    }
}

/// How long to wait before the endpoint is asked again. Those that it has thrown off together do not return together.
fn delay(pause: Duration, failures: u32) -> Duration {
    let longer = pause.saturating_mul(1 << failures.min(6)).min(defaults::SHARE_RETRY_MOST);
    longer.mul_f64(0.75 + 0.5 * fastrand::f64())
}

/// Waits, unless the run comes to its end meanwhile.
async fn rest(run: &mut Run, delay: Duration) -> Option<Outcome> {
    let until = Instant::now() + delay;
    while Instant::now() < until {
        let look = until.min(Instant::now() + defaults::SHARE_INTERVAL);
        tokio::select! {
            () = run.stop.cancelled() => return Some(Outcome::Shutdown),
            Err(error) = run.producer.progress() => return Some(crate::run::lost(&error)),
            () = sleep_until(look) => {}
        }
        if run.is_unread() {
            return Some(Outcome::Left);
        }
    }
    None
}
