use std::sync::Arc;
use std::sync::Mutex;

use tidings_engine::EngineLog;
use tidings_log::{AppendError, Batch, Bounds, Follower, Log};
use tidings_protocol::{Event, NewEvent, Selection, Sequence};
use tokio::sync::watch;

use crate::conformance::open;
use crate::shelf::{Shelf, config};

fn event(data: &str) -> Batch {
    Batch::of(NewEvent::text("a".parse().unwrap(), data))
}

/// Waits until the log takes writes, or does not.
async fn until_ready(log: &dyn Log, ready: bool) {
    while log.ready().is_ok() != ready {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_are_refused_while_the_engine_is_away_and_nothing_is_half_done() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    log.append(event("before")).await.unwrap();
    shelf.set_away(true);
    until_ready(&*log, false).await;
    for _ in 0..10 {
        assert!(matches!(log.append(event("refused")).await, Err(AppendError::Unavailable(_))));
    }
    shelf.set_away(false);
    until_ready(&*log, true).await;
    log.append(event("after")).await.unwrap();
    let read =
        log.read(0, &Selection::all(), tidings_log::ReadLimits { entries: 9, bytes: 99 }).await.unwrap();
    let data: Vec<_> = read.entries.iter().map(|entry| &entry.data[..]).collect();
    assert_eq!(data, [&b"before"[..], b"after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_takes_no_writes_is_not_ready_and_is_again_though_nobody_tries() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    log.append(event("before")).await.unwrap();
    shelf.set_refusing(true);
    let refused = log.append(event("refused")).await.unwrap_err();
    assert!(refused.to_string().contains("it is full of dust"), "{refused}");
    assert!(log.ready().is_err());
    // It is asked again meanwhile, and also after it was away.
    for _ in 0..2 {
        let limits = tidings_log::ReadLimits { entries: 9, bytes: 99 };
        assert_eq!(log.read(0, &Selection::all(), limits).await.unwrap().entries.len(), 1);
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert!(log.ready().is_err());
        shelf.set_away(true);
        shelf.set_away(false);
    }
    shelf.set_refusing(false);
    until_ready(&*log, true).await;
    log.append(event("after")).await.unwrap();
    // Whoever opens it finds out at once.
    shelf.set_refusing(true);
    assert!(open(&shelf).await.ready().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_says_nothing_of_the_attachment_after_it() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    shelf.set_holding(true);
    let late = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.append(event("late")).await }
    });
    while shelf.log_is_empty().await {
        tokio::task::yield_now().await;
    }
    // Another log is there now, and followed, when the answer comes that speaks of the one before.
    shelf.lose_all_but(0).await;
    shelf.set_away(true);
    until_ready(&*log, false).await;
    shelf.set_away(false);
    until_ready(&*log, true).await;
    let attached = shelf.attached();
    shelf.set_holding(false);
    assert!(matches!(late.await.unwrap(), Err(AppendError::Unavailable(_))));
    // Whoever is doubted is attached to anew, at once.
    for number in 1..=20 {
        assert_eq!(log.append(event("x")).await.unwrap().first, number);
    }
    assert_eq!(shelf.attached(), attached);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_that_finds_the_connection_closed_waits_for_the_next_one() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    for number in 1..=20 {
        shelf.sever();
        assert_eq!(log.append(event("x")).await.unwrap().first, number);
    }
    // And where nobody publishes, it is made anew all the same.
    let attached = shelf.attached();
    shelf.sever();
    while shelf.attached() == attached {
        tokio::task::yield_now().await;
    }
    until_ready(&*log, true).await;
}

/// A hub that follows nothing would look well, and keep its readers waiting for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_panics_begins_anew() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    for number in 0..3 {
        shelf.panic();
        until_ready(&*log, false).await;
        until_ready(&*log, true).await;
        // Its answer comes when it was followed.
        assert_eq!(log.append(event("x")).await.unwrap().first, number + 1);
    }
    log.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_waits_for_the_engine_and_says_what_for() {
    let shelf = Shelf::new();
    shelf.set_away(true);
    let (told, mut waits) = watch::channel(0);
    let opening = tokio::spawn({
        let shelf = shelf.clone();
        async move {
            let waiting = |error: &tidings_engine::EngineError| {
                assert_eq!(error.to_string(), "switched off");
                told.send_modify(|times| *times += 1);
            };
            EngineLog::open(Arc::new(shelf), config(), waiting).await.unwrap()
        }
    });
    waits.wait_for(|times| *times >= 3).await.unwrap();
    assert!(!opening.is_finished());
    shelf.set_away(false);
    opening.await.unwrap().append(event("x")).await.unwrap();
}

/// What a follower was told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Notice {
    Entry(String),
    Renewed(Bounds),
}

#[derive(Default)]
struct Listener(Mutex<Vec<Notice>>);

impl Follower for Listener {
    fn appended(&self, entries: &[Arc<Event>]) {
        let texts = entries.iter().map(|entry| String::from_utf8(entry.data.to_vec()).unwrap());
        self.0.lock().unwrap().extend(texts.map(Notice::Entry));
    }

    fn trimmed(&self, _: Sequence) {}

    fn renewed(&self, bounds: Bounds) {
        self.0.lock().unwrap().push(Notice::Renewed(bounds));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_engine_lost_gives_the_log_a_new_epoch() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    let listener = Arc::new(Listener::default());
    log.follow(Arc::clone(&listener) as Arc<dyn Follower>);
    for number in 0..5 {
        log.append(event(&number.to_string())).await.unwrap();
    }
    let epoch = log.bounds().epoch();
    shelf.set_away(true);
    until_ready(&*log, false).await;
    shelf.lose_all_but(3).await;
    shelf.set_away(false);
    until_ready(&*log, true).await;
    let bounds = log.bounds();
    assert_ne!(bounds.epoch(), epoch);
    assert_eq!((bounds.earliest, bounds.latest), (1, 3));
    let appended = log.append(event("after")).await.unwrap();
    assert_eq!((appended.epoch, appended.first), (bounds.epoch(), 4));
    let mut expected: Vec<_> = (0..5).map(|number| Notice::Entry(number.to_string())).collect();
    expected.extend([Notice::Renewed(bounds), Notice::Entry("after".into())]);
    assert_eq!(*listener.0.lock().unwrap(), expected);
}
