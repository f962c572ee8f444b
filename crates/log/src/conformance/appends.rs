//! What an append does, and what it refuses.

use std::sync::Arc;

use tidings_protocol::{Closing, EndReason, EventType, NewEvent, Selection, Timestamp};

use super::{end, event, keyed, publish, read_all, select, sequences, topic};
use crate::{AppendError, Appended, Batch, Close, Idempotency, Log, Scope};

pub(super) async fn what_is_appended_is_read_back(log: &dyn Log) {
    let events = [
        event("a", "text"),
        event("a/b", ""),
        NewEvent::json(topic("größe/α"), " {\"a\":\n1} ").unwrap().typed(EventType::new("shipped").unwrap()),
        NewEvent::binary(topic("a"), (0..=255).cycle().take(1 << 20).collect::<Vec<u8>>()),
        event(&"x".repeat(512), "long names").typed(EventType::new(&"t".repeat(128)).unwrap()),
    ];
    let before = Timestamp::now();
    for given in &events {
        let appended = log.append(Batch::of(given.clone())).await.unwrap();
        assert_eq!((appended.count, appended.duplicate), (1, false));
        let read = read_all(log, appended.first - 1, &Selection::all()).await;
        let entry = &read[0];
        assert_eq!((entry.sequence, entry.time), (appended.first, appended.time));
        assert_eq!((&entry.topic, &entry.event_type), (&given.topic, &given.event_type));
        assert_eq!((entry.format, &entry.data), (given.format(), given.data()));
        assert_eq!(entry.closing, Closing::No);
        assert!(entry.time >= before);
    }
    let read = read_all(log, 0, &Selection::all()).await;
    assert_eq!(read.len(), events.len());
    assert!(read.is_sorted_by(|a, b| a.sequence < b.sequence && a.time <= b.time));
    assert_eq!(log.bounds().latest, read.last().unwrap().sequence);
}

pub(super) async fn a_batch_is_consecutive_and_has_one_time(log: &dyn Log) {
    publish(log, "before", "").await;
    let events: Vec<_> = (0..100).map(|n| event(&format!("t/{}", n % 7), &n.to_string())).collect();
    let appended =
        log.append(Batch { events, close: Some(topic("t/3").into()), idempotency: None }).await.unwrap();
    assert_eq!(appended.count, 100);
    let read = read_all(log, appended.first - 1, &Selection::all()).await;
    assert_eq!(sequences(&read), appended.sequences().collect::<Vec<_>>());
    assert!(read.iter().all(|entry| entry.time == appended.time));
    let closing: Vec<_> = read.iter().filter(|entry| entry.closes()).collect();
    assert_eq!(closing.len(), 1);
    assert_eq!((&closing[0].data[..], closing[0].closing), (&b"94"[..], Closing::After));
}

pub(super) async fn a_closed_topic_takes_no_more(log: &dyn Log) {
    publish(log, "a", "1").await;
    let last = end(log, "a").await;
    let refused = log.append(Batch::of(event("a", "2"))).await;
    assert_eq!(refused, Err(AppendError::TopicClosed { topic: topic("a") }));
    let again = Batch { events: Vec::new(), close: Some(topic("a").into()), idempotency: None };
    assert!(matches!(log.append(again).await, Err(AppendError::TopicClosed { .. })));
    assert!(log.topic(&topic("a")).await.unwrap().unwrap().closed);
    let read = read_all(log, 0, &select(&["a"])).await;
    assert_eq!(read.last().map(|entry| (entry.sequence, entry.closing)), Some((last, Closing::Only)));
    publish(log, "b", "others go on").await;
    // Readers who ask for other types are told of the end as well.
    let types = select(&["a"]).of_types(["other".to_owned()]);
    assert_eq!(sequences(&read_all(log, 0, &types).await), [last]);
}

/// An end with a reason is an entry of its own, behind the last event, and its reason is a part of what a key stands for.
pub(super) async fn an_end_has_a_reason(log: &dyn Log) {
    let close = |name: &str, reason| Some(Close::for_reason(topic(name), reason));
    let stopped = || Some(EndReason::new("stopped").unwrap());
    let bare = Batch { events: Vec::new(), close: close("bare", stopped()), idempotency: None };
    log.append(bare).await.unwrap();
    let last = Batch { events: vec![event("last", "1")], close: close("last", stopped()), idempotency: None };
    let last = keyed(last, Some("last"), "k");
    let appended = log.append(last.clone()).await.unwrap();
    assert_eq!(appended.count, 2);
    let clean = Batch { close: Some(topic("last").into()), ..last.clone() };
    assert!(matches!(log.append(clean).await, Err(AppendError::KeyConflict { .. })));
    assert_eq!(log.append(last).await.unwrap().first, appended.first);
    end(log, "clean").await;
    let ends = |name: &'static str| async move {
        let read = read_all(log, 0, &select(&[name])).await;
        read.iter().map(|entry| (entry.is_visible(), entry.closing, entry.end_reason())).collect::<Vec<_>>()
    };
    assert_eq!(ends("bare").await, [(false, Closing::Only, stopped())]);
    assert_eq!(ends("last").await, [(true, Closing::No, None), (false, Closing::Only, stopped())]);
    assert_eq!(ends("clean").await, [(false, Closing::Only, None)]);
    let refused = log.append(Batch::of(event("last", "2"))).await;
    assert_eq!(refused, Err(AppendError::TopicClosed { topic: topic("last") }));
    let info = log.topic(&topic("last")).await.unwrap().unwrap();
    assert_eq!((info.latest, info.closed), (appended.last(), true));
}

