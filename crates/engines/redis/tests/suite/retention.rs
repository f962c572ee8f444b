use std::time::Duration;

use tidings_engine::EngineConfig;
use tidings_engine_servers::{Listener, RedisServer, Told};
use tidings_log::{AppendError, Batch, ReadError, Retention};
use tidings_protocol::Selection;

use crate::support::{WIDE, ask, config, event, eventually, open, open_with, publish, read, topic, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_discarded_by_their_age_and_their_topics_with_them() {
    let Some(server) = RedisServer::start() else { return };
    let retention = Retention { age: Duration::from_secs(1), ..Retention::default() };
    let log = open(&url(&server)).await;
    let listener = Listener::of(&*log);
    publish(&*log, "a", "1").await;
    log.append(Batch { events: Vec::new(), close: Some(topic("a")), idempotency: None }).await.unwrap();
    let refused = log.append(Batch::of(event("a", "2"))).await;
    assert_eq!(refused, Err(AppendError::TopicClosed { topic: topic("a") }));
    // Another hub keeps less than this one, and only now.
    let other = open_with(&url(&server), EngineConfig { retention, ..config() }).await;
    eventually("all is discarded", || log.bounds().earliest == 3).await;
    listener.hears(|told| *told == Told::Trimmed(3)).await;
    assert_eq!(log.topic(&topic("a")).await.unwrap(), None);
    assert_eq!(ask(&server, &["HLEN", "{log}:topics"]).await, redis::Value::Int(0));
    eventually("the other knows", || other.bounds() == log.bounds()).await;
    // The end of the topic is discarded, so it begins anew.
    assert_eq!(publish(&*log, "a", "3").await, 3);
    eventually("the other follows", || other.bounds().latest == 3).await;
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
