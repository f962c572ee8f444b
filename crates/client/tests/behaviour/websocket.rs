//! A subscription by WebSocket, and publishing through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use tidings_client::{Interruption, Item, PublishError, SubscribeError, Transport};
use tidings_websocket::{Message, Opcode};
use tokio::net::TcpStream;

use crate::support::{
    Request, Script, ServerSocket, TestHub, begin_stream, block, client, event, hold, next,
    next_interruption, next_open, next_texts, reply,
};

const OPENING: &str = r#"{"subscribed":"","next":"q7m2x9-1"}"#;

/// Answers requests for a socket as a closure says, and is told which others come.
async fn sockets<F, Fut>(answer: F) -> Script
where
    F: Fn(Request, ServerSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let answer = Arc::new(answer);
    Script::start(move |request, stream: TcpStream| {
        let answer = answer.clone();
        async move {
            if request.wants_socket() {
                let mut socket = ServerSocket::accept(&request, stream).await;
                socket.say(OPENING).await;
                answer(request, socket).await;
            } else if request.head.starts_with("POST") {
                let mut stream = stream;
                let receipt = r#"{"id":"q7m2x9-100"}"#;
                reply(&mut stream, "201 Created\ncontent-type: application/json", receipt).await;
            }
        }
    })
    .await
}

/// Answers the next publication with what a closure makes of its `ref`.
async fn acknowledge(socket: &mut ServerSocket, answer: impl Fn(u64) -> String) -> serde_json::Value {
    let message = socket.next_json().await;
    let answer = answer(message["ref"].as_u64().unwrap());
    socket.say(&answer).await;
    message
}

