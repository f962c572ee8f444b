//! What every [`Log`] has to do, as a suite that any log can be run through.
//!
//! ```
//! use std::sync::Arc;
//! use tidings_log::conformance::{self, Subject};
//! use tidings_log::{BoxFuture, Log, MemoryLog, Retention};
//!
//! struct Memory;
//!
//! impl Subject for Memory {
//!     fn open(&self) -> BoxFuture<'_, Arc<dyn Log>> {
//!         let log = MemoryLog::new(Retention::default(), conformance::WINDOW);
//!         Box::pin(async move { Arc::new(log) as Arc<dyn Log> })
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
//! #     .block_on(conformance::run(&Memory));
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that fails panics, wherever it is defined"
)]

mod appends;
mod reads;
mod shared;
mod state;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidings_protocol::{
    Cursor, EndReason, Event, GapReason, NewEvent, Selection, Selector, Sequence, Timestamp, Topic,
};

use crate::{
    AppendError, Batch, Bounds, BoxFuture, Chunk, Close, Follower, Idempotency, Log, Position, ReadError,
    ReadLimits, Scope,
};

/// The window for idempotency keys that subjects are opened with.
pub const WINDOW: Duration = Duration::from_secs(3_600);

/// A log that is to be examined.
pub trait Subject: Sync {
    /// A new log without entries, whose retention discards nothing of what the suite appends (some megabytes)
    /// and whose idempotency window is [`WINDOW`].
    fn open(&self) -> BoxFuture<'_, Arc<dyn Log>>;

    /// Opens the log again after it was closed. `None`, where it ends with the process.
    fn reopen(&self, closed: Arc<dyn Log>) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        Box::pin(async move {
            drop(closed);
            None
        })
    }

    /// Another log over the same place as the one that was opened last, which stays open: as another hub has it.
    /// `None`, where a place is one hub's.
    fn beside(&self) -> BoxFuture<'_, Option<Arc<dyn Log>>> {
        Box::pin(async { None })
    }

    /// Whether it leaves numbers out where it is opened.
    fn leaves_numbers_out(&self) -> bool {
        false
    }

    /// Whether a read may find less than its limits allow though there is more, as at a node that is behind others.
    fn ends_reads_early(&self) -> bool {
        false
    }
}

/// Runs the whole suite.
///
/// # Panics
/// Where the log does not do what it should.
pub async fn run(subject: &dyn Subject) {
    an_empty_log_has_nothing(&*subject.open().await).await;
    appends::what_is_appended_is_read_back(&*subject.open().await).await;
    appends::a_batch_is_consecutive_and_has_one_time(&*subject.open().await).await;
    appends::a_closed_topic_takes_no_more(&*subject.open().await).await;
    appends::an_end_has_a_reason(&*subject.open().await).await;
    appends::a_refused_batch_leaves_nothing(&*subject.open().await).await;
    appends::a_key_is_answered_once(&*subject.open().await).await;
    appends::a_chain_ends_with_what_is_refused(&*subject.open().await).await;
    reads::chunks_respect_limits_and_reach_the_end(subject).await;
    reads::selections_are_unions(&*subject.open().await).await;
    reads::rare_topics_are_found_among_many(&*subject.open().await).await;
    reads::places_are_located(&*subject.open().await).await;
    reads::topics_are_listed_in_order(&*subject.open().await).await;
    followers_get_everything_once(&subject.open().await).await;
    appends::appends_at_the_same_time_have_one_order(&subject.open().await).await;
    a_follower_that_fails_is_noticed(&subject.open().await).await;
    a_closed_log_refuses(&*subject.open().await).await;
    everything_survives_a_restart(subject).await;
    state::a_deleted_topic_is_not_read_again(&*subject.open().await).await;
    state::a_deleted_name_is_used_anew(&*subject.open().await).await;
    state::keys_of_a_deleted_topic_are_forgotten(&*subject.open().await).await;
    state::an_event_is_read_for_its_lifetime(&*subject.open().await).await;
    state::a_lifetime_is_part_of_a_batch(&*subject.open().await).await;
    state::what_is_gone_stays_gone_after_a_restart(subject).await;
    shared::run(subject).await;
}

