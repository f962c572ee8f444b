use std::sync::Arc;

use tidings_engine_servers::NatsServer;
use tidings_log::{AppendError, Batch, Idempotency, Log, Scope};
use tidings_protocol::Selection;

use crate::raw::stream;
use crate::support::{event, eventually, open, publish, read, topic, url};

/// Two hubs, one that ends a topic and one that publishes to it, at the same moment: they agree on which was first,
/// with each other, with who publishes, and with a hub that starts later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_after_the_end_of_a_topic_however_close_it_was() {
    let Some(server) = NatsServer::start() else { return };
    let (one, other) = (open(&url(&server)).await, open(&url(&server)).await);
    let (mut before, mut after) = (0, 0);
    let mut told = Vec::new();
    for number in 0..200 {
        let name = format!("race/{number}");
        let end =
            Batch { events: vec![event(&name, "end")], close: Some(topic(&name).into()), idempotency: None };
        let publications = async {
            let mut results = Vec::new();
            for data in ["1", "2", "3"] {
                results.push(other.append(Batch::of(event(&name, data))).await);
            }
            results
        };
        let (ended, published) = tokio::join!(one.append(end), publications);
        let ended = ended.unwrap();
        let mut expected = Vec::new();
        for result in published {
            match result {
                Ok(appended) => {
                    assert!(appended.first < ended.first);
                    expected.push(appended.first);
                    before += 1;
                }
                Err(error) => {
                    assert_eq!(error, AppendError::TopicClosed { topic: topic(&name) });
                    after += 1;
                }
            }
        }
        expected.push(ended.first);
        told.push((name, expected));
    }
    println!("{before} before the end, {after} after");
    assert!(before > 0 && after > 0);
    let third = open(&url(&server)).await;
    for log in [&one, &other, &third] {
        for (name, expected) in &told {
            let found = read(&**log, 0, &Selection::new([topic(name).into()])).await;
            assert_eq!(found.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), *expected);
            let info = log.topic(&topic(name)).await.unwrap().unwrap();
            assert_eq!((info.latest, info.closed), (*expected.last().unwrap(), true));
        }
    }
    // Retention discards the end of a topic first, and keeps what came too late for a while.
    let stream = stream(server.port()).await;
    let noted = stream.get_last_raw_message_by_subject("LOG.void").await.unwrap();
    let late: u64 = std::str::from_utf8(&noted.payload).unwrap().parse().unwrap();
    stream.purge().sequence(late).await.unwrap();
    let earliest = (late - 1) * 65_536 + 1;
    let fourth = open(&url(&server)).await;
    for log in [&one, &other, &third, &fourth] {
        eventually("the end is discarded", || log.bounds().earliest == earliest).await;
        let found = read(&**log, earliest - 1, &Selection::all()).await;
        assert!(found.iter().all(|entry| entry.sequence != late * 65_536), "{late}");
    }
}

/// Whoever repeats what came too late is told the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_what_came_too_late_is_answered_alike() {
    let Some(server) = NatsServer::start() else { return };
    let (one, other) = (open(&url(&server)).await, open(&url(&server)).await);
    let mut late = 0;
    for number in 0..100 {
        let name = format!("race/{number}");
        let end = Batch { events: Vec::new(), close: Some(topic(&name).into()), idempotency: None };
        let idempotency = Idempotency { scope: Scope::Batches, key: name.clone() };
        let batch = Batch { idempotency: Some(idempotency), ..Batch::of(event(&name, "x")) };
        let (ended, published) = tokio::join!(one.append(end), other.append(batch.clone()));
        ended.unwrap();
        late += u32::from(published.is_err());
        for log in [&one, &other] {
            let repeated = log.append(batch.clone()).await;
            assert_eq!(repeated.map(|appended| appended.first), published.clone().map(|first| first.first));
        }
    }
    println!("{late} came too late");
    assert!(late > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_has_one_end_whoever_ends_it() {
    let Some(server) = NatsServer::start() else { return };
    let logs: [Arc<dyn Log>; 2] = [open(&url(&server)).await, open(&url(&server)).await];
    for number in 0..100 {
        let name = format!("end/{number}");
        publish(&*logs[number % 2], &name, "").await;
        let end = Batch { events: Vec::new(), close: Some(topic(&name).into()), idempotency: None };
        let (a, b) = tokio::join!(logs[0].append(end.clone()), logs[1].append(end));
        assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
        let found = read(&*logs[0], 0, &Selection::new([topic(&name).into()])).await;
        assert_eq!(found.len(), 2);
    }
}

/// What is refused at once takes no room in the stream, so that nobody can push events out with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_to_an_ended_topic_leave_nothing_in_the_stream() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    log.append(Batch { events: Vec::new(), close: Some(topic("a").into()), idempotency: None })
        .await
        .unwrap();
    let latest = log.bounds().latest;
    for number in 0..50 {
        let idempotency = Idempotency { scope: Scope::Topic(topic("a")), key: number.to_string() };
        let keyed = Batch { idempotency: Some(idempotency), ..Batch::of(event("a", "x")) };
        for batch in [keyed, Batch::of(event("a", "x"))] {
            let refused = log.append(batch).await;
            assert_eq!(refused, Err(AppendError::TopicClosed { topic: topic("a") }));
        }
    }
    assert_eq!(publish(&*log, "b", "").await, latest + 65_536);
}
