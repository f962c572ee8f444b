//! A cursor got from one transport works on every other one.

use std::time::Duration;

use tidings_client::{Since, Transport};

use crate::support::{TestHub, client, next_texts};

#[tokio::test]
async fn the_cursor_carries_over() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    client.publish_batch("a", ["1", "2", "3", "4", "5", "6"]).await.unwrap();

    let mut cursor = None;
    let transports =
        [Transport::Sse, Transport::WebSocket, Transport::LongPoll, Transport::Poll, Transport::Auto];
    for (transport, expected) in transports.into_iter().zip(["1", "2", "3", "4", "5"]) {
        let since = cursor.take().map_or(Since::Earliest, Since::Cursor);
        let mut subscription = client.subscribe(["a"]).since(since).transport(transport).open().unwrap();
        assert_eq!(next_texts(&mut subscription, 1).await, [expected]);
        cursor = subscription.cursor().map(str::to_owned);
    }
}

#[tokio::test]
async fn each_transport_delivers_what_comes_later() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    for transport in
        [Transport::Sse, Transport::WebSocket, Transport::LongPoll, Transport::Poll, Transport::Auto]
    {
        let topic = format!("later/{transport}");
        let mut subscription = client
            .subscribe([topic.as_str()])
            .transport(transport)
            .interval(Duration::from_millis(20))
            .open()
            .unwrap();
        crate::support::next_open(&mut subscription).await;
        for text in ["1", "2", "3"] {
            client.publish(topic.as_str(), text).await.unwrap();
            assert_eq!(next_texts(&mut subscription, 1).await, [text]);
        }
    }
}
