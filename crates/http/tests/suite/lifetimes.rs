//! §2: events that are delivered for so long and no longer.

use std::time::Duration;

use serde_json::json;

use crate::support::{Request, Running, Setup, eventually, texts};

#[tokio::test]
async fn an_event_is_delivered_until_its_lifetime_has_passed() {
    let hub = Running::start().await;
    let mut stream = hub.stream("/topics/**").await;
    hub.ask(Request::post("/topics/a?ttl=1h", "kept")).await.id();
    hub.ask(Request::post("/topics/a?ttl=700ms", "passes")).await.id();
    hub.publish("a", "stays").await;
    // Whoever waits has it at once.
    for expected in ["kept", "passes", "stays"] {
        assert_eq!(stream.event().await.data.unwrap(), expected);
    }
    eventually("the event expires", async || texts(&hub.poll("/topics/a").await).len() == 2).await;
    for target in
        ["/topics/a", "/topics/**", "/topics/a?since=-10", "/topics/a?since=7d", "/topics/a?conflate=append"]
    {
        let page = hub.poll(target).await;
        assert_eq!(texts(&page), ["kept", "stays"], "{target}");
        assert!(page.gap.is_none() && page.next == hub.cursor(3));
    }
    let page = hub.poll(&format!("/topics/a?since={}", hub.cursor(1))).await;
    assert_eq!((texts(&page), page.gap.is_none()), (vec!["stays".to_owned()], true));
    let mut late = hub.open(Request::stream("/topics/a").last_event_id(&hub.cursor(1))).await;
    late.block().await;
    assert_eq!(late.event().await.data.unwrap(), "stays");
    let mut lines = hub.open(Request::lines("/topics/a?since=-2")).await;
    assert_eq!([lines.line().await["data"].clone(), lines.line().await["data"].clone()], ["kept", "stays"]);
}

#[tokio::test]
async fn items_have_lifetimes_of_their_own() {
    let hub = Running::start().await;
    let batch = "{\"data\":\"1\",\"ttl\":\"50ms\"}\n{\"data\":\"2\"}\n{\"data\":\"3\",\"ttl\":\"1h\"}\n{\"data\":\"4\",\"ttl\":null}";
    hub.ask(Request::post("/topics/one", batch).ndjson()).await.ids();
    hub.ask(Request::post("/topics/all?ttl=50ms", batch).ndjson()).await.ids();
    let items = json!([{"topic": "events", "data": "1", "ttl": "50ms"}, {"topic": "events", "data": "2"}]);
    hub.ask(Request::post("/events", items.to_string()).json()).await.ids();
    let streamed = "{\"data\":\"1\"}\n{\"data\":\"2\",\"ttl\":\"1h\"}\n";
    let answer = hub.ask(Request::post("/topics/stream?stream=lines&ttl=50ms", streamed).ndjson()).await;
    assert_eq!(answer.json()["events"], 2);
    let mut socket = hub.socket("/socket").await;
    for (reference, ttl) in [(1, json!("50ms")), (2, json!("1h")), (3, json!(null))] {
        let publish = json!({"topic": "socket", "data": reference.to_string(), "ttl": ttl});
        socket.send(json!({"publish": publish, "ref": reference})).await;
        assert_eq!(socket.news().await["ref"], reference);
    }
    for (topic, left) in [
        ("one", &["2", "3", "4"][..]),
        ("all", &["3"]),
        ("events", &["2"]),
        ("stream", &["2"]),
        ("socket", &["2", "3"]),
    ] {
        let target = format!("/topics/{topic}");
        eventually(topic, async || texts(&hub.poll(&target).await) == left).await;
    }
}

#[tokio::test]
async fn a_lifetime_is_a_duration_with_a_unit() {
    let hub = Running::start().await;
    for ttl in ["0s", "0ms", "90", "", "s", "-1s", "1w", "400d", "99999999999999d", "0.4ms", "never", "%ff"] {
        for target in ["/topics/a", "/topics/a?stream=lines"] {
            let separator = if target.contains('?') { '&' } else { '?' };
            hub.ask(Request::post(&format!("{target}{separator}ttl={ttl}"), "x"))
                .await
                .problem(400, "invalid-query");
        }
        if ttl != "%ff" {
            let item = json!({"data": 1, "ttl": ttl}).to_string();
            assert_eq!(hub.ask(Request::post("/topics/a", item).ndjson()).await.status(), 400, "{ttl}");
        }
    }
    assert_eq!(hub.ask(Request::post("/topics/a", "{\"data\":1,\"ttl\":90}").ndjson()).await.status(), 400);
    assert_eq!(hub.poll("/topics/a").await.next, hub.cursor(0));
    for ttl in ["1ms", "2.5s", "366d"] {
        hub.ask(Request::post(&format!("/topics/a?ttl={ttl}"), "x")).await.id();
    }
}

/// The end of a topic is told though its last event is past.
#[tokio::test]
async fn an_end_outlives_its_last_event() {
    let hub = Setup::new().heartbeat(Duration::from_secs(60)).start().await;
    hub.publish("a", "one").await;
    hub.ask(Request::post("/topics/a?close=true&ttl=50ms", "two")).await.id();
    eventually("the event expires", async || texts(&hub.poll("/topics/a").await) == ["one"]).await;
    let page = hub.poll("/topics/a").await;
    assert!(page.closed && page.reason.is_none());
}
