//! Subscriptions: every event once, in order, whatever happens between two reads.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

mod hesitant;

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tidings_hub::{Framing, Hub, HubConfig, Pull, PullLimits, Subscription};
use tidings_log::{Batch, Log, MemoryLog, Retention};
use tidings_protocol::{Cursor, EndReason, GapReason, NewEvent, Selection, Selector, Sequence, Start, Topic};
use tokio::time::timeout;

use self::hesitant::HesitantLog;

const PATIENCE: Duration = Duration::from_secs(20);

fn log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Retention::default(), Duration::from_secs(60)))
}

fn hub(tail_bytes: usize) -> Hub {
    Hub::new(log(), HubConfig { tail_bytes, ..HubConfig::default() })
}

fn select(selectors: &[&str]) -> Selection {
    Selection::new(selectors.iter().map(|text| Selector::new(text).unwrap()))
}

async fn publish(hub: &Hub, topic: &str, text: &str) -> Sequence {
    let event = NewEvent::text(Topic::new(topic).unwrap(), text);
    hub.publish(Batch::of(event)).await.unwrap().appended.first
}

async fn subscribe(hub: &Hub, selectors: &[&str], start: Start) -> Subscription {
    hub.subscribe(select(selectors), start).await.unwrap()
}

/// A hub over a log that does not answer at once.
fn hesitant_hub(tail_bytes: usize) -> Hub {
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(3_600));
    Hub::new(Arc::new(HesitantLog::new(log)), HubConfig { tail_bytes, ..HubConfig::default() })
}

/// Begins something and goes on with it so often; gives it up where it is not done then.
async fn begun<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

fn texts(pull: &Pull) -> Vec<String> {
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
    pull.entries.iter().map(|entry| text(&entry.event().data)).collect()
}

fn limits(events: usize) -> PullLimits {
    PullLimits { events, ..PullLimits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_dropped_at_any_point_neither_loses_nor_repeats() {
    // All in memory; partly in the log; all in the log.
    for tail_bytes in [64 << 20, 20_000, 0] {
        let hub = hesitant_hub(tail_bytes);
        let publisher = {
            let hub = hub.clone();
            tokio::spawn(async move {
                for number in 0..2_000 {
                    publish(&hub, if number % 3 == 0 { "b" } else { "a" }, &number.to_string()).await;
                    if number % 10 == 0 {
                        tokio::time::sleep(Duration::from_micros(100)).await;
                    }
                }
            })
        };
        let mut readers = Vec::new();
        for (seed, selectors) in [(1, &["a"][..]), (2, &["*"]), (3, &["a", "b"]), (4, &["b", "a/**"])] {
            let mut subscription = subscribe(&hub, selectors, Start::Earliest).await;
            let wanted = subscription.selection().clone();
            readers.push(tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(seed);
                let expected: Vec<_> = (0..2_000)
                    .filter(|number| {
                        let topic = if number % 3 == 0 { "b" } else { "a" };
                        wanted.matches_topic(&Topic::new(topic).unwrap())
                    })
                    .map(|number| number.to_string())
                    .collect();
                let (mut seen, mut dropped) = (Vec::new(), 0);
                while seen.len() < expected.len() {
                    let limits = limits(random.usize(1..40));
                    let times = random.usize(1..20);
                    let pull = if random.u8(0..4) == 0 {
                        begun(subscription.pull(limits), times).await
                    } else {
                        begun(subscription.next(limits), times).await
                    };
                    let Some(pull) = pull else {
                        dropped += 1;
                        continue;
                    };
                    let pull = pull.unwrap();
                    assert!(pull.gap.is_none());
                    seen.extend(texts(&pull));
                }
                assert_eq!(seen, expected);
                dropped
            }));
        }
        timeout(PATIENCE, publisher).await.unwrap().unwrap();
        let mut dropped = 0;
        for reader in readers {
            dropped += timeout(PATIENCE, reader).await.unwrap().unwrap();
        }
        // Where all is in memory, only those are given up that wait for more.
        assert!(tail_bytes > 0 || dropped > 100, "hardly a read was dropped: {dropped}");
    }
}

#[tokio::test]
async fn a_dropped_read_keeps_the_gap_for_the_next() {
    let hub = hesitant_hub(0);
    publish(&hub, "a", "x").await;
    // The newest may be in memory all the same.
    publish(&hub, "b", "y").await;
    let mut subscription = subscribe(&hub, &["a"], Start::Foreign("nonsense".into())).await;
    for times in 1..3 {
        assert!(begun(subscription.next(PullLimits::default()), times).await.is_none(), "it has hesitated");
        assert!(begun(subscription.pull(PullLimits::default()), times).await.is_none(), "it has hesitated");
    }
    let pull = subscription.next(PullLimits::default()).await.unwrap();
    assert_eq!(pull.gap.as_ref().unwrap().reason, GapReason::Unknown);
    assert_eq!(texts(&pull), ["x"]);
    assert!(subscription.gap().is_none());
    assert!(subscription.pull(PullLimits::default()).await.unwrap().gap.is_none());
}

