//! Bodies of requests: how long they may take, and how much memory.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::{Request, eventually, within};

use super::{start, struck};

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
