//! What connections of HTTP/2 and their streams may take.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::support::frames::{
    CANCEL, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY, HEADERS, RST_STREAM, WINDOW_UPDATE,
    frame, get,
};
use crate::support::{H2, Request, Setup, eventually};

use super::{start, struck};

#[tokio::test]
async fn streams_of_http_2_count_for_their_address() {
    let hub = start(|http| http.max_connections_per_address = Some(4)).await;
    let mut h2 = H2::connect(hub.address).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(h2.stream("/topics/a").await);
    }
    hub.waiting("a", 3).await;
    assert_eq!(h2.send("GET", "/topics/a", &[], "").await.status(), StatusCode::TOO_MANY_REQUESTS);
    let mut refused = hub.connect().await;
    drop(refused.try_send(Request::get("/healthz").bytes()).await);
    assert_eq!(refused.rest().await, b"");
    // Who has left has given its place back.
    drop(streams.pop());
    eventually("there is room again", async || {
        h2.send("GET", "/healthz", &[], "").await.status() == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn an_http_2_connection_with_a_stream_is_not_idle() {
    let hub = start(|http| http.idle_timeout = Duration::from_secs(1)).await;
    let mut h2 = H2::connect(hub.address).await;
    let mut stream = h2.stream("/topics/a").await;
    sleep(Duration::from_secs(3)).await;
    hub.publish("a", "x").await;
    assert_eq!(stream.event().await.data.unwrap(), "x");
    assert_eq!(h2.ask("GET", "/healthz", &[], "").await.0, 200);
}

#[tokio::test]
async fn a_head_of_http_2_has_so_long_also_beside_a_stream() {
    let hub = start(|http| http.head_timeout = Duration::from_secs(3)).await;
    let whole = END_HEADERS | END_STREAM;
    let stream = frame(HEADERS, whole, 1, &get("/topics/a", &[("accept", "text/event-stream")]));
    let begun = frame(HEADERS, END_STREAM, 3, &get("/healthz", &[]));
    let mut pinned = Vec::new();
    for more in [&begun[..], &begun[..20], &begun[..3]] {
        let mut frames = Frames::connect(hub.address, &[]).await;
        frames.send(&stream).await.unwrap();
        frames.until(HEADERS).await.unwrap();
        frames.send(more).await.unwrap();
        pinned.push(frames);
    }
    // Heads that follow one another each have their time.
    let mut busy = Frames::connect(hub.address, &[]).await;
    let (mut number, mut rest) = (1, stream);
    let end = Instant::now() + Duration::from_secs(7);
    while Instant::now() < end {
        number += 2;
        let next = frame(HEADERS, whole, number, &get("/healthz", &[]));
        busy.send(&[&rest[..], &next[..20]].concat()).await.unwrap();
        rest = next[20..].to_vec();
        sleep(Duration::from_millis(200)).await;
    }
    busy.send(&rest).await.unwrap();
    for frames in &mut pinned {
        let end = frames.until(GOAWAY).await.expect("it is told before the connection ends");
        assert_eq!(end.code(), ENHANCE_YOUR_CALM);
    }
    struck(&hub, "head-timeout", 3).await;
    hub.readers("sse", 1).await;
}

#[tokio::test]
async fn an_http_2_connection_that_takes_nothing_is_closed_in_time() {
    let hub = start(|http| http.write_timeout = Duration::from_secs(1)).await;
    let mut frames = Frames::narrow(hub.address, &[(4, 0x7fff_ffff)]).await;
    let window = frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    let head =
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/topics/a", &[("accept", "text/event-stream")]));
    frames.send(&[window, head].concat()).await.unwrap();
    hub.readers("sse", 1).await;
    let begun = Instant::now();
    for _ in 0..16 {
        hub.publish("a", &"x".repeat(900_000)).await;
    }
    eventually("it is closed", async || hub.metric("tidings_slow_closes_total").await == 1).await;
    hub.readers("sse", 0).await;
    // No ping of the hub, which comes every 20 s, has to see to that.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_http_2_connection_has_so_many_streams() {
    let hub = start(|http| http.max_streams_per_connection = 3).await;
    let mut raw = Frames::connect(hub.address, &[]).await;
    let block = get("/topics/a?wait=60", &[]);
    for number in 0..5 {
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block)).await.unwrap();
    }
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let reset = raw.until(RST_STREAM).await.unwrap();
        // REFUSED_STREAM: it may be asked for again.
        assert_eq!(reset.code(), 7);
        refused.push(reset.stream);
    }
    assert_eq!(refused, [7, 9]);
    hub.waiting("a", 3).await;
    struck(&hub, "max-streams-per-connection", 1).await;
}

#[tokio::test]
async fn a_stream_whose_window_never_opens_is_given_up() {
    let hub = start(|http| http.write_timeout = Duration::from_millis(400)).await;
    hub.publish("a", &"x".repeat(100_000)).await;
    // The window of every stream is closed from the beginning; that of one is opened.
    let mut raw = Frames::connect(hub.address, &[(4, 0)]).await;
    let fields = [("accept", "text/event-stream")];
    for (stream, path) in [(1, "/topics/a?since=earliest"), (3, "/topics/a"), (5, "/topics/b")] {
        raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path, &fields))).await.unwrap();
    }
    raw.send(&frame(8, 0, 5, &10_000_u32.to_be_bytes())).await.unwrap();
    let mut given_up = Vec::new();
    while given_up.len() < 2 {
        let reset = raw.until(RST_STREAM).await.expect("the connection goes on");
        assert_eq!(reset.code(), CANCEL);
        given_up.push(reset.stream);
    }
    given_up.sort_unstable();
    assert_eq!(given_up, [1, 3]);
    struck(&hub, "write-timeout", 2).await;
    hub.readers("sse", 1).await;
    hub.publish("b", "y").await;
    let data = loop {
        let data = raw.until(0).await.unwrap();
        if data.payload.windows(7).any(|window| window == b"data: y") {
            break data;
        }
    };
    assert_eq!(data.stream, 5);
}

/// A client that reads steadily, but so slowly that the kernel has no room to report for longer than the write timeout.
#[tokio::test]
async fn a_slow_reader_of_http_2_is_not_closed_while_it_takes_bytes() {
    let mut setup = Setup::new();
    setup.http.write_timeout = Duration::from_secs(2);
    let hub = setup.start().await;
    let mut lines = String::new();
    for _ in 0..12 {
        lines += &format!("{{\"data\":\"{}\"}}\n", "x".repeat(1_000_000));
    }
    hub.ask(Request::post("/topics/a", lines).ndjson()).await.ids();
    // Wide windows, so that only the socket holds the hub up.
    let mut raw = Frames::narrow(hub.address, &[(4, 0x7fff_ffff)]).await;
    raw.send(&frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes())).await.unwrap();
    let request = get("/topics/a?since=earliest", &[("accept", "text/event-stream")]);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request)).await.unwrap();
    let begun = Instant::now();
    let mut taken = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        taken += raw.take(16_384).await.expect("the connection goes on");
        sleep(Duration::from_millis(40)).await;
    }
    assert!(taken > 500_000, "{taken}");
    assert_eq!(hub.metric("tidings_slow_closes_total").await, 0);
    hub.readers("sse", 1).await;
    // And when it stops, it is closed.
    eventually("it is closed", async || hub.metric("tidings_slow_closes_total").await == 1).await;
    hub.readers("sse", 0).await;
}
