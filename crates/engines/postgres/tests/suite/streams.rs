//! Streams of items, while other hubs use the same log.

use std::time::Duration;

use tidings_engine_servers::PostgresServer;
use tidings_hub::{ProducerError, ProducerOptions, PullLimits};
use tidings_log::{Batch, Close};
use tidings_protocol::{EndReason, NewEvent, Selection, Start};
use tokio::time::timeout;

use crate::support::{PATIENCE, hub, topic, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_ends_the_topic_at_one_hub_stops_the_stream_at_the_other() {
    let Some(server) = PostgresServer::start() else { return };
    let (one, other) = (hub(&url(&server)).await, hub(&url(&server)).await);
    for key in [None, Some("k".to_owned())] {
        let name = topic(&format!("chat/{}", key.is_some()));
        let options = ProducerOptions { key, close: true, ..ProducerOptions::default() };
        let mut producer = one.produce(name.clone(), options).await.unwrap();
        producer.push(NewEvent::text(name.clone(), "one"));
        let progress = timeout(PATIENCE, producer.progress()).await.unwrap().unwrap();
        assert_eq!(progress.events, 1);
        let reason = EndReason::new("stopped").unwrap();
        let close = Close::for_reason(name.clone(), Some(reason.clone()));
        other.publish(Batch { events: Vec::new(), close: Some(close), idempotency: None }).await.unwrap();
        // Nothing more has to come of it.
        let stopped = timeout(PATIENCE, producer.progress()).await.unwrap();
        assert_eq!(stopped, Err(ProducerError::Ended { topic: name, reason: Some(reason) }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_may_come_back_to_another_hub() {
    let Some(server) = PostgresServer::start() else { return };
    let (one, other) = (hub(&url(&server)).await, hub(&url(&server)).await);
    let name = topic("chat");
    let options = ProducerOptions {
        key: Some("k".to_owned()),
        close: true,
        grace: Duration::from_secs(2),
        ..ProducerOptions::default()
    };
    let items = || ["1", "2", "3"].map(|data| NewEvent::text(name.clone(), data));
    let mut first = one.produce(name.clone(), options.clone()).await.unwrap();
    items().into_iter().take(2).for_each(|item| first.push(item));
    while timeout(PATIENCE, first.progress()).await.unwrap().unwrap().events < 2 {}
    drop(first);
    let mut second = other.produce(name.clone(), options).await.unwrap();
    items().into_iter().for_each(|item| second.push(item));
    let progress = timeout(PATIENCE, second.finish()).await.unwrap().unwrap();
    assert_eq!((progress.events, progress.repeated, progress.closed), (3, 2, true));
    let mut reader = one.subscribe(Selection::new([name.into()]), Start::Earliest).await.unwrap();
    let mut read = Vec::new();
    let reason = loop {
        let pull = timeout(PATIENCE, reader.next(PullLimits::default())).await.unwrap().unwrap();
        read.extend(pull.entries.iter().map(|entry| entry.event().data.clone()));
        if pull.ended {
            break pull.reason;
        }
    };
    assert_eq!((read, reason), (vec!["1".into(), "2".into(), "3".into()], None));
}