pub(super) async fn a_refused_batch_leaves_nothing(log: &dyn Log) {
    end(log, "closed").await;
    let latest = log.bounds().latest;
    let batch = Batch {
        events: vec![event("open", "1"), event("closed", "2"), event("open", "3")],
        close: None,
        idempotency: None,
    };
    assert!(matches!(log.append(batch).await, Err(AppendError::TopicClosed { .. })));
    assert_eq!(log.bounds().latest, latest);
    assert_eq!(log.topic(&topic("open")).await.unwrap(), None);
}

pub(super) async fn a_key_is_answered_once(log: &dyn Log) {
    let batch = keyed(Batch::of(event("a", "1")), Some("a"), "k");
    let first = log.append(batch.clone()).await.unwrap();
    publish(log, "a", "between").await;
    let again = log.append(batch.clone()).await.unwrap();
    assert!(again.duplicate);
    assert_eq!((again.first, again.count, again.time), (first.first, first.count, first.time));
    let other = keyed(Batch::of(event("a", "2")), Some("a"), "k");
    assert_eq!(log.append(other).await, Err(AppendError::KeyConflict { key: "k".into() }));
    // Another scope, another key.
    assert!(!log.append(keyed(Batch::of(event("b", "1")), Some("b"), "k")).await.unwrap().duplicate);
    let all = keyed(
        Batch { events: vec![event("a", "x"), event("b", "y")], close: None, idempotency: None },
        None,
        "k",
    );
    let first = log.append(all.clone()).await.unwrap();
    assert_eq!((first.count, first.duplicate), (2, false));
    let again = log.append(all).await.unwrap();
    assert_eq!((again.first, again.count, again.duplicate), (first.first, 2, true));
    // So has each publisher of such batches.
    for owner in ["ann", "bob"] {
        let mut own = Batch::of(event("a", owner));
        own.idempotency = Some(Idempotency { scope: Scope::BatchesOf(owner.into()), key: "k".into() });
        let first = log.append(own.clone()).await.unwrap();
        assert!(!first.duplicate, "{owner}");
        let again = log.append(own).await.unwrap();
        assert_eq!((again.first, again.duplicate), (first.first, true), "{owner}");
    }
    // The end of a topic can be repeated, though the topic has ended.
    let closing = keyed(
        Batch { events: Vec::new(), close: Some(topic("a").into()), idempotency: None },
        Some("a"),
        "end",
    );
    let first = log.append(closing.clone()).await.unwrap();
    assert_eq!(log.append(closing).await.unwrap().first, first.first);
    assert_eq!(log.bounds().latest, first.first);
}

/// Of a stream of events that has keys, the log passes over those that it has, and appends the others in their order, up to
/// the first that it refuses.
pub(super) async fn a_chain_ends_with_what_is_refused(log: &dyn Log) {
    let item =
        |number: usize, data: &str| keyed(Batch::of(event("s", data)), Some("s"), &format!("k/{number}"));
    let items = |numbers: std::ops::RangeInclusive<usize>| {
        numbers.map(|number| item(number, &number.to_string())).collect::<Vec<_>>()
    };
    let datas = || async { datas(&read_all(log, 0, &select(&["s"])).await) };
    let told = |answers: Vec<Result<Appended, AppendError>>| {
        answers.into_iter().map(|answer| answer.map(|appended| appended.duplicate)).collect::<Vec<_>>()
    };
    assert_eq!(told(log.append_each(items(1..=3)).await), vec![Ok(false); 3]);
    let mut other = items(1..=5);
    other[2] = item(3, "other");
    let conflict = Err(AppendError::KeyConflict { key: "k/3".into() });
    assert_eq!(told(log.append_each(other).await), [Ok(true), Ok(true), conflict]);
    assert_eq!(datas().await, ["1", "2", "3"], "nothing behind what was refused is there");
    let answers = log.append_each(items(1..=200)).await;
    let sequences: Vec<_> = answers.iter().map(|answer| answer.as_ref().unwrap().first).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b));
    assert!(told(answers).iter().enumerate().all(|(place, answer)| *answer == Ok(place < 3)));
    assert_eq!(datas().await, (1..=200).map(|number| number.to_string()).collect::<Vec<_>>());
    end(log, "s").await;
    let closed = Err(AppendError::TopicClosed { topic: topic("s") });
    assert_eq!(told(log.append_each(items(199..=203)).await), [Ok(true), Ok(true), closed]);
    assert_eq!(log.append_each(Vec::new()).await, []);
}

fn datas(entries: &[Arc<tidings_protocol::Event>]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.data).into_owned()).collect()
}

pub(super) async fn appends_at_the_same_time_have_one_order(log: &Arc<dyn Log>) {
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let log = Arc::clone(log);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let mut own = Vec::new();
                    for number in 0..100 {
                        let name = format!("t/{thread}");
                        let events = vec![event(&name, &number.to_string()); 1 + number % 3];
                        let appended =
                            log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
                        own.extend(appended.sequences().map(|sequence| (sequence, number)));
                    }
                    own
                })
            })
        })
        .collect();
    let mut all = Vec::new();
    for (thread, handle) in threads.into_iter().enumerate() {
        let own = handle.join().unwrap();
        let read = read_all(&**log, 0, &select(&[&format!("t/{thread}")])).await;
        let found: Vec<_> = read
            .iter()
            .map(|entry| (entry.sequence, str::from_utf8(&entry.data).unwrap().parse().unwrap()))
            .collect();
        assert_eq!(found, own, "a publisher's events are in the order in which it sent them");
        all.extend(own.into_iter().map(|(sequence, _)| sequence));
    }
    all.sort_unstable();
    assert_eq!(sequences(&read_all(&**log, 0, &Selection::all()).await), all);
}
