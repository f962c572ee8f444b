//! What asks for much and finds little.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidings_protocol::Selection;

use super::super::limits;
use super::super::locate::{Search, Step};
use super::super::reader::Matcher;
use super::{Bench, runtime, topic};
use crate::{Batch, Budget, DiskLog, Log, Position, ReadLimits};

fn nothing() -> Selection {
    Selection::all().of_types(["nothing".to_owned()])
}

/// A log of so many batches with 1,000 small events each.
fn filled(bench: &Bench, batches: usize) -> DiskLog {
    let log = bench.open().unwrap();
    let runtime = runtime();
    for _ in 0..batches {
        let events = (0..1_000).map(|_| tidings_protocol::NewEvent::text(topic("busy"), "x".repeat(60)));
        let batch = Batch { events: events.collect(), close: None, idempotency: None };
        runtime.block_on(log.append(batch)).unwrap();
    }
    log
}

#[test]
fn a_read_does_not_wait_for_searches() {
    let log = Arc::new(filled(&Bench::new(4 << 20), 100));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let done = Arc::new(AtomicUsize::new(0));
        let searches = 2 * limits::READERS;
        let tasks: Vec<_> = (0..searches)
            .map(|_| {
                let (log, done) = (Arc::clone(&log), Arc::clone(&done));
                tokio::spawn(async move {
                    let found = log.locate(Position::Last(10_000), &nothing()).await;
                    done.fetch_add(1, Ordering::Relaxed);
                    found
                })
            })
            .collect();
        // Each of them has had its turn at asking.
        while log.searchers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let limits = ReadLimits { entries: 100, bytes: 1 << 20 };
        assert_eq!(log.locate(Position::Earliest, &Selection::all()).await, Ok(0));
        assert_eq!(log.read(0, &Selection::all(), limits).await.unwrap().entries.len(), 100);
        assert!(done.load(Ordering::Relaxed) < searches / 2, "the read waited for the searches");
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(0));
        }
    });
}

#[test]
fn a_search_that_nobody_waits_for_ends() {
    let log = Arc::new(filled(&Bench::new(4 << 20), 20));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let searcher = Arc::clone(&log);
        let search = tokio::spawn(async move { searcher.locate(Position::Last(1), &nothing()).await });
        while log.searchers.available_permits() == limits::SEARCHERS {
            tokio::task::yield_now().await;
        }
        search.abort();
        drop(search.await);
        let all = u32::try_from(limits::SEARCHERS).unwrap();
        drop(log.searchers.acquire_many(all).await.unwrap());
        // Nothing of it is left that could take a place again.
        assert_eq!(Arc::strong_count(&log), 1);
    });
}

#[test]
fn a_search_goes_back_in_steps_and_no_farther_than_its_budget() {
    let log = filled(&Bench::new(1 << 20), 60);
    let steps = |selection: Selection, count, budget: Option<Budget>| {
        let mut search = Box::new(Search::new(&log.shared, count, selection));
        search.set_budget(budget.unwrap_or_default());
        let mut steps = 1;
        loop {
            match search.step(&log.shared).unwrap() {
                Step::Found(sequence) => return (sequence, steps),
                Step::On(next) => search = next,
            }
            steps += 1;
        }
    };
    let (found, many) = steps(nothing(), 1, None);
    let bytes = 60_000 * 100;
    assert_eq!(found, 0);
    assert!(many >= bytes / usize::try_from(limits::READ_WORK).unwrap(), "{many}");
    let busy = Selection::new([topic("busy").into()]);
    assert_eq!(steps(busy.clone(), 50_000, None).0, 10_000);
    assert_eq!(steps(Selection::all(), 50_000, None).0, 10_000);
    for selection in [nothing(), busy.of_types(["nothing".to_owned()])] {
        let (found, few) = steps(selection, 1, Some(Budget::new(20_000, u64::MAX, u64::MAX)));
        assert!((30_000..=40_000).contains(&found) && few < many, "{found} after {few}");
    }
}

#[test]
fn what_a_pattern_matches_is_looked_for_for_so_long_and_no_longer() {
    let bench = Bench::new(4 << 20);
    let log = bench.open().unwrap();
    let deep = "s/".repeat(200);
    let events = (0..3_000).map(|n| tidings_protocol::NewEvent::text(topic(&format!("{deep}{n}")), ""));
    runtime()
        .block_on(log.append(Batch { events: events.collect(), close: None, idempotency: None }))
        .unwrap();
    let patterns = (0..60).map(|n| format!("{}{n}", "*/".repeat(200)).parse().unwrap());
    let selection = Selection::new(patterns);
    let mut matcher = Matcher::new(&log.shared, selection.clone(), Some(0));
    assert_eq!(matcher.take_steps(), 0, "that is not counted with what is read");
    // And a read looks at few of them at a time.
    let limits = ReadLimits { entries: 1_000, bytes: 1 << 20 };
    let chunk = runtime().block_on(log.read(0, &selection, limits)).unwrap();
    assert!(chunk.next < 1_000, "{}", chunk.next);
    let all = super::try_read_with(&log, &selection).unwrap();
    assert_eq!(all.len(), 60);
    // A search ends as well.
    let search = |comparisons| {
        let mut search = Box::new(Search::new(&log.shared, 1_000, selection.clone()));
        search.set_budget(Budget::new(usize::MAX, u64::MAX, comparisons));
        loop {
            match search.step(&log.shared).unwrap() {
                Step::Found(sequence) => return sequence,
                Step::On(next) => search = next,
            }
        }
    };
    let found = search(10_000_000);
    assert!((1_500..2_500).contains(&found), "{found}");
    assert_eq!(search(u64::MAX), 0);
}
