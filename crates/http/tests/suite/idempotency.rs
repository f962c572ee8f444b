//! §2: publications that may be sent again.

use serde_json::json;

use crate::support::{Request, Running};

#[tokio::test]
async fn the_same_key_is_answered_as_the_first_time_and_appends_nothing() {
    let hub = Running::start().await;
    let request = Request::post("/topics/a?event=t", "x").key("k");
    let first = hub.ask(request.clone()).await;
    assert_eq!(first.status(), 201);
    hub.publish("a", "another").await;
    for _ in 0..3 {
        let again = hub.ask(request.clone()).await;
        assert_eq!((again.status(), again.body.as_slice()), (200, first.body.as_slice()));
    }
    assert_eq!(hub.read("/topics/a").await, ["x", "another"]);
}

#[tokio::test]
async fn other_data_type_or_close_with_the_same_key_is_a_conflict() {
    let hub = Running::start().await;
    hub.ask(Request::post("/topics/a?event=t", "1").key("k")).await.id();
    for other in [
        Request::post("/topics/a?event=t", "2"),
        Request::post("/topics/a?event=u", "1"),
        Request::post("/topics/a", "1"),
        Request::post("/topics/a?event=t&close=true", "1"),
        Request::post("/topics/a?close=true", ""),
        Request::post("/topics/a?event=t", "1").json(),
        Request::post("/topics/a?event=t", "1").content("application/octet-stream"),
        Request::post("/topics/a?event=t", "{\"data\":1}").ndjson(),
    ] {
        assert!(hub.ask(other.key("k")).await.problem(422, "idempotency-conflict").contains("`k`"));
    }
    assert_eq!(hub.read("/topics/a").await, ["1"]);
}

#[tokio::test]
async fn a_key_belongs_to_its_topic() {
    let hub = Running::start().await;
    hub.ask(Request::post("/topics/a", "x").key("k")).await.id();
    hub.ask(Request::post("/topics/b", "y").key("k")).await.id();
    let batch = json!([{"topic": "a", "data": "z"}]).to_string();
    hub.ask(Request::post("/events", batch).json().key("k")).await.ids();
    assert_eq!(hub.read("/topics/**").await, ["x", "y", "z"]);
}

#[tokio::test]
async fn batches_have_keys_as_well() {
    let hub = Running::start().await;
    let lines = "{\"data\":1}\n{\"data\":2}\n";
    let array = json!([{"topic": "a", "data": 3}, {"topic": "b", "data": 4}]).to_string();
    for request in [Request::post("/topics/a", lines).ndjson(), Request::post("/events", array).json()]
        .map(|r| r.key("k"))
    {
        let first = hub.ask(request.clone()).await;
        assert_eq!(first.ids().len(), 2);
        let again = hub.ask(request).await;
        assert_eq!((again.status(), again.body), (200, first.body));
    }
    assert_eq!(hub.poll("/topics/**").await.events.len(), 4);
    let other = json!([{"topic": "b", "data": 4}]).to_string();
    let conflict = hub.ask(Request::post("/events", other).json().key("k")).await;
    conflict.problem(422, "idempotency-conflict");
}

#[tokio::test]
async fn the_publication_that_ended_a_topic_may_be_sent_again() {
    let hub = Running::start().await;
    for (target, body) in [("/topics/a?close=true", "last"), ("/topics/b?close=true", "")] {
        let request = Request::post(target, body).key("k");
        let first = hub.ask(request.clone()).await;
        assert_eq!(first.status(), 201);
        let again = hub.ask(request).await;
        assert_eq!((again.status(), again.body), (200, first.body));
    }
}

#[tokio::test]
async fn a_refused_publication_does_not_use_up_its_key() {
    let hub = Running::start().await;
    hub.ask(Request::post("/topics/a", "{").json().key("k")).await.problem(400, "invalid-data");
    hub.ask(Request::post("/topics/a", "{}").json().key("k")).await.id();
}

#[tokio::test]
async fn many_at_once_with_one_key_append_one_event() {
    let hub = Running::start().await;
    let asked: Vec<_> =
        (0..20).map(|_| tokio::spawn(hub.ask(Request::post("/topics/a", "x").key("k")))).collect();
    let mut statuses = Vec::new();
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(answer.json()["id"], hub.cursor(1));
        statuses.push(answer.status());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[18..], [200, 201]);
    assert_eq!(hub.read("/topics/a").await, ["x"]);
}

#[tokio::test]
async fn a_publication_has_one_key() {
    let hub = Running::start().await;
    for target in ["/topics/a", "/events"] {
        let request = Request::post(target, "[{\"topic\":\"a\",\"data\":1}]")
            .json()
            .key("k")
            .header("idempotency-key", "l");
        assert!(
            hub.ask(request).await.problem(400, "invalid-query").contains("one `Idempotency-Key`"),
            "{target}"
        );
    }
    assert!(hub.read("/topics/a").await.is_empty());
}

#[tokio::test]
async fn a_key_is_visible_ascii() {
    let hub = Running::start().await;
    let longest = "k".repeat(255);
    hub.ask(Request::post("/topics/a", "x").key(&longest)).await.id();
    hub.ask(Request::post("/topics/a", "x").key("!~\"'")).await.id();
    for key in [&*"k".repeat(256), "", "a b", "\u{20ac}", "a\tb"] {
        hub.ask(Request::post("/topics/a", "x").key(key)).await.problem(400, "invalid-query");
        let batch = Request::post("/events", "{\"topic\":\"a\",\"data\":1}").ndjson();
        hub.ask(batch.key(key)).await.problem(400, "invalid-query");
    }
    assert_eq!(hub.poll("/topics/a").await.events.len(), 2);
}
