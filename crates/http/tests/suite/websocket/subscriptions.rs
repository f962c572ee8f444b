//! Several subscriptions on one socket.

use serde_json::json;
use tidings_http::defaults;

use crate::support::Running;

#[tokio::test]
async fn each_subscription_has_its_name_its_topics_and_its_cursor() {
    let hub = Running::start().await;
    for text in ["1", "2", "3"] {
        hub.publish("a", text).await;
    }
    let mut socket = hub.socket("/topics/b").await;
    socket.subscribed("").await;
    socket.send(json!({"subscribe": "late", "topics": ["a"], "since": "-1", "ref": 7})).await;
    let message = socket.message().await;
    assert_eq!((&message["subscribed"], &message["ref"]), (&json!("late"), &json!(7)));
    socket.send(json!({"subscribe": "all \"of\" it", "topics": ["a", "b"], "event": ["t", "message"], "since": "earliest"})).await;
    let mut late = Vec::new();
    let mut all = Vec::new();
    hub.publish_typed("a", "u", "not for everybody").await;
    hub.publish("b", "4").await;
    let mut first = Vec::new();
    while all.len() < 4 || late.len() < 2 || first.is_empty() {
        let message = socket.news().await;
        let Some(data) = message["data"].as_str().map(str::to_owned) else { continue };
        match message.get("sub").map(|sub| sub.as_str().unwrap()) {
            None => first.push(data),
            Some("late") => late.push(data),
            Some("all \"of\" it") => all.push(data),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(late, ["3", "not for everybody"]);
    assert_eq!(all, ["1", "2", "3", "4"]);
    assert_eq!(first, ["4"]);
}

#[tokio::test]
async fn a_name_is_taken_once_and_free_again_afterwards() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/topics/a").await;
    socket.subscribed("").await;
    for (name, topic) in [("", "b"), ("n", "a")] {
        if name == "n" {
            socket.send(json!({"subscribe": "n", "topics": ["a"]})).await;
            socket.subscribed("n").await;
        }
        socket.send(json!({"subscribe": name, "topics": [topic], "ref": "again"})).await;
        let message = socket.news().await;
        assert_eq!((&message["sub"], &message["ref"]), (&json!(name), &json!("again")));
        assert_eq!(message["problem"]["type"], "urn:tidings:invalid-data");
    }
    socket.send(json!({"unsubscribe": "n", "ref": 1})).await;
    assert_eq!(socket.news().await, json!({"unsubscribed": "n", "ref": 1}));
    socket.send(json!({"unsubscribe": "n", "ref": 2})).await;
    assert_eq!(socket.problem(json!(2)).await, "invalid-data");
    socket.send(json!({"subscribe": "n", "topics": ["c"]})).await;
    socket.subscribed("n").await;
    // What was refused, or has ended, gets nothing.
    hub.publish("b", "for nobody").await;
    hub.publish("c", "x").await;
    assert_eq!(socket.news().await["sub"], "n");
    // Without the first, it is not over.
    socket.send(json!({"unsubscribe": ""})).await;
    assert_eq!(socket.news().await, json!({"unsubscribed": ""}));
    socket.send(json!({"unsubscribe": "n"})).await;
    assert_eq!(socket.news().await, json!({"unsubscribed": "n"}));
    hub.readers("websocket", 0).await;
    socket.send(json!({"publish": {"topic": "a", "data": 1}, "ref": 3})).await;
    assert_eq!(socket.news().await["ref"], 3);
}

#[tokio::test]
async fn a_socket_has_so_many_subscriptions() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/socket").await;
    for number in 0..defaults::SOCKET_SUBSCRIPTIONS {
        socket.send(json!({"subscribe": number.to_string(), "topics": ["a"]})).await;
        socket.subscribed(&number.to_string()).await;
    }
    socket.send(json!({"subscribe": "more", "topics": ["a"], "ref": 0})).await;
    assert_eq!(socket.problem(json!(0)).await, "too-many-requests");
    hub.publish("a", "x").await;
    for _ in 0..defaults::SOCKET_SUBSCRIPTIONS {
        assert_eq!(socket.news().await["data"], "x");
    }
    drop(socket);
    hub.readers("websocket", 0).await;
}

/// However many subscriptions a socket has, and however long their topics are, they take a bounded memory.
#[tokio::test]
async fn the_topics_of_a_socket_have_their_bound() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/socket").await;
    let topics: Vec<_> = (0..100).map(|number| format!("{number:03}{}", "t".repeat(500))).collect();
    let mut taken = 0;
    loop {
        socket.send(json!({"subscribe": taken.to_string(), "topics": topics, "ref": taken})).await;
        let message = socket.news().await;
        if message["problem"]["status"] == 429 {
            break;
        }
        assert_eq!(message["subscribed"], taken.to_string(), "{message}");
        taken += 1;
    }
    assert_eq!(taken, defaults::SOCKET_SELECTION_BYTES / 50_300);
    let types = vec!["e".repeat(90_000)];
    socket.send(json!({"subscribe": "types", "topics": ["a"], "event": types, "ref": 1})).await;
    assert_eq!(socket.problem(json!(1)).await, "too-many-requests");
    // What has ended makes room.
    socket.send(json!({"unsubscribe": "0"})).await;
    assert_eq!(socket.news().await, json!({"unsubscribed": "0"}));
    socket.send(json!({"subscribe": "again", "topics": topics})).await;
    socket.subscribed("again").await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_and_the_socket_stays_open() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/socket").await;
    let long = "n".repeat(defaults::SUBSCRIPTION_NAME_BYTES + 1);
    for (message, name) in [
        (json!({"ref": 1}), "invalid-data"),
        (json!({"hello": "hub", "ref": 1}), "invalid-data"),
        (json!({"subscribe": "a", "unsubscribe": "a", "ref": 1}), "invalid-data"),
        (json!({"subscribe": "a", "ref": 1}), "invalid-query"),
        (json!({"subscribe": "a", "topics": [], "ref": 1}), "invalid-query"),
        (json!({"subscribe": "a", "topics": "a", "ref": 1}), "invalid-data"),
        (json!({"subscribe": 7, "topics": ["a"], "ref": 1}), "invalid-data"),
        (json!({"subscribe": "a", "topics": ["/"], "ref": 1}), "invalid-topic"),
        (json!({"subscribe": "a", "topics": ["a"], "since": "soon", "ref": 1}), "invalid-query"),
        (json!({"subscribe": long, "topics": ["a"], "ref": 1}), "invalid-query"),
        (json!({"subscribe": "a", "topics": vec!["a"; 101], "ref": 1}), "invalid-query"),
        (json!({"unsubscribe": "a", "ref": 1}), "invalid-data"),
    ] {
        socket.send(message.clone()).await;
        assert_eq!(socket.problem(json!(1)).await, name, "{message}");
    }
    for text in ["", "{", "[]", "[\"publish\"]", "null", "{\"token\": 7}", "\"subscribe\""] {
        socket.send_frame(tidings_websocket::Opcode::Text, text).await;
        assert_eq!(socket.problem(json!(null)).await, "invalid-data", "{text}");
    }
    socket.send(json!({"subscribe": "a", "topics": ["a"], "ref": "x".repeat(257)})).await;
    assert_eq!(socket.problem(json!(null)).await, "invalid-data");
    socket.send(json!({"subscribe": "a", "topics": ["a"], "later": {"versions": "may say more"}})).await;
    socket.subscribed("a").await;
}
