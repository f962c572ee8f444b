//! §3.3: streams of JSON lines, to the byte.

use std::time::Duration;

use crate::support::{Request, Running, Setup};

#[tokio::test]
async fn each_line_is_an_event_object() {
    let hub = Running::start().await;
    let mut stream = hub.open(Request::lines("/topics/orders/*")).await;
    assert_eq!(stream.head.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(stream.head.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(stream.head.header("x-accel-buffering"), Some("no"));
    hub.waiting("orders/42", 1).await;
    for (request, rest) in [
        (Request::post("/topics/orders/42?event=t", "{\"x\":1}").json(), "\"data\":{\"x\":1}}\n"),
        (Request::post("/topics/orders/42?event=t", "a\nb\""), "\"data\":\"a\\nb\\\"\"}\n"),
        (Request::post("/topics/orders/42?event=t", ""), "\"data\":\"\"}\n"),
        (
            Request::post("/topics/orders/42?event=t", b"\xff\0").content("application/octet-stream"),
            "\"encoding\":\"base64\",\"data\":\"/wA=\"}\n",
        ),
        (
            Request::post("/topics/orders/42?event=t", "{\n\"x\":\r\n\"\\n\"\r}").json(),
            "\"data\":{ \"x\":  \"\\n\" }}\n",
        ),
    ] {
        let receipt = hub.ask(request).await.json();
        let (id, time) = (receipt["id"].as_str().unwrap(), receipt["time"].as_str().unwrap());
        let head =
            format!("{{\"id\":\"{id}\",\"topic\":\"orders/42\",\"event\":\"t\",\"time\":\"{time}\",{rest}");
        stream.expect(&head).await;
    }
    let receipt = hub.ask(Request::post("/topics/orders/1", "x")).await.json();
    let (id, time) = (receipt["id"].as_str().unwrap(), receipt["time"].as_str().unwrap());
    let line = format!("{{\"id\":\"{id}\",\"topic\":\"orders/1\",\"time\":\"{time}\",\"data\":\"x\"}}\n");
    stream.expect(&line).await;
}

#[tokio::test]
async fn a_heartbeat_is_an_empty_line() {
    let hub = Setup::new().heartbeat(Duration::from_millis(50)).start().await;
    let mut stream = hub.open(Request::lines("/topics/a")).await;
    stream.expect("\n\n").await;
    hub.publish("b", "moves the cursor").await;
    stream.expect("\n\n\n").await;
    hub.publish("a", "x").await;
    assert_eq!(stream.line().await["data"], "x");
}

#[tokio::test]
async fn a_gap_stands_alone_before_the_events() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let mut stream = hub.open(Request::lines("/topics/a").last_event_id("non\"sense")).await;
    let zero = hub.cursor(0);
    stream
        .expect(&format!(
            "{{\"gap\":{{\"reason\":\"unknown\",\"since\":\"non\\\"sense\",\"resumed\":\"{zero}\"}}}}\n{{\"id\":\""
        ))
        .await;
}

#[tokio::test]
async fn an_end_stands_alone_after_them() {
    let hub = Running::start().await;
    hub.ask(Request::post("/topics/a?close=true", "x")).await.id();
    let mut stream = hub.open(Request::lines("/topics/a?since=earliest")).await;
    assert_eq!(stream.line().await["data"], "x");
    let (rest, wire) = stream.end_and_go_on().await;
    assert_eq!(rest, format!("{{\"end\":{{\"id\":\"{}\"}}}}\n", hub.cursor(1)));
    if let Some(mut wire) = wire {
        assert_eq!(wire.ask(&Request::get("/healthz")).await.status(), 200);
    }
}

#[tokio::test]
async fn headers_leave_before_there_is_any_line() {
    let hub = Running::start().await;
    let stream = hub.open(Request::lines("/topics/a")).await;
    hub.readers("ndjson", 1).await;
    drop(stream);
    hub.readers("ndjson", 0).await;
}
