use std::time::Duration;

use tidings_log::{Batch, Position, ReadError, ReadLimits};
use tidings_protocol::{NewEvent, Selection, Topic};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::conformance::open;
use crate::shelf::Shelf;

/// Readers who lost the same hub come back to about the same place, with selections of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_return_together_share_what_they_read() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    let topic = |number: usize| Topic::new(&format!("t/{}", number % 10)).unwrap();
    for _ in 0..20 {
        let events = (0..1_000).map(|number| NewEvent::text(topic(number), "x".repeat(100))).collect();
        log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
    }
    let (latest, before) = (log.bounds().latest, shelf.reads());
    let mut readers = JoinSet::new();
    for number in 0..200 {
        let log = std::sync::Arc::clone(&log);
        readers.spawn(async move {
            let selection = Selection::new([topic(number).into()]);
            let (mut after, mut count) = (0, 0);
            while after < latest {
                let limits = ReadLimits { entries: 1_000, bytes: 1 << 20 };
                let chunk = log.read(after, &selection, limits).await.unwrap();
                count += chunk.entries.len();
                after = chunk.next;
            }
            assert_eq!(count, 2_000);
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
    // The log has three blocks. A reader may begin one of its own inside of one that is only being read.
    let reads = shelf.reads() - before;
    assert!((3..=10).contains(&reads), "{reads}");
}

/// The last event of a topic that has been quiet for long is looked for where it is, and not from the end of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_event_of_a_quiet_topic_costs_one_read() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    let quiet: Topic = "quiet".parse().unwrap();
    log.append(Batch::of(NewEvent::text(quiet.clone(), "first"))).await.unwrap();
    let last = log.append(Batch::of(NewEvent::text(quiet.clone(), "last"))).await.unwrap().first;
    for _ in 0..30 {
        let events = (0..1_000).map(|_| NewEvent::text("busy".parse().unwrap(), "x")).collect();
        log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
    }
    let (selection, before) = (Selection::new([quiet.into()]), shelf.reads());
    assert_eq!(log.locate(Position::Last(1), &selection).await, Ok(last - 1));
    assert_eq!(shelf.reads() - before, 1);
    assert_eq!(log.locate(Position::Last(2), &selection).await, Ok(last - 2));
    // Whoever asks for more than there are gets all of them.
    assert_eq!(log.locate(Position::Last(3), &selection).await, Ok(0));
    assert_eq!(log.locate(Position::Last(1), &Selection::all()).await, Ok(30_001));
}

/// What failed, or was given up, leaves nothing behind: no memory, and nothing that hides what is read later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_came_to_nothing_leave_nothing() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    let events = (0..1_000).map(|_| NewEvent::text("a".parse().unwrap(), "x")).collect();
    log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
    let (all, limits) = (Selection::all(), ReadLimits { entries: 10, bytes: 1 << 20 });

    shelf.set_silent(true);
    for after in 1..100 {
        let given_up = timeout(Duration::from_millis(1), log.read(after, &all, limits)).await;
        assert!(given_up.is_err());
    }
    shelf.set_silent(false);
    shelf.set_away(true);
    for after in 100..900 {
        let failed = log.read(after, &all, limits).await;
        assert!(matches!(failed, Err(ReadError::Away { .. })), "{failed:?}");
    }
    let left = format!("{log:?}");
    assert!(left.contains("blocks: 0, reading: 0"), "{left}");

    shelf.set_away(false);
    while log.ready().is_err() {
        tokio::task::yield_now().await;
    }
    let before = shelf.reads();
    for after in 0..900 {
        let chunk = log.read(after, &all, limits).await.unwrap();
        assert_eq!(chunk.entries[0].sequence, after + 1);
    }
    assert_eq!(shelf.reads() - before, 1);
    let left = format!("{log:?}");
    assert!(left.contains("blocks: 1, reading: 0"), "{left}");
}

/// Who waits for what another one reads goes on with it where that one has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_leaves_takes_nothing_from_the_others() {
    let shelf = Shelf::new();
    let log = open(&shelf).await;
    log.append(Batch::of(NewEvent::text("a".parse().unwrap(), "x"))).await.unwrap();
    let (all, limits) = (Selection::all(), ReadLimits { entries: 10, bytes: 1 << 20 });
    shelf.set_silent(true);
    let mut leaves = log.read(0, &all, limits);
    assert!(timeout(Duration::from_millis(1), &mut leaves).await.is_err());
    let mut stays = log.read(0, &all, limits);
    assert!(timeout(Duration::from_millis(1), &mut stays).await.is_err());
    assert_eq!(shelf.reads(), 1);
    shelf.set_silent(false);
    drop(leaves);
    assert_eq!(stays.await.unwrap().entries.len(), 1);
    assert_eq!(shelf.reads(), 2);
    assert_eq!(log.read(0, &all, limits).await.unwrap().entries.len(), 1);
    assert_eq!(shelf.reads(), 2, "it is kept for others");
}
