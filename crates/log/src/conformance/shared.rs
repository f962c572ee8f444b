//! Two hubs over one place: each sees what the other does, and neither needs the other.

use std::sync::{Arc, Mutex};

use tidings_protocol::{Event, Selection, Sequence};
use tokio::sync::watch;

use super::{Subject, end, event, keyed, publish, read_all, select, sequences, topic};
use crate::{AppendError, Batch, Bounds, Follower, Log, Note};

/// A follower whose progress can be waited for.
struct Watched {
    entries: Mutex<Vec<Arc<Event>>>,
    latest: watch::Sender<Sequence>,
}

impl Watched {
    fn over(log: &dyn Log) -> Arc<Self> {
        let watched = Arc::new(Self { entries: Mutex::default(), latest: watch::Sender::new(0) });
        let from = log.follow(Arc::clone(&watched) as Arc<dyn Follower>);
        watched.latest.send_modify(|latest| *latest = from.latest.max(*latest));
        watched
    }

    async fn reaches(&self, sequence: Sequence) {
        self.latest.subscribe().wait_for(|latest| *latest >= sequence).await.unwrap();
    }
}

impl Follower for Watched {
    fn appended(&self, entries: &[Arc<Event>]) {
        self.entries.lock().unwrap().extend_from_slice(entries);
        self.latest.send_modify(|latest| *latest = entries.last().unwrap().sequence);
    }

    fn trimmed(&self, _: Sequence) {}

    fn renewed(&self, _: Bounds) {
        unreachable!("nothing was lost");
    }
}

pub(super) async fn run(subject: &dyn Subject) {
    let one = subject.open().await;
    let Some(other) = subject.beside().await else { return };
    assert_eq!(one.bounds(), other.bounds());
    what_ends_at_one_has_ended_at_the_other(&*one, &*other).await;
    what_one_deletes_is_gone_at_the_other(&*one, &*other).await;
    a_key_of_one_is_known_at_the_other(&*one, &*other).await;
    notes_of_one_are_read_at_the_other(&*one, &*other).await;
    both_have_one_order(&one, &other).await;
    what_closes_leaves_the_other_open(&*one, &*other).await;
}

async fn what_ends_at_one_has_ended_at_the_other(one: &dyn Log, other: &dyn Log) {
    for number in 0..20 {
        let name = format!("ends/{number}");
        let follower = Watched::over(other);
        publish(other, &name, "").await;
        let last = end(one, &name).await;
        // The other need not have followed yet to refuse.
        let refused = other.append(Batch::of(event(&name, "too late"))).await;
        assert_eq!(refused, Err(AppendError::TopicClosed { topic: topic(&name) }));
        follower.reaches(last).await;
        let info = other.topic(&topic(&name)).await.unwrap().unwrap();
        assert_eq!((info.latest, info.closed), (last, true));
        assert_eq!(one.topic(&topic(&name)).await.unwrap(), Some(info));
        let read = read_all(other, 0, &select(&[&name])).await;
        assert_eq!(read, read_all(one, 0, &select(&[&name])).await);
        assert_eq!(read.len(), 2, "what was refused is not there");
    }
}

async fn what_one_deletes_is_gone_at_the_other(one: &dyn Log, other: &dyn Log) {
    for number in 0..10 {
        let name = format!("deleted/{number}");
        let follower = Watched::over(other);
        let keyed = keyed(Batch::of(event(&name, "")), Some(&name), "k");
        other.append(keyed.clone()).await.unwrap();
        end(one, &name).await;
        let deleted = one.append(Batch::deletion(topic(&name))).await.unwrap().first;
        follower.reaches(deleted).await;
        assert_eq!(other.topic(&topic(&name)).await.unwrap(), None);
        assert_eq!(sequences(&read_all(other, 0, &select(&[&name])).await), [deleted]);
        let anew = other.append(keyed).await.unwrap();
        assert!(!anew.duplicate && anew.first > deleted);
        assert_eq!(sequences(&read_all(other, 0, &select(&[&name])).await), [deleted, anew.first]);
    }
}

