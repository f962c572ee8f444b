//! §2.2: a topic that is deleted.

use serde_json::{Value, json};
use tidings_http::{AuthConfig, CloseRight};

use crate::support::tokens::{bearer, claims, hub_with, sign, with};
use crate::support::{Request, Running, Setup, texts, within};

async fn delete(hub: &Running, topic: &str) -> String {
    let answer = hub.ask(Request::new("DELETE", &format!("/topics/{topic}"))).await;
    assert_eq!((answer.status(), answer.header("cache-control")), (200, Some("no-store")));
    let told = answer.json();
    assert_eq!(told["topic"], topic);
    assert!(told["time"].is_string());
    told["id"].as_str().unwrap().to_owned()
}

async fn listed(hub: &Running) -> Vec<Value> {
    let listing = hub.get("/topics").await.json();
    listing["topics"].as_array().unwrap().iter().map(|info| info["topic"].clone()).collect()
}

#[tokio::test]
async fn nothing_of_a_deleted_topic_is_read_again() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..3).await;
    hub.publish("b", "stays").await;
    let deleted = delete(&hub, "a").await;
    assert_eq!(deleted, hub.cursor(5));
    for since in ["earliest", "-5", "0000-01-01T00:00:00Z", "7d", "latest"] {
        for target in ["/topics/a", "/topics/a?event=message"] {
            let separator = if target.contains('?') { '&' } else { '?' };
            let page = hub.poll(&format!("{target}{separator}since={since}")).await;
            assert!(page.events.is_empty() && !page.closed && page.gap.is_none(), "{since}: {page:?}");
        }
        if since != "latest" {
            assert_eq!(texts(&hub.poll(&format!("/topics/**?since={since}")).await), ["stays"], "{since}");
        }
    }
    assert_eq!(texts(&hub.poll("/events?topic=a&topic=b").await), ["stays"]);
    assert_eq!(listed(&hub).await, ["b"]);
    assert_eq!(hub.metric("tidings_deleted_topics_total").await, 1);
    // Whoever was in the middle of it is told its end, in every form, and again where it comes back from there.
    for place in [0, 1, 3, 4] {
        let since = hub.cursor(place);
        let page = hub.poll(&format!("/topics/a?since={since}")).await;
        assert!(page.events.is_empty() && page.closed && page.gap.is_none(), "{page:?}");
        assert_eq!(page.reason.as_deref(), Some("deleted"));
        assert_eq!(page.next, deleted);
        let end = format!("event: tidings.end\nid: {deleted}\ndata: {{\"reason\":\"deleted\"}}\n\n");
        let text = hub.open(Request::stream("/topics/a").last_event_id(&since)).await.end().await;
        assert!(text.ends_with(&end) && !text.contains("data: 0"), "{text}");
        let lines = hub.open(Request::lines(&format!("/topics/a?since={since}"))).await.end().await;
        assert!(
            lines.ends_with(&format!("{{\"end\":{{\"id\":\"{deleted}\",\"reason\":\"deleted\"}}}}\n")),
            "{lines}"
        );
    }
    let again = hub.ask(Request::stream("/topics/a").last_event_id(&deleted)).await;
    assert_eq!(again.status(), 204);
}

#[tokio::test]
async fn whoever_waits_is_told_the_end() {
    let hub = Running::start().await;
    hub.publish("a", "one").await;
    let mut stream = hub.stream("/topics/a").await;
    let mut lines = hub.open(Request::lines("/topics/a")).await;
    let mut socket = hub.socket("/topics/a").await;
    socket.subscribed("").await;
    let polling = tokio::spawn(hub.get(&format!("/topics/a?wait=30&since={}", hub.cursor(1))));
    let everything = tokio::spawn(hub.get(&format!("/topics/**?wait=30&since={}", hub.cursor(1))));
    hub.waiting("a", 5).await;
    let deleted = delete(&hub, "a").await;
    let block = stream.event().await;
    assert_eq!(
        (block.event.as_deref(), block.data.as_deref()),
        (Some("tidings.end"), Some("{\"reason\":\"deleted\"}"))
    );
    assert_eq!(lines.line().await, json!({"end": {"id": deleted, "reason": "deleted"}}));
    assert_eq!(socket.news().await, json!({"end": {"id": deleted, "reason": "deleted"}}));
    let page = within(polling).await.unwrap().page();
    assert_eq!((page.closed, page.reason.as_deref()), (true, Some("deleted")));
    // Others are told nothing, and go on.
    hub.publish("b", "two").await;
    assert_eq!(texts(&within(everything).await.unwrap().page()), ["two"]);
}

