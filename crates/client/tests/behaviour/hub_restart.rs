//! A hub that restarts costs its subscribers and publishers nothing but time.

use tidings_client::{Interruption, Since, Transport};

use crate::support::{TestHub, client, next_interruption, next_open, next_texts};

async fn a_restart_is_survived(transport: Transport) {
    let mut hub = TestHub::start().await;
    let client = client(&hub.url());
    client.publish("a", "1").await.unwrap();
    let mut subscription =
        client.subscribe(["a"]).since(Since::Earliest).transport(transport).open().unwrap();
    assert_eq!(next_open(&mut subscription).await, transport);
    assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);

    let publisher = {
        let client = client.clone();
        hub.stop().await;
        tokio::spawn(async move {
            for number in 2..=20 {
                client.publish("a", number.to_string()).await.unwrap();
            }
        })
    };
    let (reason, _) = next_interruption(&mut subscription).await;
    // A poll that was on its way when the hub closed the connection broke with it.
    let expected = matches!(reason, Interruption::Ended | Interruption::Connect(_) | Interruption::Broken(_));
    assert!(expected, "{reason}");
    hub.resume().await;

    let expected: Vec<String> = (2..=20).map(|number| number.to_string()).collect();
    assert_eq!(next_texts(&mut subscription, 19).await, expected);
    publisher.await.unwrap();
}

#[tokio::test]
async fn by_stream() {
    a_restart_is_survived(Transport::Sse).await;
}

#[tokio::test]
async fn by_websocket() {
    a_restart_is_survived(Transport::WebSocket).await;
}

#[tokio::test]
async fn by_long_poll() {
    a_restart_is_survived(Transport::LongPoll).await;
}
