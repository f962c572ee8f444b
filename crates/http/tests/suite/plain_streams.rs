//! §3.2: streams for clients that know nothing of Tidings.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Request, Running, Setup};

/// What is in a stream, without comments: every block has data.
fn blocks(text: &str) -> Vec<String> {
    let lines: String = text.split_inclusive('\n').filter(|line| !line.starts_with(':')).collect();
    lines.split_terminator("\n\n").map(str::to_owned).collect()
}

#[tokio::test]
async fn a_plain_stream_has_events_and_comments_alone() {
    let hub = Running::start().await;
    hub.publish("a", "zero").await;
    for target in [
        "/topics/a?plain=true&since=earliest",
        "/topics/a?plain=true&end=[DONE]&since=earliest",
        "/topics/*?plain=true&since=earliest",
        "/events?topic=a&plain=true&since=earliest",
    ] {
        let mut stream = hub.open(Request::stream(target)).await;
        let first = hub.cursor(1);
        stream.expect(&format!(":\nid: {first}\ndata: zero\n\n")).await;
    }
    let mut done = hub.open(Request::stream("/topics/a?plain=true&end=[DONE]")).await;
    let mut plain = hub.open(Request::stream("/topics/a?plain=true")).await;
    done.expect(":\n").await;
    plain.expect(":\n").await;
    let (one, end) = (hub.publish_typed("a", "delta", "one").await, hub.close_topic("a").await);
    let event = format!("id: {one}\nevent: delta\ndata: one\n\n");
    assert_eq!(done.end().await, format!("{event}id: {end}\ndata: [DONE]\n\n"));
    assert_eq!(plain.end().await, format!("{event}: end\n"));
    // And so for whoever comes when it is over.
    let late = hub.open(Request::stream("/topics/a?plain=true&end=[DONE]&since=earliest")).await.end().await;
    assert_eq!(blocks(&late).last().unwrap(), &format!("id: {end}\ndata: [DONE]"));
    let over = hub.open(Request::stream("/topics/a?plain=true&end=[DONE]&since=latest")).await.end().await;
    assert_eq!(blocks(&over), [format!("id: {end}\ndata: [DONE]")]);
    assert_eq!(hub.ask(Request::stream("/topics/a?plain=true").last_event_id(&end)).await.status(), 204);
}

#[tokio::test]
async fn an_end_for_a_reason_is_no_event() {
    let hub = Running::start().await;
    let mut stream = hub.open(Request::stream("/topics/a?plain=true&end=[DONE]")).await;
    stream.expect(":\n").await;
    hub.ask(Request::post("/topics/a?close=true&reason=stopped", "")).await.id();
    assert_eq!(stream.end().await, ": end stopped\n");
}

#[tokio::test]
async fn gaps_heartbeats_and_farewells_are_comments() {
    let mut setup = Setup::keeping(10);
    setup.http.heartbeat = Duration::from_millis(1_100);
    let mut hub = setup.start().await;
    let request = Request::stream("/topics/a?plain=true").last_event_id("other1-5");
    let mut stream = hub.open(request).await;
    stream.expect(":\n: gap {\"reason\":\"unknown\",\"since\":\"other1-5\",").await;
    let mut silent = hub.open(Request::stream("/topics/b?plain=true")).await;
    // The opening, and a sign of life, though the cursor has moved.
    hub.publish("a", "one").await;
    silent.expect(":\n:\n").await;
    hub.shut_down();
    let text = silent.end().await;
    let (comments, other): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with(':'));
    assert_eq!((comments.last(), other), (Some(&": the hub is shutting down"), vec![]));
    let text = stream.end().await;
    assert!(!text.contains("retry") && !text.contains("tidings."), "{text}");
    assert_eq!(blocks(text.split_once('\n').unwrap().1).len(), 1, "{text}");
}

#[tokio::test]
async fn the_form_may_be_asked_for_without_a_field() {
    let hub = Running::start().await;
    hub.publish("a", "one").await;
    for (form, content_type) in
        [("sse", "text/event-stream"), ("ndjson", "application/x-ndjson"), ("json", "application/json")]
    {
        // It wins over what every browser sends.
        for accept in ["*/*", "text/html", "application/json"] {
            let target = format!("/topics/a?as={form}&since=earliest");
            let mut wire = hub.connect().await;
            wire.send(Request::get(&target).accept(accept).bytes()).await;
            assert_eq!(wire.head().await.header("content-type"), Some(content_type));
        }
    }
    let page: Value = hub.get("/topics/a?as=json").await.json();
    assert_eq!(page["events"][0]["data"], "one");
    for query in ["as=xml", "as=", "plain=1", "plain=true&end=", "plain=true&end=a%0Ab"] {
        hub.get(&format!("/topics/a?{query}")).await.problem(400, "invalid-query");
    }
    let long = "x".repeat(65);
    hub.get(&format!("/topics/a?end={long}")).await.problem(400, "invalid-query");
    assert_eq!(hub.get(&format!("/topics/a?end={}", &long[1..])).await.status(), 200);
}