fn published(sequence: u64) -> impl Fn(u64) -> String {
    move |reference| format!(r#"{{"published":{{"id":"q7m2x9-{sequence}","time":"t"}},"ref":{reference}}}"#)
}

#[tokio::test]
async fn messages_are_what_a_stream_would_tell() {
    let mut server = sockets(|_, mut socket| async move {
        socket.say(&event(2)).await;
        socket.say(r#"{"gap":{"reason":"expired","since":"q7m2x9-2","resumed":"q7m2x9-4"}}"#).await;
        socket.send(Opcode::Ping, b"alive?").await;
        assert_eq!(socket.next().await, Some(Message::Pong(b"alive?".to_vec())));
        socket.say(r#"{"later":"who knows"}"#).await;
        socket.say(&event(5)).await;
        socket.say(r#"{"end":{"id":"q7m2x9-6"}}"#).await;
        while socket.next().await.is_some() {}
    })
    .await;
    let subscribe = client(&server.url).subscribe(["a"]).event_types(["t"]).transport(Transport::WebSocket);
    let mut subscription = subscribe.open().unwrap();
    assert_eq!(next_open(&mut subscription).await, Transport::WebSocket);
    assert_eq!(subscription.cursor(), Some("q7m2x9-1"));
    assert_eq!(next_texts(&mut subscription, 1).await, ["2"]);
    assert!(matches!(next(&mut subscription).await, Item::Gap(gap) if gap.resumed == "q7m2x9-4"));
    assert_eq!(next_texts(&mut subscription, 1).await, ["5"]);
    assert!(matches!(next(&mut subscription).await, Item::Closed { reason: None }));
    assert_eq!(subscription.cursor(), Some("q7m2x9-6"));
    assert!(subscription.next().await.is_none());
    let request = server.request().await;
    assert_eq!((request.parameter("event"), request.parameter("since")), (Some("t"), Some("latest")));
    assert_eq!(request.header("sec-websocket-protocol"), Some("tidings.v1"));
    assert!(request.parameter("heartbeat").is_some() && request.parameter("envelope").is_none());
}

#[tokio::test]
async fn a_socket_that_ends_is_opened_again_from_its_cursor() {
    let mut server = sockets(|request, mut socket| async move {
        let sequence = 2 + request.number as u64;
        socket.say(&event(sequence)).await;
        match request.number {
            0 => socket.close(1001, "the hub is shutting down").await,
            // Not what a hub says.
            1 => socket.send(Opcode::Text, b"").await,
            _ => while socket.next().await.is_some() {},
        }
    })
    .await;
    let mut subscription =
        client(&server.url).subscribe(["a"]).transport(Transport::WebSocket).open().unwrap();
    assert_eq!(next_texts(&mut subscription, 1).await, ["2"]);
    assert!(matches!(next_interruption(&mut subscription).await.0, Interruption::Ended));
    assert_eq!(next_texts(&mut subscription, 1).await, ["3"]);
    assert!(matches!(next_interruption(&mut subscription).await.0, Interruption::Malformed(_)));
    assert_eq!(next_texts(&mut subscription, 1).await, ["4"]);
    let cursors = [server.request().await, server.request().await, server.request().await]
        .map(|request| request.parameter("lastEventId").map(str::to_owned));
    assert_eq!(cursors, [None, Some("q7m2x9-2".to_owned()), Some("q7m2x9-3".to_owned())]);
}

#[tokio::test]
async fn a_silent_socket_is_given_up() {
    let server = sockets(|_, mut socket| async move { while socket.next().await.is_some() {} }).await;
    let subscribe = client(&server.url).subscribe(["a"]).heartbeat(Duration::from_secs(1));
    let mut subscription = subscribe.transport(Transport::WebSocket).open().unwrap();
    next_open(&mut subscription).await;
    let (reason, _) = next_interruption(&mut subscription).await;
    assert!(matches!(reason, Interruption::Silent { .. }), "{reason}");
}

#[tokio::test]
async fn what_a_hub_refuses_is_final_and_a_token_is_asked_for_again() {
    for (word, expected) in [
        (
            r#"{"problem":{"type":"urn:tidings:forbidden","title":"t","status":403,"detail":"not yours"},"sub":""}"#,
            "the hub refused it with 403: not yours",
        ),
        ("", "the hub refused it with 401: the token has ended"),
    ] {
        let server = sockets(move |_, mut socket| async move {
            if word.is_empty() {
                return socket.close(4401, "the token has ended").await;
            }
            socket.say(word).await;
            socket.close(4403, "not yours").await;
        })
        .await;
        let mut subscription =
            client(&server.url).subscribe(["a"]).transport(Transport::WebSocket).open().unwrap();
        let error = loop {
            match subscription.next().await.unwrap() {
                Ok(Item::Open { .. }) => {}
                other => break other.unwrap_err(),
            }
        };
        assert!(matches!(error, SubscribeError::Refused(_)));
        assert_eq!(error.to_string(), expected);
    }
}

/// A hub without sockets, or a proxy that strips `Upgrade`: it sees a request for a page.
#[tokio::test]
async fn where_no_socket_opens_a_stream_follows_at_once() {
    for status in ["200 OK\ncontent-type: application/json", "426 Upgrade Required", "200 OK"] {
        let server = Script::start(move |request, mut stream| async move {
            if request.wants_stream() {
                begin_stream(&mut stream, &block(2)).await;
                hold(stream).await;
            } else {
                reply(&mut stream, status, r#"{"events":[],"next":"q7m2x9-1","more":false}"#).await;
            }
        })
        .await;
        let transports = [Transport::WebSocket, Transport::Auto];
        let mut subscription = client(&server.url).subscribe(["a"]).transports(transports).open().unwrap();
        let (reason, after) = next_interruption(&mut subscription).await;
        assert!(matches!(reason, Interruption::NoSocket { .. }) && after.is_zero(), "{reason}");
        assert_eq!(next_open(&mut subscription).await, Transport::Sse);
        assert_eq!(next_texts(&mut subscription, 1).await, ["2"]);
    }
}

#[tokio::test]
async fn events_are_published_through_an_open_socket() {
    let mut server = sockets(|_, mut socket| async move {
        // More comes before the acknowledgement: whoever publishes reads it for the subscription.
        let message = socket.next_json().await;
        for sequence in 2..=50 {
            socket.say(&event(sequence)).await;
        }
        let expected = serde_json::json!({"topic": "b", "event": "t", "data": "text", "key": "k"});
        assert_eq!(message["publish"], expected);
        socket.say(&published(51)(message["ref"].as_u64().unwrap())).await;
        let message = acknowledge(&mut socket, |reference| {
            format!(r#"{{"published":{{"id":"q7m2x9-51","time":"t","repeated":true}},"ref":{reference}}}"#)
        })
        .await;
        assert_eq!(message["publish"]["key"], "k");
        acknowledge(&mut socket, |reference| {
            let problem =
                r#"{"type":"urn:tidings:topic-closed","title":"t","status":409,"detail":"it has ended"}"#;
            format!(r#"{{"problem":{problem},"ref":{reference}}}"#)
        })
        .await;
        while socket.next().await.is_some() {}
    })
    .await;
    let client = client(&server.url);
    let mut subscription = client.subscribe(["a"]).transport(Transport::WebSocket).open().unwrap();
    next_open(&mut subscription).await;
    // Nobody polls the subscription meanwhile.
    let message = || tidings_client::Message::text("text").event_type("t");
    let first = client.publish("b", message()).idempotency_key("k").await.unwrap();
    assert_eq!((first.id(), first.is_repeated()), (Some("q7m2x9-51"), false));
    let again = client.publish("b", message()).idempotency_key("k").await.unwrap();
    assert!(again.is_repeated());
    let error = client.publish("b", "x").await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)));
    assert_eq!(error.to_string(), "the hub refused it with 409: it has ended");
    let expected: Vec<String> = (2..=50).map(|sequence| sequence.to_string()).collect();
    assert_eq!(next_texts(&mut subscription, 49).await, expected);
    server.request().await;
    assert_eq!(server.requests_so_far().len(), 0, "nothing was published by a request");
}

/// With a real hub: in order, once each, and not by requests.
#[tokio::test]
async fn publications_and_events_share_a_socket_of_a_hub() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let mut subscription = client.subscribe(["a"]).transport(Transport::WebSocket).open().unwrap();
    next_open(&mut subscription).await;
    let publish = |number: usize| {
        let key = format!("key-{}", number / 2);
        let message = tidings_client::Message::text((number / 2).to_string());
        client.publish("a", message).idempotency_key(key).send()
    };
    // In flight together; each twice.
    let published = futures_util::future::join_all((0..400).map(publish)).await;
    let repeated = published.iter().filter(|published| published.as_ref().unwrap().is_repeated()).count();
    assert_eq!(repeated, 200);
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(next_texts(&mut subscription, 200).await, expected);
    assert_eq!(hub.metric("tidings_websocket_publications_total").await, 400, "none by a request");
    // One that is refused keeps nobody behind it back.
    let publish =
        |data: &'static str, key: &'static str| client.publish("a", data).idempotency_key(key).send();
    let (first, other, last) = tokio::join!(publish("x", "k"), publish("y", "k"), publish("z", "l"));
    assert!(matches!(other, Err(PublishError::Refused(problem)) if problem.status == 422));
    assert!(first.unwrap().id() < last.unwrap().id());
    assert_eq!(next_texts(&mut subscription, 2).await, ["x", "z"]);
    // A request under the same key is known as well.
    drop(subscription);
    let again = client.publish("a", "7").idempotency_key("key-7").await.unwrap();
    assert!(again.is_repeated());
}

#[tokio::test]
async fn a_subscription_that_waits_and_a_publisher_share_the_socket() {
    let server = sockets(|_, mut socket| async move {
        for sequence in 2..=100 {
            let message = acknowledge(&mut socket, published(sequence)).await;
            assert_eq!(message["publish"]["data"], sequence.to_string());
            socket.say(&event(sequence)).await;
        }
        while socket.next().await.is_some() {}
    })
    .await;
    let client = client(&server.url);
    let mut subscription = client.subscribe(["a"]).transport(Transport::WebSocket).open().unwrap();
    next_open(&mut subscription).await;
    let reading = tokio::spawn(async move { next_texts(&mut subscription, 99).await });
    for sequence in 2..=100_u64 {
        let published = client.publish("a", sequence.to_string()).await.unwrap();
        assert_eq!(published.id(), Some(&*format!("q7m2x9-{sequence}")));
    }
    assert_eq!(reading.await.unwrap().len(), 99);
}

/// The key says that it is the same.
#[tokio::test]
async fn where_the_acknowledgement_is_lost_a_request_follows() {
    let key = Arc::new(std::sync::Mutex::new(String::new()));
    let seen = key.clone();
    let mut server = sockets(move |_, mut socket| {
        let seen = seen.clone();
        async move {
            let message = socket.next_json().await;
            *seen.lock().unwrap() = message["publish"]["key"].as_str().unwrap().to_owned();
            // And the connection is gone.
        }
    })
    .await;
    let client = client(&server.url);
    let mut subscription = client.subscribe(["a"]).transport(Transport::WebSocket).open().unwrap();
    next_open(&mut subscription).await;
    server.request().await;
    assert_eq!(client.publish("b", "x").await.unwrap().id(), Some("q7m2x9-100"));
    let request = loop {
        let request = server.request().await;
        if request.head.starts_with("POST") {
            break request;
        }
    };
    assert_eq!(request.header("idempotency-key").unwrap(), *key.lock().unwrap());
}

/// An end, JSON that a message would not keep as it is, and what follows the end of the socket.
#[tokio::test]
async fn what_a_socket_cannot_take_is_published_by_a_request() {
    let was_published = Arc::new(AtomicBool::new(false));
    let through_socket = was_published.clone();
    let mut server = sockets(move |_, mut socket| {
        let through_socket = through_socket.clone();
        async move {
            while let Some(message) = socket.next().await {
                through_socket.fetch_or(matches!(message, Message::Text(_)), Ordering::SeqCst);
            }
        }
    })
    .await;
    let client = client(&server.url);
    let mut subscription = client.subscribe(["a"]).transport(Transport::WebSocket).open().unwrap();
    next_open(&mut subscription).await;
    server.request().await;
    let json = tidings_client::Message::json_text;
    client.publish("b", json(" {}")).await.unwrap();
    client.publish("b", json("\"x\"")).await.unwrap();
    client.publish("b", "x").close().await.unwrap();
    drop(subscription);
    client.publish("b", "x").await.unwrap();
    for _ in 0..4 {
        assert!(server.request().await.head.starts_with("POST"));
    }
    assert!(!was_published.load(Ordering::SeqCst));
}
