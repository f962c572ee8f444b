//! A subscription works only while it is polled, and is gone when it is dropped.

use std::time::Duration;

use tidings_client::{Item, Transport};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{PATIENCE, Script, TestHub, begin_stream, block, client, hold, next, next_texts, page};

#[tokio::test]
async fn a_slow_consumer_holds_the_hub_back() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = Script::start(move |_, mut socket| {
        let tell = tell.clone();
        async move {
            begin_stream(&mut socket, "id: q7m2x9-0\n\n").await;
            let (mut sequence, mut sent) = (0, 0);
            loop {
                sequence += 1;
                let block = block(sequence);
                match timeout(Duration::from_secs(1), socket.write_all(block.as_bytes())).await {
                    Ok(Ok(())) => sent += block.len(),
                    Ok(Err(_)) => return,
                    Err(_) => break,
                }
            }
            tell.send(sent).unwrap();
            hold(socket).await;
        }
    })
    .await;
    let mut subscription = client(&server.url).subscribe(["a"]).transport(Transport::Sse).open().unwrap();
    assert_eq!(next_texts(&mut subscription, 2).await, ["1", "2"]);
    let sent = timeout(PATIENCE, told.recv()).await.expect("the server is held back").unwrap();
    assert!(sent < 64 << 20, "{sent}");
    assert_eq!(next_texts(&mut subscription, 2).await, ["3", "4"]);
}

#[tokio::test]
async fn dropping_it_closes_its_connection() {
    for transport in [Transport::Sse, Transport::LongPoll] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut server = Script::start(move |request, mut socket| {
            let tell = tell.clone();
            async move {
                if request.wants_stream() {
                    begin_stream(&mut socket, "id: q7m2x9-0\n\n").await;
                } else if request.parameter("wait").is_none() {
                    return page(&mut socket, &[], 1).await;
                }
                hold(socket).await;
                tell.send(()).unwrap();
            }
        })
        .await;
        let mut subscription = client(&server.url).subscribe(["a"]).transport(transport).open().unwrap();
        assert!(matches!(next(&mut subscription).await, Item::Open { .. }));
        let held = async {
            loop {
                let request = server.request().await;
                if request.wants_stream() || request.parameter("wait").is_some() {
                    break;
                }
            }
        };
        tokio::select! {
            () = held => {}
            item = next(&mut subscription) => panic!("{item:?}"),
        }
        drop(subscription);
        timeout(PATIENCE, told.recv()).await.expect("the connection is closed").unwrap();
    }
}

#[tokio::test]
async fn waiting_in_select_loses_nothing() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let mut subscription = client.subscribe(["a"]).open().unwrap();
    assert!(matches!(next(&mut subscription).await, Item::Open { .. }));
    let publisher = tokio::spawn(async move {
        for number in 0..200 {
            client.publish("a", number.to_string()).await.unwrap();
        }
    });
    for number in 0..200 {
        let event = loop {
            // Most of these end in the middle of something.
            match timeout(Duration::from_micros(300), next(&mut subscription)).await {
                Ok(Item::Event(event)) => break event,
                Ok(item) => panic!("{item:?}"),
                Err(_) => {}
            }
        };
        assert_eq!(event.text(), number.to_string());
    }
    publisher.await.unwrap();
}