#[tokio::test]
async fn a_deleted_name_begins_anew() {
    let hub = Running::start().await;
    hub.ask(Request::post("/topics/a", "one").key("k")).await.id();
    hub.close_topic("a").await;
    let deleted = delete(&hub, "a").await;
    // Its keys are forgotten with it.
    let first = hub.ask(Request::post("/topics/a", "one").key("k")).await;
    assert_eq!(first.status(), 201);
    hub.publish("a", "two").await;
    assert_eq!(texts(&hub.poll("/topics/a").await), ["one", "two"]);
    assert_eq!(listed(&hub).await, ["a"]);
    // Whoever read the one before is told its end, and nothing of what follows as if it were the same.
    let page = hub.poll(&format!("/topics/a?since={}", hub.cursor(1))).await;
    assert!(page.closed && page.events.is_empty() && page.next == deleted);
    let text = hub.open(Request::stream("/topics/a").last_event_id(&hub.cursor(1))).await.end().await;
    assert!(text.contains("tidings.end") && !text.contains("data: one"), "{text}");
    // From there on it may read the new one.
    let mut stream = hub.open(Request::stream("/topics/a").last_event_id(&deleted)).await;
    stream.block().await;
    assert_eq!(stream.event().await.data.unwrap(), "one");
    // A topic that nobody has published to may be deleted as well, and one twice.
    delete(&hub, "c").await;
    delete(&hub, "c").await;
    hub.publish("c", "x").await;
}

#[tokio::test]
async fn deleting_ends_a_streaming_publication() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    wire.send(b"POST /topics/a?stream=lines HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n4\r\none\n\r\n").await;
    let mut stream = hub.stream("/topics/a?since=earliest").await;
    assert_eq!(stream.event().await.data.unwrap(), "one");
    delete(&hub, "a").await;
    let answer = within(wire.answer(false)).await;
    answer.problem(409, "topic-closed");
    assert_eq!(answer.json()["reason"], "deleted");
    assert!(hub.poll("/topics/a").await.events.is_empty());
}

#[tokio::test]
async fn deleting_is_a_right_of_its_own() {
    let config = AuthConfig { close: CloseRight::Publish, ..AuthConfig::default() };
    let hub = hub_with(Setup::new(), config).await;
    let ask = async |claims: &Value, method: &str, target: &str| {
        let request = Request::new(method, target).header("authorization", &bearer(&sign(claims)));
        hub.ask(request).await.status()
    };
    let all = claims(&["**"], &["**"]);
    let closes =
        with(all.clone(), "tidings", json!({"publish": ["**"], "subscribe": ["**"], "close": ["**"]}));
    for claims in [&all, &closes] {
        assert_eq!(ask(claims, "DELETE", "/topics/a/b").await, 403);
    }
    let deletes = with(all, "tidings", json!({"delete": ["a/*"]}));
    assert_eq!(ask(&deletes, "DELETE", "/topics/a/b").await, 200);
    assert_eq!(ask(&deletes, "DELETE", "/topics/b").await, 403);
    assert_eq!(ask(&deletes, "POST", "/topics/a/b").await, 403);
    assert_eq!(hub.ask(Request::new("DELETE", "/topics/a/b")).await.status(), 401);
}

#[tokio::test]
async fn only_a_topic_is_deleted() {
    let hub = Running::start().await;
    for target in ["/topics/*", "/topics/a/**", "/topics/", "/topics/%ff"] {
        hub.ask(Request::new("DELETE", target)).await.problem(400, "invalid-topic");
    }
    for target in ["/topics", "/events"] {
        assert_eq!(hub.ask(Request::new("DELETE", target)).await.status(), 405);
    }
    // As anything that changes something, not for a page of somebody else.
    let request = Request::new("DELETE", "/topics/a").header("origin", "http://elsewhere.example");
    assert_eq!(hub.ask(request).await.status(), 403);
}
