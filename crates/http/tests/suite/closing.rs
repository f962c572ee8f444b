//! §2, §3: the end of a topic.

use std::time::Duration;

use crate::support::{Request, Running, Setup, texts, within};

#[tokio::test]
async fn a_topic_may_end_with_an_event() {
    let hub = Running::start().await;
    hub.publish("a", "one").await;
    let answer = hub.ask(Request::post("/topics/a?close=true&event=done", "two")).await;
    assert_eq!(answer.id(), hub.cursor(2));
    let page = hub.poll("/topics/a").await;
    assert_eq!(texts(&page), ["one", "two"]);
    assert!(page.closed && !page.more);
    assert_eq!(page.next, hub.cursor(2));
}

#[tokio::test]
async fn a_topic_may_end_without_an_event() {
    let hub = Running::start().await;
    hub.publish("a", "one").await;
    let answer = hub.ask(Request::post("/topics/a?close=true", "").json()).await;
    assert_eq!(answer.id(), hub.cursor(2));
    let page = hub.poll("/topics/a").await;
    assert_eq!(texts(&page), ["one"]);
    assert!(page.closed && !page.more);
    assert_eq!(page.next, hub.cursor(2));
}

#[tokio::test]
async fn a_topic_that_nobody_published_to_may_end() {
    let hub = Running::start().await;
    hub.close_topic("a").await;
    let page = hub.poll("/topics/a").await;
    assert!(page.closed && page.events.is_empty());
}

#[tokio::test]
async fn a_batch_may_end_its_topic() {
    let hub = Running::start().await;
    let body = "{\"data\":\"one\"}\n{\"data\":\"two\"}\n";
    let answer = hub.ask(Request::post("/topics/a?close=true", body).ndjson()).await;
    assert_eq!(answer.ids(), [hub.cursor(1), hub.cursor(2)]);
    let page = hub.poll("/topics/a").await;
    assert_eq!((texts(&page).len(), page.closed), (2, true));
    hub.ask(Request::post("/topics/b?close=true", "").ndjson()).await.id();
    assert!(hub.poll("/topics/b").await.closed);
}

#[tokio::test]
async fn an_ended_topic_takes_no_more() {
    let hub = Running::start().await;
    hub.close_topic("a").await;
    for request in [
        Request::post("/topics/a", "x"),
        Request::post("/topics/a?close=true", ""),
        Request::post("/topics/a?close=true", "x"),
        Request::post("/topics/a", "{\"data\":1}").ndjson(),
    ] {
        assert!(hub.ask(request).await.problem(409, "topic-closed").contains("`a`"));
    }
    hub.publish("a/b", "another topic goes on").await;
    assert_eq!(hub.poll("/topics/**").await.next, hub.cursor(2));
}

#[tokio::test]
async fn close_is_true_or_false() {
    let hub = Running::start().await;
    hub.ask(Request::post("/topics/a?close=false", "x")).await.id();
    for value in ["close", "close=", "close=1", "close=TRUE", "close=%ff"] {
        hub.ask(Request::post(&format!("/topics/a?{value}"), "x")).await.problem(400, "invalid-query");
    }
    let page = hub.poll("/topics/a").await;
    assert!(page.events.len() == 1 && !page.closed);
}

#[tokio::test]
async fn only_the_page_that_reaches_the_end_says_so() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..2).await;
    hub.close_topic("a").await;
    let page = hub.poll("/topics/a?limit=1").await;
    assert!(page.more && !page.closed);
    let page = hub.poll(&format!("/topics/a?limit=1&since={}", page.next)).await;
    assert_eq!(texts(&page), ["1"]);
    let page = if page.more { hub.poll(&format!("/topics/a?since={}", page.next)).await } else { page };
    assert!(page.closed && !page.more);
    assert!(hub.poll(&format!("/topics/a?since={}", page.next)).await.closed);
    assert!(hub.poll("/topics/a?since=latest").await.closed);
    assert!(hub.poll("/events?topic=a&topic=a").await.closed);
    assert!(hub.poll("/topics/a?event=other").await.closed);
}

