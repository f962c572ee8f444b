//! Clients that take slowly, or nothing.

use std::time::Duration;

use serde_json::json;

use crate::support::{Setup, Socket, Wire, eventually, upgrade};

/// Who reads slowly gets everything in order, whichever subscription it is of.
#[tokio::test]
async fn a_slow_reader_catches_up_from_the_log() {
    let mut setup = Setup::new();
    // Less than is published, so that it comes from the log.
    setup.hub.tail_bytes = 1 << 20;
    let hub = setup.start().await;
    let mut socket = Socket::open(Wire::narrow(hub.address).await, &upgrade("/topics/a")).await;
    socket.subscribed("").await;
    for name in ["b", "c"] {
        socket.send(json!({"subscribe": name, "topics": ["a"]})).await;
        socket.subscribed(name).await;
    }
    let large = "x".repeat(100_000);
    let count = 60;
    for number in 0..count {
        hub.publish("a", &format!("{number} {large}")).await;
    }
    // It does not keep others from publishing, and its own messages are answered.
    socket.send(json!({"publish": {"topic": "b", "data": 1}, "ref": "mine"})).await;
    let mut next = [0; 3];
    let mut is_answered = false;
    while next != [count; 3] || !is_answered {
        let message = socket.news().await;
        if message["ref"] == "mine" {
            is_answered = true;
            continue;
        }
        let place = match message["sub"].as_str() {
            None => 0,
            Some("b") => 1,
            Some(_) => 2,
        };
        let data = message["data"].as_str().unwrap();
        assert_eq!(data, format!("{} {large}", next[place]));
        next[place] += 1;
    }
}

#[tokio::test]
async fn who_takes_nothing_is_closed_at_the_write_timeout() {
    let mut setup = Setup::new();
    setup.http.write_timeout = Duration::from_secs(1);
    let hub = setup.start().await;
    let mut socket = Socket::open(Wire::narrow(hub.address).await, &upgrade("/topics/a")).await;
    socket.subscribed("").await;
    let large = "x".repeat(1_000_000);
    for _ in 0..12 {
        hub.publish("a", &large).await;
    }
    eventually("it is closed", async || hub.metric("tidings_websockets").await == 0).await;
    assert_eq!(hub.metric("tidings_slow_closes_total").await, 1);
    hub.waiting("a", 0).await;
    socket.wire.rest().await;
}

/// A client that asks again and again and reads nothing of what it is told is not read for ever.
#[tokio::test]
async fn who_only_pings_is_held_back() {
    let mut setup = Setup::new();
    setup.http.write_timeout = Duration::from_secs(1);
    let hub = setup.start().await;
    let mut socket = Socket::open(Wire::narrow(hub.address).await, &upgrade("/socket")).await;
    let mut frames = Vec::new();
    for _ in 0..1_000 {
        tidings_websocket::encode_masked(
            tidings_websocket::Opcode::Ping,
            &[7; 125],
            [1, 2, 3, 4],
            &mut frames,
        );
    }
    // It is closed, as it takes nothing.
    while socket.wire.try_send(&frames).await.is_ok() {}
    eventually("it is closed", async || hub.metric("tidings_websockets").await == 0).await;
    assert_eq!(hub.metric("tidings_slow_closes_total").await, 1);
}
