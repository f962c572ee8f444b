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
//! # tokio::runtime::Builder::new_current_thread().build().unwrap()
//! #     .block_on(conformance::run(&Memory));
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that fails panics, wherever it is defined"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_protocol::{
    Closing, Event, EventType, Format, NewEvent, Selection, Selector, Sequence, Timestamp, Topic,
};

use crate::{
    AppendError, Batch, BoxFuture, Follower, Idempotency, Log, Place, ReadError, ReadLimits, TopicQuery,
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
}

/// Runs the whole suite.
///
/// # Panics
/// Where the log does not do what it should.
pub async fn run(subject: &dyn Subject) {
    an_empty_log_has_nothing(&*subject.open().await).await;
    what_is_appended_is_read_back(&*subject.open().await).await;
    a_batch_is_consecutive_and_has_one_time(&*subject.open().await).await;
    a_closed_topic_takes_no_more(&*subject.open().await).await;
    a_refused_batch_leaves_nothing(&*subject.open().await).await;
    a_key_is_answered_once(&*subject.open().await).await;
    chunks_respect_limits_and_reach_the_end(&*subject.open().await).await;
    selections_are_unions(&*subject.open().await).await;
    rare_topics_are_found_among_many(&*subject.open().await).await;
    places_are_located(&*subject.open().await).await;
    topics_are_listed_in_order(&*subject.open().await).await;
    followers_get_everything_once(&subject.open().await).await;
    appends_at_the_same_time_have_one_order(&subject.open().await).await;
    a_closed_log_refuses(&*subject.open().await).await;
    everything_survives_a_restart(subject).await;
}

/// Limits that no test reaches by accident.
const WIDE: ReadLimits = ReadLimits { entries: 100_000, bytes: 64 << 20 };

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
    batch.idempotency = Some(Idempotency { scope: scope.map(topic), key: key.into() });
    batch
}

async fn publish(log: &dyn Log, name: &str, data: &str) -> Sequence {
    log.append(Batch::of(event(name, data))).await.unwrap().first
}

async fn end(log: &dyn Log, name: &str) -> Sequence {
    let batch = Batch { events: Vec::new(), close: Some(topic(name)), idempotency: None };
    log.append(batch).await.unwrap().first
}