#[tokio::test]
async fn only_a_single_topic_ends() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    hub.close_topic("a").await;
    for target in ["/topics/*", "/topics/**", "/events?topic=a&topic=b"] {
        let answer = hub.get(target).await;
        assert!(answer.json().get("closed").is_none(), "{target}");
    }
    let mut stream = hub.stream("/events?topic=a&topic=b").await;
    hub.publish("b", "y").await;
    assert_eq!(stream.event().await.data.unwrap(), "y");
}

#[tokio::test]
async fn a_stream_ends_after_the_last_event() {
    let hub = Running::start().await;
    let mut stream = hub.stream("/topics/a").await;
    hub.publish("a", "one").await;
    hub.ask(Request::post("/topics/a?close=true", "two")).await.id();
    let (one, two) = (hub.cursor(1), hub.cursor(2));
    stream.expect(&format!("id: {one}\ndata: one\n\nid: {two}\ndata: two\n\n")).await;
    let (rest, wire) = stream.end_and_go_on().await;
    assert_eq!(rest, format!("event: tidings.end\nid: {two}\ndata: {{}}\n\n"));
    if let Some(mut wire) = wire {
        assert_eq!(wire.ask(&Request::get("/healthz")).await.status(), 200);
    }
}

#[tokio::test]
async fn a_stream_of_an_ended_topic_gives_what_is_left_and_ends() {
    let hub = Running::start().await;
    hub.publish("a", "one").await;
    hub.publish("a", "two").await;
    let end = hub.close_topic("a").await;
    let request = Request::stream("/topics/a").last_event_id(&hub.cursor(1));
    let text = hub.open(request).await.end().await;
    let (one, two) = (hub.cursor(1), hub.cursor(2));
    assert_eq!(
        text,
        format!(
            "retry: 2000\nid: {one}\n\nid: {two}\ndata: two\n\nevent: tidings.end\nid: {end}\ndata: {{}}\n\n"
        )
    );
    for target in ["/topics/a", "/topics/a?since=latest", "/topics/a?event=other&since=earliest"] {
        let text = hub.open(Request::stream(target)).await.end().await;
        assert!(text.ends_with(&format!("event: tidings.end\nid: {end}\ndata: {{}}\n\n")), "{target}");
    }
}

#[tokio::test]
async fn a_reader_that_comes_back_to_an_ended_topic_gets_204() {
    let hub = Running::start().await;
    hub.publish("a", "one").await;
    let end = hub.close_topic("a").await;
    for accept in ["text/event-stream", "application/x-ndjson"] {
        for request in [
            Request::get("/topics/a").last_event_id(&end),
            Request::get(&format!("/topics/a?lastEventId={end}")),
            Request::get(&format!("/topics/a?since={end}")),
        ] {
            let answer = hub.ask(request.accept(accept)).await;
            assert_eq!((answer.status(), answer.body.len()), (204, 0));
        }
    }
    hub.publish("b", "x").await;
    let later = Request::stream("/topics/a").last_event_id(&hub.cursor(3));
    assert_eq!(hub.ask(later).await.status(), 204);
}

#[tokio::test]
async fn json_lines_end_with_a_line_of_their_own() {
    let hub = Running::start().await;
    let mut stream = hub.open(Request::lines("/topics/a?since=earliest")).await;
    hub.publish("a", "one").await;
    assert_eq!(stream.line().await["data"], "one");
    let end = hub.close_topic("a").await;
    assert_eq!(stream.end().await, format!("{{\"end\":{{\"id\":\"{end}\"}}}}\n"));
}

