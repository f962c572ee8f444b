//! What a connection is allowed, by settings, and that it is counted where it comes up against them.

use std::time::Duration;

use http::StatusCode;
use tidings_http::HttpConfig;
use tokio::time::{Instant, sleep};

use crate::support::frames::{
    CANCEL, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY, HEADERS, RST_STREAM, WINDOW_UPDATE,
    frame, get,
};
use crate::support::{H2, Request, Running, Setup, Stream, Wire, eventually, within};

async fn start(set: impl FnOnce(&mut HttpConfig)) -> Running {
    let mut setup = Setup::new();
    set(&mut setup.http);
    setup.start().await
}

/// Waits until a limit has struck so many times.
async fn struck(hub: &Running, limit: &str, count: u64) {
    let name = format!("tidings_limits_reached_total{{limit=\"{limit}\"}}");
    let told = async || hub.ask(Request::get("/metrics").header("x-forwarded-for", "192.0.2.99")).await;
    let is_so = async || told().await.text().contains(&format!("{name} {count}\n"));
    eventually(&format!("{limit} has struck {count} times"), is_so).await;
}

#[tokio::test]
async fn an_address_has_so_many_connections_wherever_they_are() {
    let hub = start(|http| http.max_connections_per_address = Some(4)).await;
    // One that was just let in, one in a shard, one that is idle there, and one that is idle in the library.
    let _silent = hub.connect().await;
    let mut stream = hub.stream("/topics/a").await;
    let mut polls = hub.connect().await;
    polls.send(Request::get(&format!("/topics/a?wait=30&since={}", hub.cursor(0))).bytes()).await;
    hub.waiting("a", 2).await;
    let mut idle = hub.connect().await;
    idle.ask(&Request::post("/topics/a", "x")).await.id();
    polls.answer(false).await.page();
    stream.event().await;
    for _ in 0..3 {
        let mut refused = hub.connect().await;
        drop(refused.try_send(Request::get("/healthz").bytes()).await);
        assert_eq!(refused.rest().await, b"");
    }
    let text = idle.ask(&Request::get("/metrics")).await.text().to_owned();
    assert!(
        text.contains("tidings_limits_reached_total{limit=\"max-connections-per-address\"} 3\n"),
        "{text}"
    );
    assert!(text.contains("tidings_connections 4\n"), "{text}");
    // Each that ends makes room for one.
    drop(stream);
    eventually("there is room for one", async || {
        let mut wire = hub.connect().await;
        drop(wire.try_send(Request::get("/healthz").bytes()).await);
        wire.try_answer().await.is_some()
    })
    .await;
    drop(polls);
    eventually("there is room for two", async || {
        let mut both = [hub.connect().await, hub.connect().await];
        let mut served = 0;
        for wire in &mut both {
            drop(wire.try_send(Request::get("/healthz").bytes()).await);
            served += usize::from(wire.try_answer().await.is_some());
        }
        served == 2
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_as_it_likes_and_its_clients_have_not() {
    let hub = start(|http| {
        http.max_connections_per_address = Some(2);
        http.trusted_proxies = "127.0.0.0/8".parse().unwrap();
    })
    .await;
    let of = |address: &str| Request::stream("/topics/a").header("x-forwarded-for", address);
    let mut idle = Vec::new();
    for _ in 0..10 {
        let mut wire = hub.connect().await;
        wire.ask(&Request::get("/healthz").header("x-forwarded-for", "192.0.2.1")).await;
        idle.push(wire);
    }
    let first = hub.open(of("192.0.2.1")).await;
    // What a client says of itself has no say.
    let second = hub.open(of("8.8.8.8, 192.0.2.1")).await;
    let request = Request::get("/topics/a").header("x-forwarded-for", "192.0.2.1");
    let answer = idle[0].ask(&request).await;
    answer.problem(429, "too-many-requests");
    assert!(answer.header("retry-after").is_some());
    idle[0].ask(&request.accept("text/event-stream")).await.put_off();
    let mut h2 = H2::connect(hub.address).await;
    let response = h2.send("GET", "/topics/a", &[("x-forwarded-for", "192.0.2.1")], "").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    // Who has left has given its place back.
    tokio::select! {
        _ = h2.send("GET", "/topics/a?wait=60", &[("x-forwarded-for", "192.0.2.2")], "") => unreachable!(),
        () = hub.waiting("a", 3) => {}
    }
    hub.waiting("a", 2).await;
    let third = hub.open(of("192.0.2.2")).await;
    let fourth = hub.open_when_there_is_room(of("192.0.2.2")).await;
    idle[1].ask(&of("192.0.2.2")).await.put_off();
    hub.waiting("a", 4).await;
    drop(first);
    hub.waiting("a", 3).await;
    let fifth = hub.open_when_there_is_room(of("192.0.2.1")).await;
    drop((second, third, fourth, fifth));
    // A poll that was held there and answered is nobody's until it asks again.
    let poll = Request::get("/topics/a?wait=30").header("x-forwarded-for", "192.0.2.3");
    for wire in &mut idle[2..4] {
        wire.send(poll.bytes()).await;
    }
    hub.waiting("a", 2).await;
    idle[4].ask(&poll).await.problem(429, "too-many-requests");
    hub.ask(Request::post("/topics/a", "x").header("x-forwarded-for", "192.0.2.9")).await.id();
    for wire in &mut idle[2..4] {
        wire.answer(false).await.page();
    }
    let short = Request::get("/topics/a").header("x-forwarded-for", "192.0.2.3");
    for wire in &mut idle {
        assert_eq!(wire.ask(&short).await.page().events.len(), 1);
    }
}

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
async fn a_connection_may_be_idle_for_so_long() {
    let hub = start(|http| http.idle_timeout = Duration::from_secs(1)).await;
    let begun = Instant::now();
    let mut inside = hub.connect().await;
    inside.ask(&Request::get("/healthz")).await;
    let mut parked = hub.connect().await;
    parked.send(Request::get(&format!("/topics/a?wait=30&since={}", hub.cursor(0))).bytes()).await;
    hub.waiting("a", 1).await;
    let mut stream = hub.stream("/topics/a").await;
    let mut h2 = H2::connect(hub.address).await;
    h2.ask("POST", "/topics/a", &[], "x").await;
    parked.answer(false).await.page();
    assert_eq!(inside.rest().await, b"");
    assert_eq!(parked.rest().await, b"");
    drop(within(h2.connection).await.unwrap());
    assert!(begun.elapsed() >= Duration::from_secs(1));
    struck(&hub, "idle-timeout", 3).await;
    // Whoever waits for events is not idle.
    stream.event().await;
    hub.publish("a", "y").await;
    assert_eq!(stream.event().await.data.unwrap(), "y");
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
async fn a_head_has_so_long_and_so_many_bytes() {
    let hub = start(|http| {
        http.head_timeout = Duration::from_millis(300);
        http.max_head_bytes = 8 << 10;
    })
    .await;
    for start in ["", "GET /healthz HTTP/1.1\r\nhost: "] {
        let mut wire = hub.connect().await;
        wire.send(start).await;
        wire.rest().await;
    }
    struck(&hub, "head-timeout", 2).await;
    // Also on a connection that has served: where there is room in a buffer, more may have come.
    for size in [9_000, 12_000, 20_000, 60_000] {
        let mut wire = hub.connect().await;
        wire.ask(&Request::get("/healthz")).await;
        wire.ask(&Request::get("/healthz").header("x", &"y".repeat(7_000))).await;
        let large = Request::get("/healthz").header("x", &"y".repeat(size)).bytes();
        drop(wire.try_send(large).await);
        let answer = wire.try_answer().await;
        assert!(answer.is_none_or(|answer| answer.status() == 431), "{size}");
    }
    let mut h2 = H2::connect(hub.address).await;
    for size in [8_200, 9_000] {
        let response = h2.send("GET", "/healthz", &[("x", &"y".repeat(size))], "").await;
        assert_eq!(response.status(), 431, "{size}");
    }
    assert_eq!(h2.ask("GET", "/healthz", &[("x", &"y".repeat(7_000))], "").await.0, 200);
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
async fn a_body_may_neither_pause_nor_dribble() {
    let hub = start(|http| http.body_timeout = Duration::from_millis(400)).await;
    let head = "POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 1000\r\n\r\n";
    let mut pauses = hub.connect().await;
    pauses.send(head).await;
    pauses.send("abc").await;
    let mut dribbles = hub.connect().await;
    dribbles.send(head).await;
    let dribbling = async {
        loop {
            if dribbles.try_send("x").await.is_err() {
                return;
            }
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(50), dribbles.try_answer()).await {
                return answer
                    .unwrap()
                    .problem(400, "invalid-data")
                    .contains("had not come")
                    .then_some(())
                    .unwrap();
            }
        }
    };
    within(dribbling).await;
    assert!(pauses.answer(false).await.problem(400, "invalid-data").contains("had not come whole"));
    struck(&hub, "body-timeout", 2).await;
    // Who is slow, but not as slow as that, has the time that it takes.
    let hub = start(|http| http.body_timeout = Duration::from_secs(2)).await;
    let mut slow = hub.connect().await;
    slow.send("POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 20000\r\n\r\n").await;
    for _ in 0..10 {
        slow.send("x".repeat(2_000)).await;
        sleep(Duration::from_millis(300)).await;
    }
    slow.answer(false).await.id();
}

#[tokio::test]
async fn a_body_that_was_fast_may_not_dribble_then() {
    let hub = start(|http| http.body_timeout = Duration::from_secs(1)).await;
    let mut wire = hub.connect().await;
    wire.send("POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 1000000\r\n\r\n").await;
    wire.send("x".repeat(999_000)).await;
    let dribbling = async {
        // Each within the time that a body may pause.
        while wire.try_send("x").await.is_ok() {
            let answered = tokio::time::timeout(Duration::from_millis(100), wire.try_answer()).await;
            if let Ok(answer) = answered {
                return answer.unwrap().problem(400, "invalid-data");
            }
        }
        panic!("closed without an answer")
    };
    assert!(within(dribbling).await.contains("1024 bytes a second"));
    struck(&hub, "body-timeout", 1).await;
}

#[tokio::test]
async fn large_bodies_that_are_slow_leave_room_for_smaller_ones() {
    let hub = start(|http| http.max_buffered_bytes = 64 << 20).await;
    let slow = |size: usize| {
        let head = "POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-type: application/x-ndjson\r\n";
        format!("{head}content-length: {}\r\n\r\n{}", size + 1, " ".repeat(size))
    };
    // As many as are let in, of two sizes.
    let mut held = Vec::new();
    for size in [4 << 20, 900_000] {
        eventually("there is room for no more of them", async || {
            let mut wire = hub.connect().await;
            wire.send(slow(size)).await;
            let answer = tokio::time::timeout(Duration::from_millis(200), wire.try_answer()).await;
            match answer {
                Ok(answer) => answer.unwrap().problem(503, "busy").contains("of this client"),
                Err(_) => {
                    held.push(wire);
                    false
                }
            }
        })
        .await;
    }
    assert!(held.len() >= 4, "{}", held.len());
    for number in 0..20 {
        hub.publish("b", &format!("{number} {}", "x".repeat(60_000))).await;
    }
    drop(held);
    eventually("there is room again", async || {
        let mut wire = hub.connect().await;
        wire.ask(&Request::post("/topics/b", "x".repeat(900_000))).await.status() == 201
    })
    .await;
}

#[tokio::test]
async fn a_batch_has_so_many_events() {
    let hub = start(|http| http.max_batch_events = 1_000).await;
    let batch = |count: usize, by: &str| vec![r#"{"topic":"a","data":1}"#; count].join(by);
    for (count, status) in [(1_000, 201), (1_001, 413), (50_000, 413)] {
        let lines = Request::post("/events", batch(count, "\n")).ndjson();
        let array = Request::post("/events", format!("[{}]", batch(count, ",")))
            .header("content-type", "application/json");
        let one = Request::post("/topics/a", batch(count, "\n")).ndjson();
        for request in [lines, array, one] {
            let answer = hub.ask(request).await;
            assert_eq!(answer.status(), status, "{}", answer.text());
            if status == 413 {
                assert!(answer.problem(413, "event-too-large").contains("at most 1000 events"));
            }
        }
    }
}

#[tokio::test]
async fn bodies_have_so_much_memory_together() {
    let hub = start(|http| http.max_buffered_bytes = 2 << 20).await;
    let head =
        |size: usize| format!("POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: {size}\r\n\r\n");
    let mut first = hub.connect().await;
    first.send(head(1 << 20)).await;
    first.send("x".repeat((1 << 20) - 1)).await;
    // It is taken in, but for its last byte.
    let mut refused = 0;
    eventually("there is no more than that", async || {
        let mut wire = hub.connect().await;
        wire.send([head(1 << 20).as_bytes(), &[b'y'; 1 << 20]].concat()).await;
        let mut other = hub.connect().await;
        other.send([head(1 << 20).as_bytes(), &[b'y'; (1 << 20) - 1]].concat()).await;
        let answer = wire.answer(false).await;
        refused += u64::from(answer.status() == 503);
        refused > 0
    })
    .await;
    // The other may have been refused as well.
    let name = "tidings_limits_reached_total{limit=\"max-buffered-bytes\"}";
    eventually("it is counted", async || hub.metric(name).await >= refused).await;
    // Small ones find room, and the first is finished.
    first.send("z").await;
    first.answer(false).await.id();
    hub.publish("b", "small").await;
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

#[tokio::test]
async fn thousands_of_connections_that_say_nothing_cost_little_and_end() {
    const COUNT: usize = 5_000;
    let hub = start(|http| http.head_timeout = Duration::from_secs(4)).await;
    let mut silent: Vec<Wire> = Vec::new();
    for number in 0..COUNT {
        let mut wire = hub.connect().await;
        if number % 2 == 0 {
            wire.send("GET").await;
        }
        silent.push(wire);
    }
    // Others are served meanwhile.
    let id = hub.publish("a", "x").await;
    let mut stream: Stream = hub.open(Request::stream("/topics/a?since=earliest")).await;
    assert_eq!(stream.event().await.id, Some(hub.cursor(0)));
    assert_eq!(stream.event().await.id, Some(id));
    for mut wire in silent {
        let rest = wire.rest().await;
        assert!(rest.is_empty(), "{rest:?}");
    }
    eventually("they are gone", async || hub.metric("tidings_connections").await == 2).await;
    struck(&hub, "head-timeout", COUNT as u64).await;
}
