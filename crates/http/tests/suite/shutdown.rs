//! §4: shutting down.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use tidings_http::defaults;
use tokio::time::Instant;

use crate::support::{Block, Request, Running, Setup, Wire, eventually, within};

#[tokio::test]
async fn held_polls_are_answered_with_what_they_have() {
    let mut hub = Running::start().await;
    hub.publish("b", "x").await;
    let held: Vec<_> =
        ["/topics/a?wait=60", "/topics/*?event=t&wait=60"].map(|target| tokio::spawn(hub.get(target))).into();
    hub.waiting("a", 2).await;
    let asked = Instant::now();
    hub.shut_down();
    for poll in held {
        let answer = poll.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json(), json!({"events": [], "next": hub.cursor(1), "more": false}));
    }
    hub.ended().await;
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn streams_are_told_when_to_come_back_and_end() {
    let mut hub = Running::start().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(hub.stream("/topics/a").await);
    }
    let mut lines = hub.open(Request::lines("/topics/a")).await;
    hub.waiting("a", 21).await;
    hub.publish("a", "x").await;
    lines.line().await;
    for stream in &mut streams {
        stream.event().await;
    }
    let asked = Instant::now();
    hub.shut_down();
    let mut delays = HashSet::new();
    for stream in streams {
        let text = stream.end().await;
        let block = Block::new(&text);
        let delay = block.retry.unwrap();
        assert_eq!(block, Block { retry: Some(delay), ..Block::default() });
        assert!(delay <= 5_000);
        delays.insert(delay);
    }
    assert!(delays.len() > 10, "clients do not all return together: {delays:?}");
    assert_eq!(lines.end().await, "");
    hub.ended().await;
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn streams_end_between_two_events_and_go_on_elsewhere() {
    let mut first = Running::start().await;
    let hub = first.hub.clone();
    let second = Setup::new().start_over(hub).await;
    let mut stream = first.open(Request::stream("/topics/a?since=earliest")).await;
    let publishing = {
        let address = second.address;
        tokio::spawn(async move {
            let mut wire = Wire::connect(address).await;
            for number in 0..300 {
                wire.ask(&Request::post("/topics/a", number.to_string())).await.id();
            }
        })
    };
    let mut seen = Vec::new();
    let mut last = stream.block().await.id;
    while seen.len() < 50 {
        let block = stream.event().await;
        last = block.id;
        seen.extend(block.data);
    }
    first.shut_down();
    let rest = stream.end().await;
    for block in rest.split_inclusive("\n\n").map(Block::new) {
        last = block.id.or(last);
        seen.extend(block.data);
    }
    within(publishing).await.unwrap();
    let request = Request::stream("/topics/a").last_event_id(&last.unwrap());
    let mut stream = second.open(request).await;
    while seen.len() < 300 {
        seen.extend(stream.event().await.data);
    }
    let expected: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
    first.ended().await;
}

#[tokio::test]
async fn a_publication_under_way_is_acknowledged() {
    let mut hub = Running::start().await;
    let mut wire = hub.connect().await;
    wire.send("POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 6\r\n\r\nabc").await;
    let mut other = hub.connect().await;
    other
        .send("POST /topics/a HTTP/1.1\r\nhost: hub\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .await;
    assert_eq!(other.head().await.status, 100);
    let idle = hub.connect().await;
    let mut stream = hub.stream("/topics/b").await;
    hub.shut_down();
    // Now it has begun.
    assert!(stream.block().await.retry.is_some());
    wire.send("def").await;
    other.send("ghi").await;
    wire.answer(false).await.id();
    other.answer(false).await.id();
    assert_eq!(wire.rest().await, b"");
    drop(idle);
    let log = hub.hub.clone();
    hub.ended().await;
    assert_eq!(log.latest(), 2);
}

#[tokio::test]
async fn connections_that_wait_for_a_request_are_closed_and_new_ones_not_taken() {
    let mut hub = Running::start().await;
    let mut kept = hub.connect().await;
    kept.ask(&Request::get("/healthz")).await;
    let mut silent = hub.connect().await;
    let mut half = hub.connect().await;
    half.send("GET /hea").await;
    let address = hub.address;
    let asked = Instant::now();
    hub.shut_down();
    assert_eq!(kept.rest().await, b"");
    assert_eq!(silent.rest().await, b"");
    half.rest().await;
    hub.ended().await;
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// Nobody else would answer it: it is not in the queue of a socket that another hub may be given.
#[tokio::test]
async fn a_connection_that_was_just_let_in_gets_its_answer() {
    let mut hub = Running::start().await;
    let mut stream = hub.stream("/topics/b").await;
    let (mut polls, mut publishes) = (hub.connect().await, hub.connect().await);
    eventually("they are let in", async || hub.metric("tidings_connections").await == 4).await;
    hub.shut_down();
    // Now it has begun.
    assert!(stream.block().await.retry.is_some());
    publishes.send(Request::post("/topics/a", "x").bytes()).await;
    publishes.answer(false).await.id();
    polls.send(Request::get("/topics/a").bytes()).await;
    assert_eq!(polls.answer(false).await.page().events.len(), 1);
    hub.ended().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_does_not_hold_the_hub_up_for_long() {
    let mut hub = Running::start().await;
    for _ in 0..20 {
        hub.publish("a", &"x".repeat(1 << 20)).await;
    }
    let mut wire = Wire::narrow(hub.address).await;
    wire.send(Request::stream("/topics/a?since=earliest").bytes()).await;
    hub.readers("sse", 1).await;
    let asked = Instant::now();
    hub.shut_down();
    hub.ended().await;
    assert!(asked.elapsed() < defaults::DRAIN_TIMEOUT + Duration::from_secs(15), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn everything_ends_also_where_much_is_under_way() {
    let mut hub = Running::start().await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(hub.stream("/topics/a").await);
    }
    let publishers: Vec<_> = (0..4)
        .map(|_| {
            let address = hub.address;
            tokio::spawn(async move {
                let mut wire = Wire::connect(address).await;
                let mut acknowledged = 0;
                loop {
                    if wire.try_send(Request::post("/topics/a", "x").bytes()).await.is_err() {
                        return acknowledged;
                    }
                    match wire.try_answer().await {
                        Some(answer) => {
                            answer.id();
                            acknowledged += 1;
                        }
                        None => return acknowledged,
                    }
                }
            })
        })
        .collect();
    streams[0].event().await;
    hub.shut_down();
    let mut acknowledged = 0;
    for publisher in publishers {
        acknowledged += within(publisher).await.unwrap();
    }
    for stream in streams {
        let text = stream.end().await;
        let blocks: Vec<_> = text.split_inclusive("\n\n").map(Block::new).collect();
        assert!(blocks.last().unwrap().retry.is_some());
        assert!(blocks[..blocks.len() - 1].iter().all(Block::is_published));
    }
    let log = hub.hub.clone();
    hub.ended().await;
    assert!(log.latest() >= acknowledged, "{} is fewer than {acknowledged}", log.latest());
}
