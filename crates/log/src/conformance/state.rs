//! What is not read any more: topics that were deleted, and events whose lifetime has passed.

use std::time::Duration;

use tidings_protocol::{Closing, EndReason, Selection, Selector, Sequence, Timestamp};

use super::{Subject, WIDE, end, event, keyed, locate, publish, read, read_all, select, sequences, topic};
use crate::{Appended, Batch, Log, Position, TopicQuery};

/// Long enough that no event expires while the suite runs, and short enough that one that is waited for does.
const LONG: Duration = Duration::from_secs(86_400);
const SHORT: Duration = Duration::from_millis(20);

async fn delete(log: &dyn Log, name: &str) -> Sequence {
    let deleted = log.append(Batch::deletion(topic(name))).await.unwrap();
    assert_eq!((deleted.count, deleted.duplicate), (1, false));
    deleted.first
}

async fn lasting(log: &dyn Log, name: &str, data: &str, ttl: Duration) -> Appended {
    log.append(Batch::of(event(name, data).lasting(Some(ttl)))).await.unwrap()
}

/// Waits until what has a [`SHORT`] lifetime is expired, by the clock that readers go by.
async fn outlive(appended: Appended) {
    while Timestamp::now() <= appended.time.after(SHORT) {
        tokio::time::sleep(SHORT).await;
    }
}

async fn listed(log: &dyn Log) -> Vec<String> {
    let query = TopicQuery { selector: &Selector::all(), after: None, limit: 100 };
    log.topics(query).await.unwrap().into_iter().map(|info| info.topic.to_string()).collect()
}

/// Whether the topic is as if nobody had ever published to it, but that readers who were before are told of its end.
async fn is_gone(log: &dyn Log, name: &str, deleted: Sequence) {
    let entries = read_all(log, 0, &select(&[name])).await;
    assert_eq!(sequences(&entries), [deleted]);
    assert_eq!((entries[0].closing, entries[0].is_visible()), (Closing::Deleted, false));
    assert_eq!(entries[0].end_reason(), Some(EndReason::deleted()));
    assert_eq!(log.topic(&topic(name)).await.unwrap(), None);
    assert!(!listed(log).await.contains(&name.to_owned()));
    assert_eq!(log.deleted_upto(&topic(name)), deleted);
}

pub(super) async fn a_deleted_topic_is_not_read_again(log: &dyn Log) {
    let first = publish(log, "a", "1").await;
    publish(log, "b", "stays").await;
    let several = vec![event("a", "2"), event("c", "3"), event("a", "4")];
    log.append(Batch { events: several, close: None, idempotency: None }).await.unwrap();
    assert_eq!(log.deleted_upto(&topic("a")), 0);
    let deleted = delete(log, "a").await;
    is_gone(log, "a", deleted).await;
    // Whoever was in the middle of it is told the end as well, and nothing of the others is missing.
    assert_eq!(sequences(&read_all(log, first, &select(&["a"])).await), [deleted]);
    let all = read_all(log, 0, &Selection::all()).await;
    let data: Vec<_> = all.iter().filter(|entry| entry.is_visible()).map(|entry| &entry.data[..]).collect();
    assert_eq!(data, [&b"stays"[..], b"3"]);
    assert_eq!(listed(log).await, ["b", "c"]);
    // Deletions are among what there is of all topics, which a hub that starts fills its memory with.
    assert!(sequences(&all).contains(&deleted));
    // What was deleted does not count among the last events.
    let two = select(&["a", "b", "c"]);
    let place = locate(log, Position::Last(2), &two).await;
    assert!(read_all(log, place, &two).await.iter().any(|entry| entry.data == "stays"));
    // Pages are as long as they may be without it, and end where they should.
    let few = super::ReadLimits { entries: 1, ..WIDE };
    let (mut after, mut found) = (0, 0);
    loop {
        let chunk = read(log, after, &Selection::all(), few).await;
        found += chunk.entries.iter().filter(|entry| entry.is_visible()).count();
        if chunk.next == after {
            break;
        }
        after = chunk.next;
    }
    assert_eq!((found, after), (2, log.bounds().latest));
}

pub(super) async fn a_deleted_name_is_used_anew(log: &dyn Log) {
    for round in 0..3 {
        publish(log, "a", &format!("{round}")).await;
        if round == 1 {
            end(log, "a").await;
        }
        let deleted = delete(log, "a").await;
        is_gone(log, "a", deleted).await;
        let anew = publish(log, "a", "anew").await;
        let info = log.topic(&topic("a")).await.unwrap().unwrap();
        assert_eq!((info.latest, info.closed), (anew, false));
        assert_eq!(sequences(&read_all(log, 0, &select(&["a"])).await), [deleted, anew]);
        assert_eq!(listed(log).await, ["a"]);
    }
    // One that nobody has published to, one that has ended, and one that is deleted already.
    delete(log, "nothing").await;
    end(log, "ended").await;
    delete(log, "ended").await;
    let again = delete(log, "ended").await;
    is_gone(log, "ended", again).await;
    end(log, "ended").await;
    assert!(log.topic(&topic("ended")).await.unwrap().unwrap().closed);
}