#[tokio::test]
async fn a_held_poll_is_answered_when_its_topic_ends() {
    let hub = Running::start().await;
    let held = tokio::spawn(hub.get("/topics/a?wait=60"));
    hub.waiting("a", 1).await;
    let end = hub.close_topic("a").await;
    let page = within(held).await.unwrap().page();
    assert!(page.closed && page.events.is_empty() && !page.more);
    assert_eq!(page.next, end);
    let asked = tokio::time::Instant::now();
    assert!(hub.poll("/topics/a?wait=60").await.closed);
    assert!(asked.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn an_end_that_was_discarded_is_forgotten() {
    let hub = Setup::keeping(10).start().await;
    hub.close_topic("a").await;
    hub.publish_numbers("b", 0..50).await;
    assert_eq!(hub.publish("a", "again").await, hub.cursor(52));
    assert_eq!(hub.read("/topics/a").await, ["again"]);
}

/// Why a topic ended is told by each transport, live and afterwards, and behind the last event.
#[tokio::test]
async fn an_end_has_a_reason_on_every_transport() {
    let hub = Running::start().await;
    let mut stream = hub.stream("/topics/a").await;
    let mut lines = hub.open(Request::lines("/topics/a")).await;
    let held = tokio::spawn(hub.get("/topics/a?wait=60&event=other"));
    hub.waiting("a", 3).await;
    let answer = hub.ask(Request::post("/topics/a?close=true&reason=stopped", "last")).await;
    assert_eq!((answer.status(), answer.id()), (201, hub.cursor(1)));
    let (last, end) = (hub.cursor(1), hub.cursor(2));
    let sse = format!("event: tidings.end\nid: {end}\ndata: {{\"reason\":\"stopped\"}}\n\n");
    let line = format!("{{\"end\":{{\"id\":\"{end}\",\"reason\":\"stopped\"}}}}\n");
    stream.expect(&format!("id: {last}\ndata: last\n\n")).await;
    assert_eq!(stream.end_and_go_on().await.0, sse);
    assert_eq!(lines.line().await["data"], "last");
    assert_eq!(lines.end().await, line);
    let page = within(held).await.unwrap().json();
    assert_eq!(
        (&page["closed"], &page["reason"], &page["next"]),
        (&true.into(), &"stopped".into(), &end.clone().into())
    );
    // And whoever comes later is told as well.
    for target in ["/topics/a", "/topics/a?since=latest", "/topics/a?wait=5&event=other"] {
        let page = hub.get(target).await.json();
        assert_eq!((&page["closed"], &page["reason"]), (&true.into(), &"stopped".into()), "{target}");
    }
    assert!(hub.open(Request::stream("/topics/a?since=latest")).await.end().await.ends_with(&sse));
    assert!(hub.open(Request::stream("/topics/a?since=earliest")).await.end().await.ends_with(&sse));
    assert_eq!(hub.open(Request::lines("/topics/a?since=latest")).await.end().await, line);
    // A page that does not reach the end says nothing of it.
    let page = hub.get("/topics/a?limit=1&event=message").await.json();
    assert_eq!(page.get("reason").is_some(), page.get("closed").is_some());
    let clean = hub.close_topic("b").await;
    assert_eq!(hub.get("/topics/b").await.json()["next"], clean);
    assert!(hub.get("/topics/b").await.json().get("reason").is_none());
}

#[tokio::test]
async fn a_reason_is_a_short_word_and_goes_with_an_end() {
    let hub = Running::start().await;
    for target in [
        "/topics/a?reason=stopped",
        "/topics/a?close=false&reason=stopped",
        "/topics/a?close=true&reason=",
        "/topics/a?close=true&reason=Stopped",
        "/topics/a?close=true&reason=a_b",
        &format!("/topics/a?close=true&reason={}", "a".repeat(65)),
    ] {
        let detail = hub.ask(Request::post(target, "x")).await.problem(400, "invalid-query");
        assert!(detail.contains("reason"), "{detail}");
    }
    assert!(hub.poll("/topics/a").await.events.is_empty());
    let batch =
        Request::post("/topics/a?close=true&reason=over", "{\"data\":1}\n{\"data\":2}\n").ndjson().key("k");
    let ids = hub.ask(batch.clone()).await.ids();
    assert_eq!(ids, [hub.cursor(1), hub.cursor(2)], "the end is no event");
    let again = hub.ask(batch.clone()).await;
    assert_eq!((again.status(), &again.json()["ids"]), (200, &serde_json::json!(ids)));
    let other =
        Request::post("/topics/a?close=true&reason=other", "{\"data\":1}\n{\"data\":2}\n").ndjson().key("k");
    hub.ask(other).await.problem(422, "idempotency-conflict");
}
