//! HTTP/2, by prior knowledge.

use serde_json::{Value, json};
use tidings_protocol::{Page, Problem};

use crate::support::{H2, Running, eventually, within};

#[tokio::test]
async fn publishing_and_polling_are_as_over_http_1() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    let (status, receipt) = h2.ask("POST", "/topics/a%2Fb?event=t", &[], "x").await;
    assert_eq!(status, 201);
    let receipt: Value = serde_json::from_str(&receipt).unwrap();
    assert_eq!((&receipt["id"], &receipt["topic"]), (&json!(hub.cursor(1)), &json!("a/b")));
    let (status, page) = h2.ask("GET", "/topics/a/*", &[], "").await;
    let page: Page = serde_json::from_str(&page).unwrap();
    assert_eq!((status, page.events.len(), page.next), (200, 1, hub.cursor(1)));
    assert_eq!(h2.ask("HEAD", "/topics/a/b", &[], "").await, (200, String::new()));
    let (status, problem) = h2.ask("GET", "/topics/a?since=x", &[], "").await;
    let problem: Problem = serde_json::from_str(&problem).unwrap();
    assert_eq!((status, problem.status, &*problem.kind), (400, 400, "urn:tidings:invalid-query"));
}

#[tokio::test]
async fn one_connection_carries_many_streams() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    let mut streams = Vec::new();
    for number in 0..60 {
        streams.push((number, h2.stream(&format!("/topics/t/{}", number % 6)).await));
    }
    hub.readers("sse", 60).await;
    assert_eq!(hub.metric("tidings_connections").await, 2);
    for event in 0..30 {
        for topic in 0..6 {
            h2.ask("POST", &format!("/topics/t/{topic}"), &[], format!("{topic}:{event}")).await;
        }
    }
    for (number, stream) in &mut streams {
        for event in 0..30 {
            assert_eq!(stream.event().await.data.unwrap(), format!("{}:{event}", *number % 6));
        }
    }
    let held = h2.ask("GET", "/topics/t/0?wait=100ms", &[], "").await;
    assert_eq!(held.0, 200);
}

#[tokio::test]
async fn a_stream_has_no_headers_of_http_1() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    let stream = h2.stream("/topics/a").await;
    let headers = stream.response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    for name in ["connection", "transfer-encoding", "keep-alive", "content-length"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_is_gone_and_the_others_go_on() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    let mut kept = h2.stream("/topics/a").await;
    let left = [h2.stream("/topics/a").await, h2.stream("/topics/a").await];
    hub.readers("sse", 3).await;
    drop(left);
    hub.readers("sse", 1).await;
    hub.waiting("a", 1).await;
    hub.publish("a", "x").await;
    assert_eq!(kept.event().await.data.unwrap(), "x");
    h2.connection.abort();
    drop((h2, kept));
    hub.readers("sse", 0).await;
    hub.waiting("a", 0).await;
}

#[tokio::test]
async fn a_held_poll_whose_client_leaves_is_gone() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    {
        let held = h2.ask("GET", "/topics/a?wait=60", &[], "");
        tokio::pin!(held);
        tokio::select! {
            _ = &mut held => panic!("it is held"),
            () = hub.readers("long-poll", 1) => {}
        }
    }
    hub.readers("long-poll", 0).await;
    assert_eq!(h2.ask("GET", "/healthz", &[], "").await.0, 200);
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    let mut paused = h2.stream("/topics/a").await;
    let mut other = h2.stream("/topics/b").await;
    for number in 0..16 {
        hub.publish("a", &format!("{number} {}", "x".repeat(200_000))).await;
    }
    for number in 0..50 {
        hub.publish("b", &number.to_string()).await;
        assert_eq!(other.event().await.data.unwrap(), number.to_string());
    }
    assert_eq!(h2.ask("GET", "/topics/b?limit=1", &[], "").await.0, 200);
    for number in 0..16 {
        assert!(paused.event().await.data.unwrap().starts_with(&format!("{number} ")));
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    for _ in 0..3 {
        let (status, problem) = h2.ask("POST", "/topics/a", &[], "x".repeat((1 << 20) + 1)).await;
        assert_eq!(status, 413);
        assert!(problem.contains("urn:tidings:event-too-large"));
        assert_eq!(h2.ask("POST", "/topics/b", &[], "x").await.0, 201);
    }
    assert!(hub.poll("/topics/a").await.events.is_empty());
}

#[tokio::test]
async fn shutting_down_ends_streams_polls_and_the_connection() {
    let mut hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    let mut streams = [h2.stream("/topics/a").await, h2.stream("/topics/b").await];
    let mut polling = H2::connect(hub.address).await;
    let held = tokio::spawn(async move { (polling.ask("GET", "/topics/a?wait=60", &[], "").await, polling) });
    hub.readers("long-poll", 1).await;
    hub.shut_down();
    for stream in &mut streams {
        let farewell = stream.block().await.unwrap();
        assert!(farewell.retry.unwrap() <= 5_000 && farewell.id.is_none());
        assert_eq!(stream.block().await, None);
    }
    let ((status, page), polling) = within(held).await.unwrap();
    assert_eq!(status, 200);
    assert!(page.contains("\"events\":[]"));
    hub.ended().await;
    for connection in [h2.connection, polling.connection] {
        drop(within(connection).await.unwrap());
    }
}

#[tokio::test]
async fn closed_topics_end_over_http_2_as_well() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    let mut stream = h2.stream("/topics/a").await;
    let end = hub.close_topic("a").await;
    assert_eq!(stream.event().await.event.as_deref(), Some("tidings.end"));
    assert_eq!(stream.block().await, None);
    let headers = [("accept", "text/event-stream"), ("last-event-id", &*end)];
    assert_eq!(h2.ask("GET", "/topics/a", &headers, "").await, (204, String::new()));
    eventually("nobody reads", async || hub.hub.subscribers(&"a".parse().unwrap()) == 0).await;
}
