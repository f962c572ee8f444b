//! What comes of the log.

use std::time::Duration;

use serde_json::json;

use crate::support::{Request, Running, Setup, Socket, eventually, upgrade};

#[tokio::test]
async fn events_are_as_in_json_lines() {
    let hub = Running::start().await;
    let mut lines = hub.open(Request::lines("/topics/orders/*")).await;
    let mut socket = hub.socket("/topics/orders/*").await;
    assert_eq!(socket.subscribed("").await, hub.cursor(0));
    for request in [
        Request::post("/topics/orders/42?event=t", "{\"x\":\r\n1}").json(),
        Request::post("/topics/orders/42", "a\nb\" ü"),
        Request::post("/topics/orders/42", b"\xff\0").content("application/octet-stream"),
        Request::post("/topics/orders/1", "x".repeat(300)),
        Request::post("/topics/orders/1", "x".repeat(70_000)),
    ] {
        hub.ask(request).await.id();
        let line = lines.raw_line().await;
        assert_eq!(socket.text().await, line.trim_end());
    }
    assert_eq!(hub.metric("tidings_subscribers{transport=\"websocket\"}").await, 1);
    assert_eq!(hub.metric("tidings_delivered_events_total{transport=\"websocket\"}").await, 5);
    assert_eq!(hub.metric("tidings_websockets").await, 1);
    socket.send_close(1_000, "enough").await;
    assert_eq!(socket.ends().await, (1_000, String::new()));
    hub.readers("websocket", 0).await;
    // Its readers go first.
    eventually("it is gone", async || hub.metric("tidings_websockets").await == 0).await;
    assert_eq!(hub.metric("tidings_websocket_closes_total{code=\"1000\"}").await, 1);
}

#[tokio::test]
async fn parameters_are_those_of_a_stream() {
    let hub = Running::start().await;
    let first = hub.publish_typed("a", "t", "1").await;
    hub.publish_typed("a", "u", "2").await;
    hub.publish_typed("b", "t", "3").await;
    for (target, expected) in [
        ("/topics/a?since=earliest", vec!["1", "2"]),
        ("/topics/a?since=-1", vec!["2"]),
        ("/events?topic=a&topic=b&since=earliest&event=t", vec!["1", "3"]),
        (&format!("/topics/*?lastEventId={first}"), vec!["2", "3"]),
    ] {
        let mut socket = hub.socket(target).await;
        socket.subscribed("").await;
        for data in expected {
            assert_eq!(socket.news().await["data"], data, "{target}");
        }
    }
}

#[tokio::test]
async fn a_silent_socket_is_told_where_it_is() {
    let hub = Setup::new().heartbeat(Duration::from_millis(100)).start().await;
    let mut socket = hub.socket("/topics/a").await;
    let begun = socket.subscribed("").await;
    // Also where nothing has moved: browsers show no pings.
    assert_eq!(socket.message().await, json!({"next": begun}));
    hub.publish("b", "moves the cursor").await;
    let moved = hub.cursor(1);
    while socket.message().await != json!({"next": moved}) {}
    socket.send(json!({"subscribe": "n", "topics": ["c"]})).await;
    socket.subscribed("n").await;
    while socket.message().await != json!({"sub": "n", "next": moved}) {}
}

#[tokio::test]
async fn gaps_and_ends_are_told_for_each_subscription() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let mut socket = hub.socket("/topics/a?lastEventId=nonsense").await;
    assert_eq!(socket.message().await, json!({"subscribed": ""}));
    let gap = json!({"reason": "unknown", "since": "nonsense", "resumed": hub.cursor(0)});
    assert_eq!(socket.message().await, json!({"gap": gap}));
    assert_eq!(socket.message().await["data"], "x");
    socket.send(json!({"subscribe": "b", "topics": ["b"], "since": "zzzzzz-7"})).await;
    assert_eq!(socket.news().await, json!({"subscribed": "b"}));
    let gap = json!({"reason": "unknown", "since": "zzzzzz-7", "resumed": hub.cursor(0)});
    assert_eq!(socket.news().await, json!({"sub": "b", "gap": gap}));
    let end = hub.close_topic("b").await;
    assert_eq!(socket.news().await, json!({"sub": "b", "end": {"id": end}}));
    // The name is free, and the other goes on.
    socket.send(json!({"subscribe": "b", "topics": ["c"]})).await;
    socket.subscribed("b").await;
    hub.publish("a", "y").await;
    assert_eq!(socket.news().await["data"], "y");
}

