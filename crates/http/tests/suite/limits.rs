//! §4: what is too large.

use serde_json::json;

use crate::support::{Request, Running, Setup, Wire};

const TARGETS: [(&str, &str); 3] =
    [("/topics/a", "text/plain"), ("/topics/a", "application/x-ndjson"), ("/events", "application/json")];

async fn small() -> Running {
    let mut setup = Setup::new();
    setup.http.max_event_bytes = 1_000;
    setup.http.max_batch_bytes = 4_000;
    setup.start().await
}

/// The connection either serves on, or said that it would not.
async fn usable_or_told(hub: &Running, mut wire: Wire, connection: Option<&str>) {
    if connection == Some("close") {
        assert!(wire.rest().await.is_empty());
        wire = hub.connect().await;
    }
    wire.ask(&Request::post("/topics/other", "x")).await.id();
}

#[tokio::test]
async fn an_event_may_be_a_mebibyte_and_no_more() {
    let hub = Running::start().await;
    let largest = "x".repeat(1 << 20);
    hub.publish("a", &largest).await;
    let refused = hub.ask(Request::post("/topics/a", largest + "x")).await;
    assert!(refused.problem(413, "event-too-large").contains("1048576"));
    assert_eq!(hub.poll("/topics/a").await.events.len(), 1);
}

#[tokio::test]
async fn a_declared_length_is_refused_before_the_body_is_sent() {
    let hub = Running::start().await;
    for (target, media_type) in TARGETS {
        let mut wire = hub.connect().await;
        let head = format!("POST {target} HTTP/1.1\r\nhost: hub\r\ncontent-type: {media_type}\r\n");
        wire.send(format!("{head}content-length: 20000000\r\n\r\n")).await;
        wire.answer(false).await.problem(413, "event-too-large");
        let mut wire = hub.connect().await;
        wire.send(format!("{head}expect: 100-continue\r\ncontent-length: 20000000\r\n\r\n")).await;
        let answer = wire.answer(false).await;
        answer.problem(413, "event-too-large");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(wire.rest().await.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_asks_whether_to_go_on_is_told() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    wire.send("POST /topics/a HTTP/1.1\r\nhost: hub\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .await;
    assert_eq!(wire.head().await.status, 100);
    wire.send("abc").await;
    wire.answer(false).await.id();
}

#[tokio::test]
async fn a_body_that_is_sent_all_the_same_does_not_hide_the_refusal() {
    let hub = Running::start().await;
    for size in [(1 << 20) + 1, 3 << 20, 12 << 20] {
        let mut wire = hub.connect().await;
        // A client that reads only after it has sent everything.
        let sent = wire.try_send(Request::post("/topics/a", vec![b'x'; size]).bytes()).await;
        assert!(sent.is_ok(), "{sent:?} of {size}");
        wire.answer(false).await.problem(413, "event-too-large");
    }
}

#[tokio::test]
async fn a_chunked_body_is_refused_once_it_is_too_large() {
    let hub = small().await;
    for (target, media_type) in TARGETS {
        let mut wire = hub.connect().await;
        let head = format!("POST {target} HTTP/1.1\r\nhost: hub\r\ncontent-type: {media_type}\r\n");
        wire.send(format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
        for _ in 0..5 {
            wire.send(format!("3e8\r\n{}\r\n", "x".repeat(1_000))).await;
        }
        wire.answer(false).await.problem(413, "event-too-large");
    }
}

#[tokio::test]
async fn an_event_within_a_batch_may_be_no_larger_than_one_alone() {
    let hub = small().await;
    let item = |size: usize| json!({"topic": "a", "data": "x".repeat(size)}).to_string();
    for (good, size) in [(true, 1_000), (false, 1_001)] {
        for request in [
            Request::post("/topics/a", item(size)).ndjson(),
            Request::post("/events", item(size)).ndjson(),
            Request::post("/events", format!("[{}]", item(size))).json(),
        ] {
            let answer = hub.ask(request).await;
            if good {
                answer.ids();
            } else {
                answer.problem(413, "event-too-large");
            }
        }
    }
    // The limit is on the data: 1,000 bytes of it, however they are written.
    let base64 = json!({"topic": "a", "data": "A".repeat(1_332), "encoding": "base64"}).to_string();
    hub.ask(Request::post("/events", base64).ndjson()).await.ids();
    let escaped = format!("{{\"topic\":\"a\",\"data\":\"{}\"}}", "\\u0041".repeat(600));
    hub.ask(Request::post("/events", escaped).ndjson()).await.ids();
}

#[tokio::test]
async fn a_connection_serves_on_after_a_refusal_or_says_that_it_does_not() {
    let hub = small().await;
    hub.close_topic("over").await;
    hub.ask(Request::post("/topics/keyed", "1").key("k")).await.id();
    let large = "x".repeat(1_001);
    for request in [
        Request::post("/topics/a", &large),
        Request::post("/topics/a", "x".repeat(100_000)),
        Request::post("/topics/a", "{").json(),
        Request::post("/topics/a", "nonsense").ndjson(),
        Request::post("/topics/a", b"\xff"),
        Request::post("/topics/*", "x"),
        Request::post("/topics/a?event=tidings.x", "x"),
        Request::post("/topics/over", "x"),
        Request::post("/topics/keyed", "2").key("k"),
        Request::post("/events", "x"),
        Request::post("/events", &large),
        Request::post("/events", "x".repeat(100_000)),
        Request::post("/topics", &large),
        Request::post("/nowhere", &large),
        Request::post("/healthz", &large),
        Request::new("PUT", "/topics/a"),
        Request::get("/topics/a?since=x"),
        Request::get("/topics/a").accept("text/html"),
    ] {
        let mut wire = hub.connect().await;
        let answer = wire.ask(&request).await;
        assert!(answer.status() >= 400, "{request:?}");
        usable_or_told(&hub, wire, answer.header("connection")).await;
    }
    assert!(hub.poll("/topics/a").await.events.is_empty());
}

#[tokio::test]
async fn a_small_refused_body_does_not_cost_the_connection() {
    let hub = small().await;
    let mut wire = hub.connect().await;
    for _ in 0..5 {
        wire.ask(&Request::post("/topics/a", "{").json()).await.problem(400, "invalid-data");
        wire.ask(&Request::post("/topics/*", "x")).await.problem(400, "invalid-topic");
        wire.ask(&Request::post("/events", "x")).await.problem(415, "unsupported-media-type");
        wire.ask(&Request::post("/nowhere", "x")).await.problem(404, "not-found");
        wire.ask(&Request::post("/topics/a", "x")).await.id();
    }
}
