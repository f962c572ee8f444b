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

/// A name that is used again is told of its first subscription first, and then of its second alone.
#[tokio::test]
async fn a_name_is_of_one_subscription_at_a_time_however_slow_its_reader_is() {
    let mut setup = Setup::new();
    // Less than is published, so that it comes from the log.
    setup.hub.tail_bytes = 1 << 20;
    let hub = setup.start().await;
    let large = "x".repeat(100_000);
    for round in 0..4 {
        let mut socket = Socket::open(Wire::narrow(hub.address).await, &upgrade("/socket")).await;
        for name in ["n", "other"] {
            socket.send(json!({"subscribe": name, "topics": ["a"]})).await;
            socket.subscribed(name).await;
        }
        for number in 0..60 {
            hub.publish("a", &format!("{number} {large}")).await;
        }
        let messages = json!({"unsubscribe": "n"}).to_string();
        let again = json!({"subscribe": "n", "topics": ["b"]}).to_string();
        for text in [&messages, &again, &messages, &again] {
            socket.send_frame(tidings_websocket::Opcode::Text, text).await;
        }
        // Until the hub has heard of it, or not: either has to be told rightly.
        if round % 2 == 0 {
            hub.waiting("b", 1).await;
        }
        let mut told = Vec::new();
        let mut others = 0;
        while told.len() < 4 || others < 60 {
            let message = socket.news().await;
            if message["sub"] == "other" {
                others += 1;
            } else if message["sub"] == "n" {
                assert!(told.is_empty(), "an event of the first subscription after {told:?}");
            } else {
                told.push(if message["subscribed"] == "n" { "subscribed" } else { "unsubscribed" });
            }
        }
        assert_eq!(told, ["unsubscribed", "subscribed", "unsubscribed", "subscribed"]);
        hub.publish("b", "news").await;
        assert_eq!(socket.news().await["data"], "news");
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