#[tokio::test]
async fn what_memory_has_lost_is_read_from_the_log() {
    let hub = hub(4_000);
    let mut early = subscribe(&hub, &["a"], Start::Earliest).await;
    for number in 0..200 {
        publish(&hub, "a", &number.to_string()).await;
    }
    assert!(hub.recent(0, PullLimits::default()).is_none(), "memory does not reach back so far");
    assert!(hub.recent(199, PullLimits::default()).is_some());
    let mut seen = Vec::new();
    while seen.len() < 200 {
        let pull = early.next(limits(7)).await.unwrap();
        assert!(pull.entries.len() <= 7 && pull.gap.is_none());
        seen.extend(texts(&pull));
    }
    let expected: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_at_any_moment_see_all_that_follows() {
    let hub = hub(50_000);
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let hub = hub.clone();
            tokio::spawn(async move {
                for number in 0..500 {
                    publish(&hub, &format!("t/{publisher}"), &number.to_string()).await;
                    if number % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    let mut readers = Vec::new();
    for place in 0..40 {
        let selector = if place % 2 == 0 { "t/1" } else { "t/*" };
        let mut subscription = subscribe(&hub, &[selector], Start::Latest).await;
        let from = subscription.cursor().sequence;
        readers.push(tokio::spawn(async move {
            let mut sequences = Vec::new();
            let mut done = false;
            while !done {
                let pull = subscription.next(limits(20)).await.unwrap();
                sequences.extend(pull.entries.iter().map(|entry| entry.event().sequence));
                done = texts(&pull).last().is_some_and(|text| text == "done");
            }
            (selector, from, sequences)
        }));
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    for publisher in publishers {
        timeout(PATIENCE, publisher).await.unwrap().unwrap();
    }
    publish(&hub, "t/1", "done").await;
    for reader in readers {
        let (selector, from, sequences) = timeout(PATIENCE, reader).await.unwrap().unwrap();
        let start = Start::Cursor(Cursor::new(hub.epoch(), from));
        let mut again = subscribe(&hub, &[selector], start).await;
        let mut expected = Vec::new();
        loop {
            let pull = again.pull(limits(1_000)).await.unwrap();
            expected.extend(pull.entries.iter().map(|entry| entry.event().sequence));
            if !pull.more {
                break;
            }
        }
        assert_eq!(sequences, expected, "{selector} from {from}");
    }
}

#[tokio::test]
async fn a_subscription_that_retention_overtakes_is_told() {
    let retention = Retention { bytes: 2_000, ..Retention::default() };
    let log = Arc::new(MemoryLog::new(retention, Duration::from_secs(60)));
    let hub = Hub::new(log.clone(), HubConfig::default());
    let mut subscription = subscribe(&hub, &["a"], Start::Latest).await;
    publish(&hub, "a", "0").await;
    assert_eq!(texts(&subscription.next(PullLimits::default()).await.unwrap()), ["0"]);
    for number in 1..100 {
        publish(&hub, "a", &number.to_string()).await;
    }
    let pull = subscription.next(PullLimits::default()).await.unwrap();
    let gap = pull.gap.as_ref().unwrap();
    let earliest = log.bounds().earliest;
    assert_eq!(gap.reason, GapReason::Expired);
    assert_eq!(gap.since, format!("{}-1", hub.epoch()));
    assert_eq!(gap.resumed, format!("{}-{}", hub.epoch(), earliest - 1));
    assert_eq!(pull.entries.first().unwrap().event().sequence, earliest);
    assert_eq!(pull.entries.last().unwrap().event().sequence, 100);
}

#[tokio::test]
async fn a_subscription_that_is_dropped_waits_no_more() {
    let hub = hub(1 << 20);
    let topic = Topic::new("a").unwrap();
    let mut subscriptions = Vec::new();
    for selectors in [&["a"][..], &["a", "b"], &["*"], &["a", "**"]] {
        let mut subscription = subscribe(&hub, selectors, Start::Latest).await;
        assert_eq!(hub.subscribers(&topic), subscriptions.len(), "it waits only once it is asked to");
        subscription.listen();
        subscription.listen();
        subscriptions.push(subscription);
    }
    assert_eq!(hub.subscribers(&topic), 4);
    assert_eq!(hub.subscribers(&Topic::new("b").unwrap()), 3);
    subscriptions.truncate(1);
    assert_eq!(hub.subscribers(&topic), 1);
    drop(subscriptions);
    assert_eq!(hub.subscribers(&topic), 0);
}

#[tokio::test]
async fn entries_are_encoded_once_for_all_their_readers() {
    let hub = hub(1 << 20);
    publish(&hub, "a", "x").await;
    let mut first = subscribe(&hub, &["a"], Start::Earliest).await;
    let mut second = subscribe(&hub, &["*"], Start::Earliest).await;
    let first = first.next(PullLimits::default()).await.unwrap();
    let second = second.next(PullLimits::default()).await.unwrap();
    for framing in [Framing::Object, Framing::Line, Framing::Stream { topic: true, envelope: false }] {
        let frames = [&first, &second, &first].map(|pull| match pull.entries[0].frame(framing) {
            Cow::Borrowed(frame) => frame.as_ptr(),
            Cow::Owned(_) => panic!("there is memory to keep it"),
        });
        assert!(frames.iter().all(|frame| *frame == frames[0]), "encoded again as {framing:?}");
    }
}

#[tokio::test]
async fn a_reader_of_rare_events_among_very_many_gets_to_the_end() {
    let hub = hub(100_000);
    publish(&hub, "rare", "first").await;
    let others: Vec<_> =
        (0..30_000).map(|_| NewEvent::text(Topic::new("busy").unwrap(), "x")).collect::<Vec<_>>();
    hub.publish(Batch { events: others, close: None, idempotency: None }).await.unwrap();
    publish(&hub, "rare", "last").await;
    for selectors in [&["rare"][..], &["rare/**", "rare"], &["r*re", "rare"]] {
        let mut subscription = subscribe(&hub, selectors, Start::Earliest).await;
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(texts(&timeout(PATIENCE, subscription.next(limits(1))).await.unwrap().unwrap()));
        }
        assert_eq!(seen, ["first", "last"]);
        assert_eq!(subscription.cursor().sequence, hub.latest());
    }
}

#[tokio::test]
async fn limits_of_nothing_still_give_one_event_and_never_spin() {
    let hub = hub(1 << 20);
    let none = PullLimits { events: 0, bytes: 0 };
    let mut subscription = subscribe(&hub, &["**"], Start::Earliest).await;
    let published = tokio::spawn({
        let hub = hub.clone();
        // On the same thread: it comes to this only where the reader gives way.
        async move {
            publish(&hub, "a", "1").await;
            publish(&hub, "a", "2").await;
        }
    });
    for expected in ["1", "2"] {
        let next = timeout(PATIENCE, subscription.next(none)).await.expect("an event");
        assert_eq!(texts(&next.unwrap()), [expected]);
    }
    published.await.unwrap();
}

/// From memory that was filled at a start, from the log, and from what came since: each time the same.
#[tokio::test]
async fn a_deleted_topic_ends_for_its_readers_wherever_they_are_read_from() {
    let log = log();
    let hub = Hub::new(Arc::clone(&log) as Arc<dyn Log>, HubConfig::default());
    for text in ["1", "2"] {
        publish(&hub, "a", text).await;
    }
    publish(&hub, "b", "stays").await;
    let mut waiting = subscribe(&hub, &["a"], Start::Latest).await;
    let deleted = hub.delete(Topic::new("a").unwrap()).await.unwrap().appended.first;
    publish(&hub, "a", "anew").await;
    let began = hub.lineage().id(1);
    let warmed = Hub::new(Arc::clone(&log) as Arc<dyn Log>, HubConfig::default());
    warmed.warm().await.unwrap();
    let cold = Hub::new(Arc::clone(&log) as Arc<dyn Log>, HubConfig::default());
    let pull = timeout(PATIENCE, waiting.next(PullLimits::default())).await.unwrap().unwrap();
    assert!(pull.ended && pull.entries.is_empty() && !pull.more);
    for hub in [&hub, &warmed, &cold] {
        let mut old = subscribe(hub, &["a"], Start::Cursor(began)).await;
        let pull = old.pull(PullLimits::default()).await.unwrap();
        assert!(pull.ended && pull.entries.is_empty() && pull.gap.is_none(), "{pull:?}");
        assert_eq!(pull.reason.as_ref().map(EndReason::as_str), Some("deleted"));
        assert_eq!(old.cursor().sequence, deleted);
        let mut new = subscribe(hub, &["a"], Start::Earliest).await;
        let pull = new.pull(PullLimits::default()).await.unwrap();
        assert_eq!((texts(&pull), pull.ended), (vec!["anew".to_owned()], false));
        let mut all = subscribe(hub, &["**"], Start::Earliest).await;
        let pull = all.pull(PullLimits::default()).await.unwrap();
        assert_eq!(texts(&pull), ["stays", "anew"]);
    }
}
