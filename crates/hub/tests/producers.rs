//! Streams of items whose producers are cut off.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use tidings_hub::{Hub, HubConfig, ProducerOptions, PullLimits, Subscription};
use tidings_log::{Batch, MemoryLog, Retention};
use tidings_protocol::{EndReason, NewEvent, Selection, Start, Topic};

fn hub() -> Hub {
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    Hub::new(Arc::new(log), HubConfig::default())
}

fn options(grace: Duration) -> ProducerOptions {
    ProducerOptions { key: Some("k".into()), close: true, grace, ..ProducerOptions::default() }
}

async fn reader(hub: &Hub, topic: &Topic) -> Subscription {
    hub.subscribe(Selection::new([topic.clone().into()]), Start::Earliest).await.unwrap()
}

/// What is read up to the end, and its reason.
async fn all(mut reader: Subscription) -> (Vec<String>, Option<EndReason>) {
    let mut read = Vec::new();
    loop {
        let pull = reader.next(PullLimits::default()).await.unwrap();
        let data = pull.entries.iter().map(|entry| String::from_utf8(entry.event().data.to_vec()).unwrap());
        read.extend(data);
        if pull.ended {
            return (read, pull.reason);
        }
    }
}

#[tokio::test]
async fn what_others_publish_is_not_the_return_of_a_producer() {
    let (hub, topic) = (hub(), Topic::new("chat/1").unwrap());
    let mut producer = hub.produce(topic.clone(), options(Duration::from_secs(2))).await.unwrap();
    producer.push(NewEvent::text(topic.clone(), "one"));
    producer.progress().await.unwrap();
    let reader = reader(&hub, &topic).await;
    drop(producer);
    // It is waited for by then.
    tokio::time::sleep(Duration::from_millis(500)).await;
    hub.publish(Batch::of(NewEvent::text(topic.clone(), "from another"))).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), all(reader)).await.unwrap();
    assert_eq!(ended, (vec!["one".into(), "from another".into()], Some(EndReason::aborted())));
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_returns_and_is_silent_is_back() {
    let (hub, topic) = (hub(), Topic::new("chat/1").unwrap());
    let grace = Duration::from_secs(60);
    let mut producer = hub.produce(topic.clone(), options(grace)).await.unwrap();
    producer.push(NewEvent::text(topic.clone(), "one"));
    producer.progress().await.unwrap();
    drop(producer);
    tokio::time::sleep(grace / 2).await;
    let mut back = hub.produce(topic.clone(), options(grace)).await.unwrap();
    tokio::time::sleep(grace * 3).await;
    for item in ["one", "two"] {
        back.push(NewEvent::text(topic.clone(), item));
    }
    let progress = back.finish().await.unwrap();
    assert_eq!((progress.events, progress.repeated, progress.closed), (2, 1, true));
    assert_eq!(all(reader(&hub, &topic).await).await, (vec!["one".into(), "two".into()], None));
}