#[tokio::test]
async fn a_socket_ends_with_the_topics_that_it_was_opened_for() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/topics/a").await;
    socket.subscribed("").await;
    hub.publish("a", "x").await;
    let end = hub.close_topic("a").await;
    assert_eq!(socket.news().await["data"], "x");
    assert_eq!(socket.news().await, json!({"end": {"id": end}}));
    assert_eq!(socket.ends().await.0, 1_000);
    // Nothing will ever follow.
    let mut again = hub.socket(&format!("/topics/a?since={end}")).await;
    again.subscribed("").await;
    assert_eq!(again.news().await, json!({"end": {"id": end}}));
    assert_eq!(again.ends().await.0, 1_000);
    // Who asked for more than that goes on.
    let mut other = hub.socket("/socket").await;
    other.send(json!({"subscribe": "a", "topics": ["a"], "since": "earliest"})).await;
    other.subscribed("a").await;
    assert_eq!(other.news().await["data"], "x");
    assert_eq!(other.news().await, json!({"sub": "a", "end": {"id": end}}));
    other.send(json!({"subscribe": "a", "topics": ["b"]})).await;
    other.subscribed("a").await;
}

#[tokio::test]
async fn a_hub_that_shuts_down_says_when_to_come_back() {
    let mut hub = Running::start().await;
    let (mut sockets, mut delays) = (Vec::new(), std::collections::HashSet::new());
    for _ in 0..20 {
        let mut socket = hub.socket("/topics/a").await;
        socket.subscribed("").await;
        sockets.push(socket);
    }
    sockets.push(hub.socket("/socket").await);
    hub.publish("a", "x").await;
    for socket in &mut sockets[..20] {
        assert_eq!(socket.news().await["data"], "x");
    }
    hub.shut_down();
    for socket in sockets {
        let (code, reason) = socket.ends().await;
        assert_eq!(code, 1_001);
        let delay: u64 = reason.split(' ').rev().nth(1).unwrap().parse().unwrap();
        assert!(delay <= 5_000, "{reason}");
        delays.insert(delay);
    }
    assert!(delays.len() > 10, "clients do not all return together: {delays:?}");
    hub.ended().await;
}

#[tokio::test]
async fn a_socket_goes_on_from_its_cursor_on_another_transport() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/topics/a").await;
    socket.subscribed("").await;
    hub.publish("a", "1").await;
    let id = socket.news().await["id"].as_str().unwrap().to_owned();
    drop(socket);
    hub.publish("a", "2").await;
    assert_eq!(hub.read(&format!("/topics/a?since={id}")).await, ["2"]);
    let mut again = Socket::open(hub.connect().await, &upgrade(&format!("/topics/a?since={id}"))).await;
    assert_eq!(again.subscribed("").await, id);
    assert_eq!(again.news().await["data"], "2");
}

#[tokio::test]
async fn pings_are_answered_and_a_client_that_answers_none_is_gone() {
    let hub = Setup::new().heartbeat(Duration::from_millis(200)).start().await;
    let mut living = hub.socket("/socket").await;
    let mut silent = hub.socket("/socket").await;
    silent.answers_pings = false;
    living.send_frame(tidings_websocket::Opcode::Ping, "still there?").await;
    assert_eq!(living.next().await, tidings_websocket::Message::Pong(b"still there?".to_vec()));
    let keeps = tokio::spawn(async move {
        // Answers pings, until it is closed.
        living.closed().await
    });
    assert_eq!(
        silent.wire.rest().await.iter().filter(|byte| **byte == 0x89).count(),
        2,
        "it is pinged twice"
    );
    assert!(!keeps.is_finished());
    assert_eq!(hub.metric("tidings_websockets").await, 1);
    let mut hub = hub;
    hub.shut_down();
    assert_eq!(keeps.await.unwrap().0, 1_001);
}