async fn a_key_of_one_is_known_at_the_other(one: &dyn Log, other: &dyn Log) {
    for number in 0..20 {
        let batch =
            Batch { events: vec![event("keys", "1"), event("b", "2")], close: None, idempotency: None };
        let batch = keyed(batch, None, &format!("k{number}"));
        let first = one.append(batch.clone()).await.unwrap();
        let again = other.append(batch.clone()).await.unwrap();
        assert_eq!((again.epoch, again.first, again.count), (first.epoch, first.first, first.count));
        assert_eq!((again.time, again.duplicate), (first.time, true));
        let mut changed = batch;
        changed.events.pop();
        let refused = other.append(changed).await;
        assert_eq!(refused, Err(AppendError::KeyConflict { key: format!("k{number}") }));
    }
    // Both at once, with the same key: one of them is first.
    for number in 0..50 {
        let batch = keyed(Batch::of(event("race", &number.to_string())), Some("race"), &format!("r{number}"));
        let (a, b) = both(one.append(batch.clone()), other.append(batch)).await;
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.first, a.time), (b.first, b.time));
        assert!(a.duplicate != b.duplicate);
    }
    assert_eq!(read_all(one, 0, &select(&["race"])).await.len(), 50);
}

async fn both_have_one_order(one: &Arc<dyn Log>, other: &Arc<dyn Log>) {
    let followers = [Watched::over(&**one), Watched::over(&**other)];
    let from = one.bounds().latest.min(other.bounds().latest);
    let threads = [one, other].map(|log| {
        let log = Arc::clone(log);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut last = 0;
                for number in 0..200 {
                    let events = vec![event("order", &number.to_string()); 1 + number % 3];
                    let appended =
                        log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
                    assert!(appended.first > last);
                    last = appended.last();
                }
                last
            })
        })
    });
    let last = threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
    for follower in &followers {
        follower.reaches(last).await;
    }
    let expected = read_all(&**one, from, &Selection::all()).await;
    assert_eq!(read_all(&**other, from, &Selection::all()).await, expected);
    for follower in &followers {
        let entries = follower.entries.lock().unwrap();
        let first = entries.first().unwrap().sequence;
        let from = expected.iter().position(|entry| entry.sequence == first).unwrap();
        assert_eq!(sequences(&entries), sequences(&expected[from..]));
    }
}

async fn notes_of_one_are_read_at_the_other(one: &dyn Log, other: &dyn Log) {
    assert!(one.is_shared());
    let note = |name: &str, text: &str| Note { name: name.into(), text: text.into() };
    let (latest, long) = (one.bounds().latest, "x y\n".repeat(20_000));
    let notes = async |log: &dyn Log| {
        let mut notes = log.notes().await.unwrap();
        notes.sort();
        notes
    };
    assert_eq!(notes(other).await, []);
    one.put_notes(vec![note("one.n", "1"), note("one.0", &long), note("one.1", "")]).await.unwrap();
    assert_eq!(notes(other).await, [note("one.0", &long), note("one.n", "1")]);
    other.put_notes(vec![note("other.n", "1"), note("one.0", "")]).await.unwrap();
    one.put_notes(vec![note("one.n", "2"), note("gone", "")]).await.unwrap();
    assert_eq!(notes(one).await, [note("one.n", "2"), note("other.n", "1")]);
    one.put_notes(vec![note("one.n", ""), note("other.n", "")]).await.unwrap();
    assert_eq!(notes(other).await, []);
    assert_eq!(one.bounds().latest, latest, "they are no events");
}

async fn what_closes_leaves_the_other_open(one: &dyn Log, other: &dyn Log) {
    one.close().await.unwrap();
    let follower = Watched::over(other);
    let last = publish(other, "left", "").await;
    follower.reaches(last).await;
    assert_eq!(other.ready(), Ok(()));
    other.close().await.unwrap();
}

async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    tokio::join!(a, b)
}