pub(super) async fn keys_of_a_deleted_topic_are_forgotten(log: &dyn Log) {
    let batch = keyed(Batch::of(event("a", "1")), Some("a"), "k");
    let others = keyed(Batch::of(event("a", "1")), None, "k");
    let first = log.append(batch.clone()).await.unwrap();
    let several = log.append(others.clone()).await.unwrap();
    assert!(log.append(batch.clone()).await.unwrap().duplicate);
    delete(log, "a").await;
    let anew = log.append(batch.clone()).await.unwrap();
    assert!(!anew.duplicate && anew.first > first.first);
    let again = log.append(batch).await.unwrap();
    assert_eq!((again.first, again.duplicate), (anew.first, true));
    // A key of a batch over several topics is none of this topic's.
    let known = log.append(others).await.unwrap();
    assert_eq!((known.first, known.duplicate), (several.first, true));
}

pub(super) async fn an_event_is_read_for_its_lifetime(log: &dyn Log) {
    let kept = lasting(log, "a", "kept", LONG).await;
    let passed = lasting(log, "a", "passed", SHORT).await;
    let after = publish(log, "a", "after").await;
    outlive(passed).await;
    let entries = read_all(log, 0, &select(&["a"])).await;
    assert_eq!(sequences(&entries), [kept.first, after]);
    assert_eq!(entries[0].expires, Some(kept.time.after(LONG)));
    assert_eq!(entries[1].expires, None);
    // It leaves no hole that a reader is told of, and does not count among the last.
    let last = lasting(log, "a", "last", SHORT).await;
    outlive(last).await;
    let mut next = passed.first;
    while next < log.bounds().latest {
        let chunk = read(log, next, &select(&["a"]), WIDE).await;
        assert!(chunk.next > next, "a read that stays at {next}");
        next = chunk.next;
    }
    let place = locate(log, Position::Last(2), &select(&["a"])).await;
    assert_eq!(sequences(&read_all(log, place, &select(&["a"])).await), [kept.first, after]);
    // The end of a topic is told, also where its last event is past.
    let batch = Batch {
        events: vec![event("ends", "last words").lasting(Some(SHORT))],
        close: Some(topic("ends").into()),
        idempotency: None,
    };
    outlive(log.append(batch).await.unwrap()).await;
    let ends = read_all(log, 0, &select(&["ends"])).await;
    assert_eq!(ends.iter().map(|entry| entry.closing).collect::<Vec<_>>(), [Closing::Only]);
}

/// A lifetime is a part of what a key stands for.
pub(super) async fn a_lifetime_is_part_of_a_batch(log: &dyn Log) {
    let batch = |ttl| keyed(Batch::of(event("a", "1").lasting(ttl)), Some("a"), "k");
    let first = log.append(batch(Some(LONG))).await.unwrap();
    assert_eq!(log.append(batch(Some(LONG))).await.unwrap().first, first.first);
    for other in [None, Some(LONG / 2)] {
        assert!(log.append(batch(other)).await.is_err());
    }
}

pub(super) async fn what_is_gone_stays_gone_after_a_restart(subject: &dyn Subject) {
    let log = subject.open().await;
    publish(&*log, "a", "1").await;
    publish(&*log, "b", "1").await;
    end(&*log, "b").await;
    let a = delete(&*log, "a").await;
    delete(&*log, "b").await;
    let b = publish(&*log, "b", "anew").await;
    let kept = lasting(&*log, "c", "kept", LONG).await;
    let passed = lasting(&*log, "c", "passed", SHORT).await;
    for number in 0..400 {
        publish(&*log, "filler", &format!("{number} {}", "x".repeat(200))).await;
    }
    outlive(passed).await;
    log.close().await.unwrap();
    let Some(log) = subject.reopen(log).await else { return };
    is_gone(&*log, "a", a).await;
    let entries = read_all(&*log, 0, &select(&["b"])).await;
    assert_eq!(sequences(&entries).last(), Some(&b));
    assert_eq!(entries.iter().filter(|entry| entry.is_visible()).count(), 1);
    assert_eq!(
        log.topic(&topic("b")).await.unwrap().map(|info| (info.latest, info.closed)),
        Some((b, false))
    );
    let entries = read_all(&*log, 0, &select(&["c"])).await;
    assert_eq!(sequences(&entries), [kept.first]);
    assert_eq!(entries[0].expires, Some(kept.time.after(LONG)));
    let again = publish(&*log, "a", "anew").await;
    assert_eq!(sequences(&read_all(&*log, 0, &select(&["a"])).await), [a, again]);
}
