use std::time::Duration;

use tidings_engine::{Engine as _, EngineConfig, EngineError, Seen};
use tidings_engine_servers::{Listener, Notice, RedisServer};
use tidings_log::{AppendError, Batch, Position, ReadError, Retention};
use tidings_protocol::{Cursor, Selection};
use tidings_redis::Redis;

use crate::support::{WIDE, ask, config, event, eventually, open, open_with, publish, read, topic, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_discarded_by_their_age_and_their_topics_with_them() {
    let Some(server) = RedisServer::start() else { return };
    let retention = Retention { age: Duration::from_secs(1), ..Retention::default() };
    let log = open(&url(&server)).await;
    let listener = Listener::of(&*log);
    publish(&*log, "a", "1").await;
    log.append(Batch { events: Vec::new(), close: Some(topic("a").into()), idempotency: None })
        .await
        .unwrap();
    let refused = log.append(Batch::of(event("a", "2"))).await;
    assert_eq!(refused, Err(AppendError::TopicClosed { topic: topic("a") }));
    log.append(Batch::deletion(topic("b"))).await.unwrap();
    assert_eq!(ask(&server, &["HLEN", "{log}:deleted"]).await, redis::Value::Int(1));
    // Another hub keeps less than this one, and only now.
    let other = open_with(&url(&server), EngineConfig { retention, ..config() }).await;
    eventually("all is discarded", || log.bounds().earliest == 4).await;
    listener.hears(|told| *told == Notice::Trimmed(4)).await;
    assert_eq!(log.topic(&topic("a")).await.unwrap(), None);
    for hash in ["{log}:topics", "{log}:deleted"] {
        assert_eq!(ask(&server, &["HLEN", hash]).await, redis::Value::Int(0), "{hash}");
    }
    eventually("the other knows", || other.bounds() == log.bounds()).await;
    // The end of the topic is discarded, so it begins anew.
    assert_eq!(publish(&*log, "a", "3").await, 4);
    eventually("the other follows", || other.bounds().latest == 4).await;
    for log in [&log, &other] {
        let expired = log.read(1, &Selection::all(), WIDE).await;
        assert!(matches!(expired, Err(ReadError::Expired { after: 1, .. })), "{expired:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_discarded_by_their_size() {
    let Some(server) = RedisServer::start() else { return };
    let retention = Retention { bytes: 1 << 20, ..Retention::default() };
    let log = open_with(&url(&server), EngineConfig { retention, ..config() }).await;
    let data = "x".repeat(1_000);
    for round in 0..10 {
        let events = (0..500).map(|number| event(&format!("t/{round}/{}", number % 50), &data)).collect();
        log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
    }
    eventually("some are discarded", || log.bounds().earliest > 3_900).await;
    let kept = read(&*log, log.bounds().earliest - 1, &Selection::all()).await;
    assert!((900..1_100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(log.topic(&topic("t/0/0")).await.unwrap(), None);
    let (bytes, length) =
        (ask(&server, &["HGET", "{log}:meta", "bytes"]).await, ask(&server, &["XLEN", "{log}:log"]).await);
    assert_eq!(length, redis::Value::Int(kept.len() as i64));
    let cost: usize = kept.iter().map(|entry| entry.data.len() + entry.topic.as_str().len() + 8 + 64).sum();
    assert_eq!(bytes, redis::Value::BulkString(cost.to_string().into_bytes()));
}

/// Hubs discard for each other, and hear of it only now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_told_of_what_another_hub_has_discarded_a_moment_ago() {
    let Some(server) = RedisServer::start() else { return };
    let log = open(&url(&server)).await;
    let listener = Listener::of(&*log);
    let events = (0..100).map(|number| event("a", &number.to_string())).collect();
    log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
    // Hubs that have read nothing yet.
    let others = [open(&url(&server)).await, open(&url(&server)).await];
    assert_eq!(discard_all_but(&server, 10).await, 91);
    let expired = log.read(0, &Selection::all(), WIDE).await;
    assert_eq!(expired, Err(ReadError::Expired { after: 0, earliest: 91 }));
    listener.hears(|told| *told == Notice::Trimmed(91)).await;
    assert_eq!(discard_all_but(&server, 7).await, 94);
    assert_eq!(others[0].locate(Position::Earliest, &Selection::all()).await, Ok(93));
    assert_eq!(discard_all_but(&server, 5).await, 96);
    assert_eq!(others[1].locate(Position::Last(50), &Selection::all()).await, Ok(95));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_has_not_read_what_is_discarded_tells_everybody() {
    let Some(server) = RedisServer::start() else { return };
    let engine = Redis::new(url(&server).parse().unwrap(), config()).unwrap();
    let mut attached = engine.attach(None).await.unwrap();
    let log = open(&url(&server)).await;
    let events = (0..100).map(|number| event("a", &number.to_string())).collect();
    log.append(Batch { events, close: None, idempotency: None }).await.unwrap();
    assert_eq!(discard_all_but(&server, 10).await, 91);
    let error = attached.feed.next().await.unwrap_err();
    assert!(matches!(&error, EngineError::Away { reason } if reason.contains("discarded")), "{error}");
    // What is kept is followed from there.
    let seen = Seen::at(Cursor::new(attached.bounds.epoch(), 0));
    let mut again = engine.attach(Some(&seen)).await.unwrap();
    assert_eq!(again.bounds.earliest, 91);
    assert_eq!(again.feed.next().await.unwrap().entries[0].sequence, 91);
}

/// Discards as a hub does, and says what is the first entry that is left.
async fn discard_all_but(server: &RedisServer, count: usize) -> u64 {
    let script = include_str!("../../src/scripts/tidy.lua");
    // Each event takes 64 bytes, and its own few.
    let bytes = (count * 80).to_string();
    let [log, meta, topics, deleted] = ["{log}:log", "{log}:meta", "{log}:topics", "{log}:deleted"];
    ask(server, &["EVAL", script, "4", log, meta, topics, deleted, "100000000", &bytes, "1000"]).await;
    match ask(server, &["HGET", meta, "earliest"]).await {
        redis::Value::BulkString(earliest) => String::from_utf8(earliest).unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}
