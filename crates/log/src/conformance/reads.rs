//! What a read finds, and where.

use tidings_protocol::{EventType, Selection, Selector, Timestamp};

use super::{Subject, WIDE, end, event, locate, publish, read, read_all, select, sequences, topic};
use crate::{Batch, Log, Position, ReadLimits, TopicQuery};

pub(super) async fn chunks_respect_limits_and_reach_the_end(subject: &dyn Subject) {
    let log = &*subject.open().await;
    for number in 0..50 {
        publish(log, if number % 2 == 0 { "even" } else { "odd" }, &"x".repeat(1_000)).await;
    }
    let all = Selection::all();
    for (limits, expected) in
        [(ReadLimits { entries: 7, bytes: 1 << 20 }, 7), (ReadLimits { entries: 100, bytes: 5_100 }, 5)]
    {
        let chunk = read(log, 0, &all, limits).await;
        let count = chunk.entries.len();
        assert!(count == expected || (subject.ends_reads_early() && count < expected), "{limits:?}: {count}");
        assert_eq!(chunk.next, chunk.entries[count - 1].sequence);
    }
    let chunk = read(log, 0, &all, ReadLimits { entries: 100, bytes: 1 }).await;
    assert_eq!(chunk.entries.len(), 1, "one entry always fits");
    let latest = log.bounds().latest;
    let chunk = read(log, latest, &all, WIDE).await;
    assert_eq!((chunk.entries.len(), chunk.next), (0, latest));
    assert_eq!(read(log, latest + 10, &all, WIDE).await.next, latest + 10);
    // A selection without events still gets to the end.
    let mut after = 0;
    loop {
        let chunk = read(log, after, &select(&["nothing"]), WIDE).await;
        assert!(chunk.entries.is_empty());
        if chunk.next == after {
            break;
        }
        after = chunk.next;
    }
    assert_eq!(after, latest);
    for selection in [all, select(&["odd"]), select(&["o*", "odd", "e*", "even"])] {
        let expected = sequences(&read_all(log, 0, &selection).await);
        let (mut after, mut found) = (0, Vec::new());
        loop {
            let chunk = read(log, after, &selection, ReadLimits { entries: 3, bytes: 1 << 20 }).await;
            found.extend(sequences(&chunk.entries));
            if chunk.next == after {
                break;
            }
            after = chunk.next;
        }
        assert_eq!(found, expected);
    }
}

pub(super) async fn selections_are_unions(log: &dyn Log) {
    let mut places = Vec::new();
    for name in ["a", "a/b", "a/b/c", "b", "a/c"] {
        places.push(publish(log, name, name).await);
    }
    let typed = event("a", "typed").typed(EventType::new("t").unwrap());
    places.push(log.append(Batch::of(typed)).await.unwrap().first);
    let cases: [(&[&str], &[usize]); 6] = [
        (&["**"], &[0, 1, 2, 3, 4, 5]),
        (&["a"], &[0, 5]),
        (&["a/*"], &[1, 4]),
        (&["a/**"], &[1, 2, 4]),
        (&["a", "b", "a/b"], &[0, 1, 3, 5]),
        (&["b", "a/*", "a/b"], &[1, 3, 4]),
    ];
    for (selectors, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|&place| places[place]).collect();
        assert_eq!(sequences(&read_all(log, 0, &select(selectors)).await), expected, "{selectors:?}");
    }
    let untyped = select(&["a"]).of_types(["message".to_owned()]);
    assert_eq!(sequences(&read_all(log, 0, &untyped).await), [places[0]]);
    let typed = Selection::all().of_types(["t".to_owned()]);
    assert_eq!(sequences(&read_all(log, 0, &typed).await), [places[5]]);
}

pub(super) async fn rare_topics_are_found_among_many(log: &dyn Log) {
    let mut rare = Vec::new();
    for round in 0..20 {
        let events = (0..500).map(|n| event(&format!("many/{}", n % 50), &"x".repeat(100))).collect();
        log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
        if round % 6 == 0 {
            rare.push(publish(log, "rare", &round.to_string()).await);
        }
    }
    assert_eq!(sequences(&read_all(log, 0, &select(&["rare"])).await), rare);
    assert_eq!(sequences(&read_all(log, rare[1], &select(&["rare"])).await), rare[2..]);
    assert_eq!(sequences(&read_all(log, rare[1] - 1, &select(&["ra*", "r*"])).await), Vec::<u64>::new());
    assert_eq!(sequences(&read_all(log, 0, &select(&["rare", "none", "many/x"])).await), rare);
    assert_eq!(read_all(log, 0, &select(&["many/7"])).await.len(), 200);
    assert_eq!(read_all(log, 0, &Selection::all()).await.len(), 10_000 + rare.len());
    assert_eq!(locate(log, Position::Last(2), &select(&["rare"])).await, rare[rare.len() - 2] - 1);
}

pub(super) async fn places_are_located(log: &dyn Log) {
    let mut appended = Vec::new();
    for number in 0..40 {
        let name = if number % 4 == 0 { "four" } else { "other" };
        appended.push(log.append(Batch::of(event(name, ""))).await.unwrap());
        if number % 8 == 0 {
            // Another millisecond begins: times differ.
            let time = Timestamp::now();
            while Timestamp::now() == time {
                std::thread::yield_now();
            }
        }
    }
    let all = Selection::all();
    for given in &appended {
        let expected = appended.iter().find(|other| other.time >= given.time).unwrap().first - 1;
        assert_eq!(locate(log, Position::Time(given.time), &all).await, expected);
    }
    let after = Timestamp::from_millis(appended.last().unwrap().time.as_millis() + 1);
    assert_eq!(locate(log, Position::Time(after), &all).await, log.bounds().latest);
    assert_eq!(locate(log, Position::Last(3), &all).await, appended[37].first - 1);
    assert_eq!(locate(log, Position::Last(3), &select(&["four"])).await, appended[28].first - 1);
    assert_eq!(locate(log, Position::Last(3), &select(&["fou*", "four"])).await, appended[28].first - 1);
    let earliest = log.bounds().earliest;
    assert_eq!(locate(log, Position::Earliest, &all).await, earliest - 1);
    assert_eq!(locate(log, Position::Last(1_000), &select(&["four"])).await, earliest - 1);
    end(log, "four").await;
    // The end carries no event, and counts for none.
    assert_eq!(locate(log, Position::Last(1), &select(&["four"])).await, appended[36].first - 1);
    assert_eq!(locate(log, Position::Last(1), &all).await, appended[39].first - 1);
}

pub(super) async fn topics_are_listed_in_order(log: &dyn Log) {
    for name in ["b", "a/2", "c", "a/1", "b"] {
        publish(log, name, "").await;
    }
    let last = end(log, "c").await;
    let list = async |selector: &str, after: Option<&str>, limit: usize| {
        let selector = Selector::new(selector).unwrap();
        let infos = log.topics(TopicQuery { selector: &selector, after, limit }).await.unwrap();
        infos.into_iter().map(|info| info.topic.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("**", None, 100).await, ["a/1", "a/2", "b", "c"]);
    assert_eq!(list("**", Some("a/1"), 2).await, ["a/2", "b"]);
    assert_eq!(list("a/*", None, 100).await, ["a/1", "a/2"]);
    assert_eq!(list("b", None, 100).await, ["b"]);
    let info = log.topic(&topic("c")).await.unwrap().unwrap();
    assert_eq!((info.latest, info.closed), (last, true));
}
