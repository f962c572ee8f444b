//! A stream of events that is published as it comes.

use tidings_client::{Item, Message, PublishError, Since};

use crate::support::{TestHub, client, next, next_event, next_texts};

#[tokio::test]
async fn each_event_is_there_as_soon_as_it_is_sent() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let mut reader = client.subscribe(["a"]).since(Since::Earliest).open().unwrap();
    let mut stream = client.stream("a").close().open().unwrap();
    stream.send("one").await.unwrap();
    assert_eq!(stream.flush().await.unwrap().events, 1);
    assert_eq!(next_texts(&mut reader, 1).await, ["one"]);
    stream.send(Message::json_text("{\"x\":1}").event_type("delta")).await.unwrap();
    stream.flush().await.unwrap();
    let event = next_event(&mut reader).await;
    assert_eq!((event.text(), event.event_type()), ("{\"x\":1}".into(), Some("delta")));
    stream.send(Message::bytes(vec![0xff])).await.unwrap();
    let published = stream.finish().await.unwrap();
    assert_eq!((published.events, published.closed), (3, true));
    assert!(published.first.is_some() && published.last.is_some());
    assert_eq!(next_event(&mut reader).await.bytes().as_ref(), [0xff]);
    assert!(matches!(next(&mut reader).await, Item::Closed { reason: None }));
}

#[tokio::test]
async fn a_restart_of_the_hub_loses_nothing_and_doubles_nothing() {
    let mut hub = TestHub::start().await;
    let client = client(&hub.url());
    let mut reader = client.subscribe(["a"]).since(Since::Earliest).open().unwrap();
    let mut stream = client.stream("a").close().open().unwrap();
    for number in 0..50 {
        stream.send(number.to_string()).await.unwrap();
    }
    stream.flush().await.unwrap();
    hub.stop().await;
    for number in 50..100 {
        stream.send(number.to_string()).await.unwrap();
    }
    hub.resume().await;
    let published = stream.finish().await.unwrap();
    assert_eq!((published.events, published.closed), (100, true));
    let expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(next_texts(&mut reader, 100).await, expected);
}

#[tokio::test]
async fn whoever_ends_the_topic_is_heard_at_once() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let mut stream = client.stream("a").close().open().unwrap();
    stream.send("one").await.unwrap();
    stream.flush().await.unwrap();
    client.close("a").close_because("stopped").await.unwrap();
    let PublishError::Refused(problem) = stream.acknowledged().await.unwrap_err() else { panic!() };
    assert_eq!((problem.status, problem.kind.as_str()), (409, "urn:tidings:topic-closed"));
}

#[tokio::test]
async fn a_stream_that_is_dropped_breaks_off() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let mut reader = client.subscribe(["a"]).since(Since::Earliest).open().unwrap();
    let mut stream = client.stream("a").close().grace(std::time::Duration::ZERO).open().unwrap();
    stream.send("one").await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    assert_eq!(next_texts(&mut reader, 1).await, ["one"]);
    let Item::Closed { reason } = next(&mut reader).await else { panic!() };
    assert_eq!(reason.as_deref(), Some("aborted"));
}