/// Everything after a place, in as many reads as it takes.
async fn read_all(log: &dyn Log, mut after: Sequence, selection: &Selection) -> Vec<Arc<Event>> {
    let mut entries = Vec::new();
    loop {
        let chunk = log.read(after, selection, WIDE).await.unwrap();
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
    let chunk = log.read(0, &Selection::all(), WIDE).await.unwrap();
    assert_eq!((chunk.entries.len(), chunk.next), (0, 0));
    assert_eq!(log.topic(&topic("a")).await.unwrap(), None);
    assert_eq!(log.locate(Place::Last(5), &Selection::all()).await.unwrap(), 0);
    assert_eq!(log.locate(Place::Time(Timestamp::default()), &Selection::all()).await.unwrap(), 0);
    assert_eq!(log.ready(), Ok(()));
}

async fn what_is_appended_is_read_back(log: &dyn Log) {
    let events = [
        event("a", "text"),
        event("a/b", ""),
        NewEvent {
            topic: topic("größe/α"),
            event_type: Some(EventType::new("shipped").unwrap()),
            format: Format::Json,
            data: " {\"a\":\n1} ".into(),
        },
        NewEvent {
            topic: topic("a"),
            event_type: None,
            format: Format::Binary,
            data: (0..=255).cycle().take(1 << 20).collect::<Vec<u8>>().into(),
        },
        NewEvent {
            topic: topic(&"x".repeat(512)),
            event_type: Some(EventType::new(&"t".repeat(128)).unwrap()),
            format: Format::Text,
            data: "long names".into(),
        },
    ];
    let before = Timestamp::now();
    for given in &events {
        let appended = log.append(Batch::of(given.clone())).await.unwrap();
        assert_eq!((appended.count, appended.duplicate), (1, false));
        let read = read_all(log, appended.first - 1, &Selection::all()).await;
        let entry = &read[0];
        assert_eq!((entry.sequence, entry.time), (appended.first, appended.time));
        assert_eq!((&entry.topic, &entry.event_type), (&given.topic, &given.event_type));
        assert_eq!((entry.format, &entry.data), (given.format, &given.data));
        assert_eq!(entry.closing, Closing::No);
        assert!(entry.time >= before);
    }
    let read = read_all(log, 0, &Selection::all()).await;
    assert_eq!(read.len(), events.len());
    assert!(read.is_sorted_by(|a, b| a.sequence < b.sequence && a.time <= b.time));
    assert_eq!(log.bounds().latest, read.last().unwrap().sequence);
}

async fn a_batch_is_consecutive_and_has_one_time(log: &dyn Log) {
    publish(log, "before", "").await;
    let events: Vec<_> = (0..100).map(|n| event(&format!("t/{}", n % 7), &n.to_string())).collect();
    let appended = log.append(Batch { events, close: Some(topic("t/3")), idempotency: None }).await.unwrap();
    assert_eq!(appended.count, 100);
    let read = read_all(log, appended.first - 1, &Selection::all()).await;
    assert_eq!(sequences(&read), appended.sequences().collect::<Vec<_>>());
    assert!(read.iter().all(|entry| entry.time == appended.time));
    let closing: Vec<_> = read.iter().filter(|entry| entry.closes()).collect();
    assert_eq!(closing.len(), 1);
    assert_eq!((&closing[0].data[..], closing[0].closing), (&b"94"[..], Closing::After));
}

async fn a_closed_topic_takes_no_more(log: &dyn Log) {
    publish(log, "a", "1").await;
    let last = end(log, "a").await;
    let refused = log.append(Batch::of(event("a", "2"))).await;
    assert_eq!(refused, Err(AppendError::TopicClosed { topic: topic("a") }));
    let again = Batch { events: Vec::new(), close: Some(topic("a")), idempotency: None };
    assert!(matches!(log.append(again).await, Err(AppendError::TopicClosed { .. })));
    assert!(log.topic(&topic("a")).await.unwrap().unwrap().closed);
    let read = read_all(log, 0, &select(&["a"])).await;
    assert_eq!(read.last().map(|entry| (entry.sequence, entry.closing)), Some((last, Closing::Only)));
    publish(log, "b", "others go on").await;
    // Readers who ask for other types are told of the end as well.
    let types = select(&["a"]).of_types(["other".to_owned()]);
    assert_eq!(sequences(&read_all(log, 0, &types).await), [last]);
}

async fn a_refused_batch_leaves_nothing(log: &dyn Log) {
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

async fn a_key_is_answered_once(log: &dyn Log) {
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
    // The end of a topic can be repeated, though the topic has ended.
    let closing =
        keyed(Batch { events: Vec::new(), close: Some(topic("a")), idempotency: None }, Some("a"), "end");
    let first = log.append(closing.clone()).await.unwrap();
    assert_eq!(log.append(closing).await.unwrap().first, first.first);
    assert_eq!(log.bounds().latest, first.first);
}

async fn chunks_respect_limits_and_reach_the_end(log: &dyn Log) {
    for number in 0..50 {
        publish(log, if number % 2 == 0 { "even" } else { "odd" }, &"x".repeat(1_000)).await;
    }
    let all = Selection::all();
    let chunk = log.read(0, &all, ReadLimits { entries: 7, bytes: 1 << 20 }).await.unwrap();
    assert_eq!((chunk.entries.len(), chunk.next), (7, chunk.entries[6].sequence));
    let chunk = log.read(0, &all, ReadLimits { entries: 100, bytes: 5_100 }).await.unwrap();
    assert_eq!(chunk.entries.len(), 5);
    let chunk = log.read(0, &all, ReadLimits { entries: 100, bytes: 1 }).await.unwrap();
    assert_eq!(chunk.entries.len(), 1, "one entry always fits");
    let latest = log.bounds().latest;
    let chunk = log.read(latest, &all, WIDE).await.unwrap();
    assert_eq!((chunk.entries.len(), chunk.next), (0, latest));
    assert_eq!(log.read(latest + 10, &all, WIDE).await.unwrap().next, latest + 10);
    // A selection without events still gets to the end.
    let mut after = 0;
    loop {
        let chunk = log.read(after, &select(&["nothing"]), WIDE).await.unwrap();
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
            let chunk = log.read(after, &selection, ReadLimits { entries: 3, bytes: 1 << 20 }).await.unwrap();
            found.extend(sequences(&chunk.entries));
            if chunk.next == after {
                break;
            }
            after = chunk.next;
        }
        assert_eq!(found, expected);
    }
}

async fn selections_are_unions(log: &dyn Log) {
    let mut places = Vec::new();
    for name in ["a", "a/b", "a/b/c", "b", "a/c"] {
        places.push(publish(log, name, name).await);
    }
    let typed = NewEvent { event_type: Some(EventType::new("t").unwrap()), ..event("a", "typed") };
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

async fn rare_topics_are_found_among_many(log: &dyn Log) {
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
    assert_eq!(log.locate(Place::Last(2), &select(&["rare"])).await.unwrap(), rare[rare.len() - 2] - 1);
}

async fn places_are_located(log: &dyn Log) {
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
        assert_eq!(log.locate(Place::Time(given.time), &all).await.unwrap(), expected);
    }
    let after = Timestamp::from_millis(appended.last().unwrap().time.as_millis() + 1);
    assert_eq!(log.locate(Place::Time(after), &all).await.unwrap(), log.bounds().latest);
    assert_eq!(log.locate(Place::Last(3), &all).await.unwrap(), appended[37].first - 1);
    assert_eq!(log.locate(Place::Last(3), &select(&["four"])).await.unwrap(), appended[28].first - 1);
    assert_eq!(log.locate(Place::Last(3), &select(&["fou*", "four"])).await.unwrap(), appended[28].first - 1);
    let earliest = log.bounds().earliest;
    assert_eq!(log.locate(Place::Last(1_000), &select(&["four"])).await.unwrap(), earliest - 1);
    end(log, "four").await;
    // The end carries no event, and counts for none.
    assert_eq!(log.locate(Place::Last(1), &select(&["four"])).await.unwrap(), appended[36].first - 1);
    assert_eq!(log.locate(Place::Last(1), &all).await.unwrap(), appended[39].first - 1);
}

async fn topics_are_listed_in_order(log: &dyn Log) {
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

#[derive(Default)]
struct Recorder(Mutex<Vec<Arc<Event>>>);

impl Follower for Recorder {
    fn appended(&self, entries: &[Arc<Event>]) {
        self.0.lock().unwrap().extend_from_slice(entries);
    }

    fn trimmed(&self, _: Sequence) {}
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
        std::thread::yield_now();
    }
    let recorder = Arc::new(Recorder::default());
    let from = log.follow(Arc::clone(&recorder) as Arc<dyn Follower>);
    let last = publish(&**log, "b", "after").await;
    let known = sequences(&recorder.0.lock().unwrap());
    assert!(known.contains(&last), "the follower hears of an entry before its publisher");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    publisher.join().unwrap();
    publish(&**log, "b", "last").await;
    let expected = read_all(&**log, from, &Selection::all()).await;
    assert_eq!(*recorder.0.lock().unwrap(), expected);
}

async fn appends_at_the_same_time_have_one_order(log: &Arc<dyn Log>) {
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
        Batch { events: vec![event("a", "1"), event("b", "2")], close: Some(topic("b")), idempotency: None },
        None,
        "k",
    );
    let first = log.append(batch.clone()).await.unwrap();
    for number in 0..1_000 {
        publish(&*log, &format!("t/{}", number % 10), &"x".repeat(200)).await;
    }
    let (bounds, before) = (log.bounds(), read_all(&*log, 0, &Selection::all()).await);
    let info = log.topic(&topic("b")).await.unwrap();
    log.close().await.unwrap();
    let Some(log) = subject.reopen(log).await else { return };
    assert_eq!(log.bounds(), bounds);
    assert_eq!(read_all(&*log, 0, &Selection::all()).await, before);
    assert_eq!(log.topic(&topic("b")).await.unwrap(), info);
    assert!(matches!(log.append(Batch::of(event("b", ""))).await, Err(AppendError::TopicClosed { .. })));
    let again = log.append(batch).await.unwrap();
    assert_eq!((again.first, again.count, again.time, again.duplicate), (first.first, 2, first.time, true));
    assert_eq!(publish(&*log, "a", "after").await, bounds.latest + 1);
    let expired = log.read(0, &Selection::all(), WIDE).await;
    assert!(!matches!(expired, Err(ReadError::Expired { .. })));
}
