//! Publications with acknowledgements.

use serde_json::{Value, json};
use tidings_http::AuthConfig;

use crate::support::tokens::{bearer, claims, hub_with, sign};
use crate::support::{Running, Setup, Socket, upgrade};

#[tokio::test]
async fn a_publication_is_acknowledged_when_it_can_be_read() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/socket").await;
    for (number, (data, extra, read)) in [
        (json!("text"), json!({}), json!("text")),
        (json!({"x": [1, null]}), json!({"event": "t"}), json!({"x": [1, null]})),
        (json!("/wA="), json!({"encoding": "base64"}), json!("/wA=")),
        (json!(null), json!({}), json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut publication = json!({"topic": "a", "data": data});
        publication.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let reference = json!({"n": number});
        socket.send(json!({"publish": publication, "ref": reference})).await;
        let message = socket.message().await;
        if data.is_null() {
            // It is as good as absent, as in a batch.
            assert_eq!(message["problem"]["status"], 400, "{message}");
            continue;
        }
        assert_eq!(message["ref"], reference);
        let (id, time) = (&message["published"]["id"], &message["published"]["time"]);
        let page = hub.get("/topics/a?since=-1").await.json();
        let event = &page["events"][0];
        assert_eq!((&event["id"], &event["time"], &event["data"]), (id, time, &read), "{page}");
    }
    assert_eq!(hub.metric("tidings_websocket_publications_total").await, 3);
    assert_eq!(hub.metric("tidings_published_events_total").await, 3);
}

