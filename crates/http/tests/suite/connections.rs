//! What connections are allowed.

use std::time::Duration;

use tidings_http::defaults;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Request, Running, Setup, Stream, Wire};

/// Waits until the hub closes the connection; the time from `since` to that.
async fn cut_off(mut wire: Wire, since: Instant) -> Duration {
    wire.rest().await;
    since.elapsed()
}

#[tokio::test]
async fn a_head_that_dribbles_is_cut_off() {
    let hub = Running::start().await;
    let limit = defaults::HEAD_TIMEOUT;
    let begun = Instant::now();
    let silent = hub.connect().await;
    let mut first = hub.connect().await;
    let mut preface = hub.connect().await;
    let mut second = hub.connect().await;
    second.ask(&Request::get("/healthz")).await;
    let dribble = async {
        first.send("GET /topics/a HTTP/1.1\r\nx: ").await;
        preface.send("PRI * HT").await;
        second.send("GET /topics/a HTTP/1.1\r\nx: ").await;
        while begun.elapsed() < limit - Duration::from_secs(1) {
            sleep(Duration::from_millis(500)).await;
            first.send("y").await;
            second.send("y").await;
        }
    };
    dribble.await;
    let all = [silent, first, preface, second].map(|wire| cut_off(wire, begun));
    for (place, end) in futures_util::future::join_all(all).await.into_iter().enumerate() {
        assert!(end > limit - Duration::from_secs(1), "{place} after {end:?}");
        assert!(end < limit + Duration::from_secs(8), "{place} after {end:?}");
    }
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    for _ in 0..2 {
        for byte in Request::get("/healthz").bytes() {
            wire.send([byte]).await;
        }
        assert_eq!(wire.answer(false).await.text(), "ok\n");
    }
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let hub = Running::start().await;
    let many: String = (0..150).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(40 << 10));
    for fields in [many, long] {
        let mut wire = hub.connect().await;
        let sent = wire.try_send(format!("GET /healthz HTTP/1.1\r\nhost: hub\r\n{fields}\r\n")).await;
        let answer = String::from_utf8(wire.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 ") || sent.is_err(), "{answer}");
    }
    let fields = format!("x: {}\r\n", "y".repeat(20 << 10));
    let mut wire = hub.connect().await;
    wire.send(format!("GET /healthz HTTP/1.1\r\nhost: hub\r\n{fields}\r\n")).await;
    assert_eq!(wire.answer(false).await.status(), 200);
}

#[tokio::test]
async fn what_is_not_http_is_closed() {
    let hub = Running::start().await;
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"nonsense\r\n\r\n", b"GET  HTTP/9\r\n\r\n", b"\0"] {
        let mut wire = hub.connect().await;
        wire.send(bytes).await;
        wire.finish_sending().await;
        let answer = wire.rest().await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
    }
    assert_eq!(hub.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn requests_that_are_sent_together_are_answered_in_order() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    let mut bytes = Vec::new();
    for number in 0..20 {
        bytes.extend(Request::post("/topics/a", number.to_string()).bytes());
        bytes.extend(Request::get("/topics/a?since=-1").bytes());
    }
    wire.send(bytes).await;
    for number in 0..20 {
        let id = wire.answer(false).await.id();
        let page = wire.answer(false).await.page();
        assert_eq!((id, page.next), (hub.cursor(number + 1), hub.cursor(number + 1)));
    }
}

#[tokio::test]
async fn a_stream_leaves_its_connection_to_the_next_request_or_ends_it() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    for topic in ["a", "b", "c"] {
        wire.send(Request::stream(&format!("/topics/{topic}")).bytes()).await;
        let stream = Stream::new(wire).await;
        hub.waiting(topic, 1).await;
        hub.close_topic(topic).await;
        let (text, back) = stream.end_and_go_on().await;
        assert!(text.contains("tidings.end"));
        wire = match back {
            Some(wire) => wire,
            None => hub.connect().await,
        };
        assert_eq!(wire.ask(&Request::get("/healthz")).await.text(), "ok\n");
    }
}

#[tokio::test]
async fn the_body_of_a_read_is_never_taken_for_a_request() {
    let hub = Running::start().await;
    let inner = Request::post("/topics/smuggled", "x").bytes();
    for target in ["/topics/a", "/topics/a?wait=50ms", "/topics/a?wait=50ms&since=latest", "/nowhere"] {
        let mut wire = hub.connect().await;
        let head = format!("GET {target} HTTP/1.1\r\nhost: hub\r\n");
        wire.send([format!("{head}content-length: {}\r\n\r\n", inner.len()).as_bytes(), &inner].concat())
            .await;
        wire.answer(false).await;
        assert!(hub.poll("/topics/smuggled").await.events.is_empty(), "{target}");
        wire.send([format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()].concat()).await;
        wire.send(format!("{:x}\r\n", inner.len())).await;
        wire.send([&inner[..], b"\r\n0\r\n\r\n"].concat()).await;
        wire.answer(false).await;
        assert_eq!(wire.ask(&Request::get("/healthz")).await.text(), "ok\n", "{target}");
    }
    // One that comes while the poll is held.
    let mut wire = hub.connect().await;
    let head =
        format!("GET /topics/a?wait=30 HTTP/1.1\r\nhost: hub\r\ncontent-length: {}\r\n\r\n", inner.len());
    wire.send(head).await;
    hub.waiting("a", 1).await;
    wire.send(&inner).await;
    hub.publish("a", "x").await;
    assert_eq!(wire.answer(false).await.page().events.len(), 1);
    assert_eq!(wire.ask(&Request::get("/healthz")).await.text(), "ok\n");
    let mut wire = hub.connect().await;
    let head = "GET /topics/b HTTP/1.1\r\nhost: hub\r\naccept: text/event-stream\r\n";
    wire.send([format!("{head}content-length: {}\r\n\r\n", inner.len()).as_bytes(), &inner].concat()).await;
    let mut stream = Stream::new(wire).await;
    stream.block().await;
    hub.publish("b", "x").await;
    assert_eq!(stream.event().await.data.unwrap(), "x");
    assert!(hub.poll("/topics/smuggled").await.events.is_empty());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let mut setup = Setup::new();
    setup.http.max_connections = 2;
    let hub = setup.start().await;
    let mut first = hub.connect().await;
    let mut second = hub.connect().await;
    first.ask(&Request::get("/healthz")).await;
    second.ask(&Request::get("/healthz")).await;
    let mut third = hub.connect().await;
    third.send(Request::get("/healthz").bytes()).await;
    let early = timeout(Duration::from_millis(100), third.answer(false)).await;
    assert!(early.is_err());
    second.ask(&Request::get("/healthz")).await;
    drop(first);
    assert_eq!(third.answer(false).await.text(), "ok\n");
}