/// Limits that no test reaches by accident.
const WIDE: ReadLimits = ReadLimits { entries: 100_000, bytes: 64 << 20 };
/// How long a log may be away for those who read it, and how often it is asked again.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(5);

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn event(name: &str, data: &str) -> NewEvent {
    NewEvent::text(topic(name), data)
}

fn select(selectors: &[&str]) -> Selection {
    Selection::new(selectors.iter().map(|text| Selector::new(text).unwrap()))
}

fn keyed(mut batch: Batch, scope: Option<&str>, key: &str) -> Batch {
    let scope = scope.map_or(Scope::Batches, |name| Scope::Topic(topic(name)));
    batch.idempotency = Some(Idempotency { scope, key: key.into() });
    batch
}

async fn publish(log: &dyn Log, name: &str, data: &str) -> Sequence {
    log.append(Batch::of(event(name, data))).await.unwrap().first
}

async fn end(log: &dyn Log, name: &str) -> Sequence {
    let batch = Batch { events: Vec::new(), close: Some(topic(name).into()), idempotency: None };
    log.append(batch).await.unwrap().first
}

/// What is answered by a log that may be away for a moment, as where an entry has not come to each node of its engine.
async fn answered<'a, T>(ask: impl Fn() -> BoxFuture<'a, Result<T, ReadError>>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(ReadError::Away { .. }) if begun.elapsed() < PATIENCE => tokio::time::sleep(ASK_AGAIN).await,
            answer => return answer.unwrap(),
        }
    }
}

async fn read(log: &dyn Log, after: Sequence, selection: &Selection, limits: ReadLimits) -> Chunk {
    answered(|| log.read(after, selection, limits)).await
}

async fn locate(log: &dyn Log, place: Position, selection: &Selection) -> Sequence {
    answered(|| log.locate(place, selection)).await
}

/// Everything after a place, in as many reads as it takes.
async fn read_all(log: &dyn Log, mut after: Sequence, selection: &Selection) -> Vec<Arc<Event>> {
    let mut entries = Vec::new();
    loop {
        let chunk = read(log, after, selection, WIDE).await;
        entries.extend(chunk.entries);
        if chunk.next == after {
            return entries;
        }
        assert!(chunk.next > after, "a read goes back from {after} to {}", chunk.next);
        after = chunk.next;
    }
}

fn sequences(entries: &[Arc<Event>]) -> Vec<Sequence> {
    entries.iter().map(|entry| entry.sequence).collect()
}

async fn an_empty_log_has_nothing(log: &dyn Log) {
    let bounds = log.bounds();
    assert_eq!((bounds.earliest, bounds.latest), (1, 0));
    let chunk = read(log, 0, &Selection::all(), WIDE).await;
    assert_eq!((chunk.entries.len(), chunk.next), (0, 0));
    assert_eq!(log.topic(&topic("a")).await.unwrap(), None);
    assert_eq!(locate(log, Position::Earliest, &Selection::all()).await, 0);
    assert_eq!(locate(log, Position::Last(5), &Selection::all()).await, 0);
    assert_eq!(locate(log, Position::Time(Timestamp::default()), &Selection::all()).await, 0);
    assert_eq!(log.ready(), Ok(()));
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Arc<Event>>>);

impl Follower for Recorder {
    fn appended(&self, entries: &[Arc<Event>]) {
        self.0.lock().unwrap().extend_from_slice(entries);
    }

    fn trimmed(&self, _: Sequence) {}

    fn renewed(&self, _: Bounds) {}
}

async fn followers_get_everything_once(log: &Arc<dyn Log>) {
    publish(&**log, "a", "before").await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let publisher = {
        let (log, stop) = (Arc::clone(log), Arc::clone(&stop));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut count = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && count < 5_000 {
                runtime.block_on(publish(&*log, "a", "meanwhile"));
                count += 1;
            }
        })
    };
    while log.bounds().latest < 5 {
        assert!(!publisher.is_finished(), "the publisher failed");
        std::thread::yield_now();
    }
    let recorder = Arc::new(Recorder::default());
    let from = log.follow(Arc::clone(&recorder) as Arc<dyn Follower>).latest;
    let last = publish(&**log, "b", "after").await;
    let known = sequences(&recorder.0.lock().unwrap());
    assert!(known.contains(&last), "the follower hears of an entry before its publisher");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    publisher.join().unwrap();
    publish(&**log, "b", "last").await;
    let expected = read_all(&**log, from, &Selection::all()).await;
    assert_eq!(*recorder.0.lock().unwrap(), expected);
}

