//! A topic that is deleted ends its subscriptions, and begins anew; an event may have a lifetime.

use std::time::Duration;

use tidings_client::{Item, Since, Transport};

use crate::support::{TestHub, client, next, next_texts};

#[tokio::test]
async fn a_deleted_topic_ends_and_begins_anew() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    for transport in [Transport::Sse, Transport::WebSocket, Transport::LongPoll, Transport::Poll] {
        client.publish("a", "gone").await.unwrap();
        let subscribe = client.subscribe(["a"]).transport(transport).since(Since::Earliest);
        let mut subscription = subscribe.clone().open().unwrap();
        assert_eq!(next_texts(&mut subscription, 1).await, ["gone"]);
        let deleted = client.delete("a").await.unwrap();
        let end = next(&mut subscription).await;
        let Item::Closed { reason, .. } = &end else { panic!("{end:?}") };
        assert_eq!(reason.as_deref(), Some("deleted"));
        assert_eq!(subscription.cursor(), deleted.id());

        client.publish("a", "anew").await.unwrap();
        assert_eq!(next_texts(&mut subscribe.open().unwrap(), 1).await, ["anew"]);
        client.delete("a").await.unwrap();
    }
}

#[tokio::test]
async fn an_event_has_a_lifetime() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    client.publish("a", "1").ttl(Duration::from_millis(20)).await.unwrap();
    let mut stream = client.stream("a").ttl(Duration::from_millis(20)).open().unwrap();
    stream.send("2").await.unwrap();
    stream.finish().await.unwrap();
    client.publish("a", "3").ttl(Duration::from_secs(3_600)).await.unwrap();
    // Whoever asks when their time is over gets none of the first two.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut subscription = client.subscribe(["a"]).since(Since::Earliest).open().unwrap();
    assert_eq!(next_texts(&mut subscription, 1).await, ["3"]);
    assert!(client.publish("a", "4").ttl(Duration::ZERO).await.is_err());
}
