//! What a connection is allowed, by settings, and that it is counted where it comes up against them.

mod bodies;
mod http2;

use std::time::Duration;

use http::StatusCode;
use tidings_http::HttpConfig;
use tokio::time::Instant;

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