/// Fails at the first entry that it gets.
#[derive(Default)]
struct Frail {
    failed: std::sync::atomic::AtomicBool,
    entries: Recorder,
}

impl Follower for Frail {
    fn appended(&self, entries: &[Arc<Event>]) {
        if !self.failed.swap(true, std::sync::atomic::Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("a follower that fails"));
        }
        self.entries.appended(entries);
    }

    fn trimmed(&self, _: Sequence) {}

    fn renewed(&self, _: Bounds) {}
}

/// Either the log takes no more writes, or the follower gets what it failed at once more.
async fn a_follower_that_fails_is_noticed(log: &Arc<dyn Log>) {
    let follower = Arc::new(Frail::default());
    log.follow(Arc::clone(&follower) as Arc<dyn Follower>);
    let publisher = {
        let log = Arc::clone(log);
        // Where the publisher writes for itself, the panic is in its task.
        tokio::spawn(async move { drop(log.append(Batch::of(event("a", "1"))).await) })
    };
    drop(publisher.await);
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < PATIENCE, "the log goes on without its follower");
        let appended = log.append(Batch::of(event("a", "2"))).await.is_ok();
        let entries = follower.entries.0.lock().unwrap().clone();
        if entries.first().is_some_and(|entry| entry.data == "1") {
            return;
        }
        assert!(entries.is_empty(), "an entry was left out");
        if !appended && log.ready().is_err() {
            return;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn a_closed_log_refuses(log: &dyn Log) {
    publish(log, "a", "").await;
    assert_eq!(log.close().await, Ok(()));
    assert_eq!(log.close().await, Ok(()));
    assert!(matches!(log.append(Batch::of(event("a", ""))).await, Err(AppendError::Unavailable(_))));
    assert!(log.ready().is_err());
}

async fn everything_survives_a_restart(subject: &dyn Subject) {
    let log = subject.open().await;
    let batch = keyed(
        Batch {
            events: vec![event("a", "1"), event("b", "2")],
            close: Some(topic("b").into()),
            idempotency: None,
        },
        None,
        "k",
    );
    let first = log.append(batch.clone()).await.unwrap();
    for number in 0..1_000 {
        publish(&*log, &format!("t/{}", number % 10), &"x".repeat(200)).await;
    }
    let aborted = Close::for_reason(topic("broken"), Some(EndReason::aborted()));
    log.append(Batch { events: Vec::new(), close: Some(aborted), idempotency: None }).await.unwrap();
    let (bounds, before) = (log.bounds(), read_all(&*log, 0, &Selection::all()).await);
    let info = log.topic(&topic("b")).await.unwrap();
    log.close().await.unwrap();
    let Some(log) = subject.reopen(log).await else { return };
    let now = log.bounds();
    assert_eq!(now.earliest, bounds.earliest);
    // Whoever has read something before goes on from there, and the ids are the same.
    for place in 0..=bounds.latest {
        let id = bounds.lineage.id(place);
        assert_eq!((now.lineage.id(place), now.resume(id)), (id, Ok(place)));
    }
    let beyond = Cursor::new(bounds.epoch(), now.latest + 1);
    assert_eq!(now.resume(beyond), Err(GapReason::Ahead));
    assert_eq!(now.resume(Cursor::new("other1".parse().unwrap(), 1)), Err(GapReason::Unknown));
    assert!(now.latest == bounds.latest || (subject.leaves_numbers_out() && now.latest > bounds.latest));
    assert_eq!(read_all(&*log, 0, &Selection::all()).await, before);
    assert_eq!(log.topic(&topic("b")).await.unwrap(), info);
    assert!(matches!(log.append(Batch::of(event("b", ""))).await, Err(AppendError::TopicClosed { .. })));
    let again = log.append(batch).await.unwrap();
    assert_eq!((again.first, again.count, again.time, again.duplicate), (first.first, 2, first.time, true));
    assert_eq!(again.epoch, first.epoch, "its id is what it was");
    let after = log.append(Batch::of(event("a", "after"))).await.unwrap();
    assert!(after.first > now.latest);
    assert_eq!(log.bounds().lineage.id(after.first), Cursor::new(after.epoch, after.first));
    // Nothing has expired.
    read(&*log, 0, &Selection::all(), WIDE).await;
}