#[tokio::test]
async fn publications_are_appended_in_their_order_however_many_are_under_way() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/socket").await;
    let mut frames = Vec::new();
    for number in 0..3_000 {
        let mut publication = json!({"topic": "a", "data": number});
        if number % 100 == 7 {
            publication["key"] = json!(format!("key-{number}"));
        }
        let message = json!({"publish": publication, "ref": number}).to_string();
        tidings_websocket::encode_masked(
            tidings_websocket::Opcode::Text,
            message.as_bytes(),
            [1, 2, 3, 4],
            &mut frames,
        );
    }
    socket.wire.send(frames).await;
    for number in 0..3_000 {
        let message = socket.message().await;
        assert_eq!(message["ref"], number, "{message}");
        assert_eq!(message["published"]["id"], hub.cursor(number + 1));
    }
    let page = hub.get("/topics/a?limit=3000").await.json();
    let data: Vec<_> = page["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect();
    assert_eq!(data, (0..3_000).map(Value::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_that_is_refused_takes_no_other_with_it() {
    let hub = Running::start().await;
    hub.close_topic("over").await;
    let mut socket = hub.socket("/socket").await;
    let mut frames = Vec::new();
    for (number, topic) in ["a", "over", "b", "/bad", "a"].into_iter().enumerate() {
        let message = json!({"publish": {"topic": topic, "data": number}, "ref": number}).to_string();
        tidings_websocket::encode_masked(
            tidings_websocket::Opcode::Text,
            message.as_bytes(),
            [1, 2, 3, 4],
            &mut frames,
        );
    }
    socket.wire.send(frames).await;
    let mut answers = Vec::new();
    for number in 0..5 {
        let message = socket.message().await;
        assert_eq!(message["ref"], number, "{message}");
        answers.push(message["problem"]["status"].as_u64());
    }
    assert_eq!(answers, [None, Some(409), None, Some(400), None]);
    assert_eq!(hub.read("/topics/*").await, ["0", "2", "4"]);
}

#[tokio::test]
async fn keys_and_ends_are_as_over_http() {
    let hub = Running::start().await;
    let mut socket = hub.socket("/socket").await;
    let publication = json!({"publish": {"topic": "a", "data": "x", "key": "k"}, "ref": 1});
    socket.send(publication.clone()).await;
    let first = socket.message().await;
    assert_eq!(first["published"].get("repeated"), None);
    socket.send(publication).await;
    let again = socket.message().await;
    assert_eq!(again["published"]["id"], first["published"]["id"]);
    assert_eq!(again["published"]["repeated"], true);
    // The key is the topic's, whichever way it came.
    let request = crate::support::Request::post("/topics/a", "x").key("k");
    let answer = hub.ask(request).await;
    assert_eq!((answer.status(), &answer.json()["id"]), (200, &first["published"]["id"]));
    socket.send(json!({"publish": {"topic": "a", "data": "y", "key": "k"}, "ref": 2})).await;
    assert_eq!(socket.problem(json!(2)).await, "idempotency-conflict");
    socket.send(json!({"publish": {"topic": "a", "data": "z", "key": ""}, "ref": 3})).await;
    assert_eq!(socket.problem(json!(3)).await, "invalid-query");
    socket.send(json!({"publish": {"topic": "a", "data": "last", "close": true}, "ref": 4})).await;
    assert!(socket.message().await["published"]["id"].is_string());
    socket.send(json!({"publish": {"topic": "a", "data": "more"}, "ref": 5})).await;
    assert_eq!(socket.problem(json!(5)).await, "topic-closed");
    socket.send(json!({"publish": {"topic": "b", "close": true}, "ref": 6})).await;
    assert_eq!(socket.message().await["ref"], 6);
    socket.send(json!({"publish": {"topic": "c"}, "ref": 7})).await;
    assert_eq!(socket.problem(json!(7)).await, "invalid-data");
    assert!(hub.poll("/topics/a").await.closed && hub.poll("/topics/b").await.closed);
}

#[tokio::test]
async fn rights_are_looked_at_for_each() {
    let hub = hub_with(Setup::new(), AuthConfig::default()).await;
    let token = sign(&claims(&["mine/*"], &["news"]));
    let request = upgrade("/topics/news").header("authorization", &bearer(&token));
    let mut socket = Socket::open(hub.connect().await, &request).await;
    socket.subscribed("").await;
    socket.send(json!({"publish": {"topic": "news", "data": "x"}, "ref": 1})).await;
    assert_eq!(socket.problem(json!(1)).await, "forbidden");
    socket.send(json!({"subscribe": "m", "topics": ["news", "mine/1"], "ref": 2})).await;
    let message = socket.message().await;
    assert_eq!((&message["problem"]["status"], &message["sub"]), (&json!(403), &json!("m")));
    socket.send(json!({"publish": {"topic": "mine/1", "data": "x"}, "ref": 3})).await;
    assert!(socket.message().await["published"]["id"].is_string());
    assert_eq!(hub.hub.latest(), 1);
}

#[tokio::test]
async fn an_event_has_its_limit_and_a_rate() {
    let mut setup = Setup::new();
    setup.http.max_event_bytes = 1_000;
    setup.http.publish_rate_per_address = 3;
    let hub = setup.start().await;
    let mut socket = hub.socket("/socket").await;
    socket.send(json!({"publish": {"topic": "a", "data": "x".repeat(1_001)}, "ref": 1})).await;
    assert_eq!(socket.problem(json!(1)).await, "event-too-large");
    let mut refused = 0;
    for number in 0..20 {
        socket.send(json!({"publish": {"topic": "a", "data": "x".repeat(1_000)}, "ref": number})).await;
        let message = socket.message().await;
        assert_eq!(message["ref"], number);
        if message["problem"]["status"] == 429 {
            refused += 1;
        }
    }
    assert!((10..18).contains(&refused), "{refused}");
    assert!(hub.metric("tidings_limits_reached_total{limit=\"publish-rate-per-address\"}").await > 0);
}

/// A client that publishes and reads none of its acknowledgements is not read any further, and loses nothing.
#[tokio::test]
async fn who_takes_no_acknowledgements_is_not_read() {
    let hub = Running::start().await;
    let mut socket = Socket::open(crate::support::Wire::narrow(hub.address).await, &upgrade("/socket")).await;
    let message = json!({"publish": {"topic": "a", "data": "x"}, "ref": "r".repeat(250)}).to_string();
    let mut frame = Vec::new();
    tidings_websocket::encode_masked(
        tidings_websocket::Opcode::Text,
        message.as_bytes(),
        [1, 2, 3, 4],
        &mut frame,
    );
    let mut sent = 0;
    let all = 200_000;
    // Until nothing goes any more, or all has gone.
    while sent < all {
        let sending = tokio::time::timeout(std::time::Duration::from_secs(2), socket.wire.send(&frame)).await;
        if sending.is_err() {
            break;
        }
        sent += 1;
    }
    let under_way = hub.hub.latest();
    assert!(sent < all, "it was never held back");
    assert!(under_way > 0 && (sent as u64) >= under_way, "{sent} {under_way}");
    // What was cut off in the middle of a frame cannot go on; but what was sent whole is acknowledged.
    for _ in 0..under_way {
        let message = socket.message().await;
        assert!(message["published"]["id"].is_string(), "{message}");
    }
}
