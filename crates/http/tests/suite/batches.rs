//! §2: several events at once.

use serde_json::{Value, json};

use crate::support::{Request, Running};

fn kinds(answer: &Value) -> Vec<(Value, Value)> {
    let events = answer["events"].as_array().unwrap();
    events.iter().map(|event| (event["data"].clone(), event["encoding"].clone())).collect()
}

#[tokio::test]
async fn each_line_that_is_not_blank_is_an_event() {
    let hub = Running::start().await;
    let body =
        "\n{\"data\": \"a\"}\r\n  \t\n{\"data\":\"b\",\"event\":\"t\"}\n\r\n{\"data\":\"c\",\"other\":1}";
    let answer = hub.ask(Request::post("/topics/x", body).ndjson()).await;
    assert_eq!(answer.ids(), [hub.cursor(1), hub.cursor(2), hub.cursor(3)]);
    assert_eq!(answer.json()["topic"], "x");
    assert!(answer.json()["time"].is_string() && answer.json().get("id").is_none());
    assert_eq!(hub.read("/topics/x").await, ["a", "b", "c"]);
    assert_eq!(hub.read("/topics/x?event=t").await, ["b"]);
}

#[tokio::test]
async fn a_batch_of_one_is_still_a_batch() {
    let hub = Running::start().await;
    let answer = hub.ask(Request::post("/topics/x", "{\"data\":1}").ndjson()).await;
    assert_eq!(answer.ids(), [hub.cursor(1)]);
}

#[tokio::test]
async fn the_query_names_the_type_of_lines_that_name_none() {
    let hub = Running::start().await;
    let body = "{\"data\":1}\n{\"data\":2,\"event\":\"own\"}\n{\"data\":3,\"event\":null}";
    hub.ask(Request::post("/topics/x?event=given", body).ndjson()).await.ids();
    let events = hub.get("/topics/x").await.json();
    let types: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert_eq!(types, ["given", "own", "given"]);
}

#[tokio::test]
async fn what_the_data_of_an_item_is_says_what_the_event_is() {
    let hub = Running::start().await;
    let items = [
        r#"{"data": "text \u20ac", "topic": "x"}"#,
        r#"{"data": "/wA=", "encoding": "base64", "topic": "x"}"#,
        r#"{"data": {"n": 1.50}, "topic": "x"}"#,
        r#"{"topic": "x", "data": null}"#,
        r#"{"topic": "\u0078", "data": [ ], "event": "\u0074"}"#,
        r#"{"topic": "x", "data": "as encoders write it", "event": null, "encoding": null, "other": null}"#,
    ];
    let expected = [
        (json!("text \u{20ac}"), Value::Null),
        (json!("/wA="), json!("base64")),
        (json!({"n": 1.5}), Value::Null),
        (Value::Null, Value::Null),
        (json!([]), Value::Null),
        (json!("as encoders write it"), Value::Null),
    ];
    hub.ask(Request::post("/events", items.join("\n")).ndjson()).await.ids();
    hub.ask(Request::post("/events", format!("[{}]", items.join(","))).json()).await.ids();
    let page = hub.get("/topics/x").await;
    assert_eq!(kinds(&page.json())[..6], expected);
    assert_eq!(kinds(&page.json())[6..], expected);
    assert!(page.text().contains("\"data\":{\"n\": 1.50}}"), "JSON is kept as it came");
}

#[tokio::test]
async fn one_bad_line_and_nothing_is_appended() {
    let hub = Running::start().await;
    for bad in [
        "nonsense",
        "{",
        "[]",
        "1",
        "{\"event\":\"t\"}",
        "{\"data\":1}{\"data\":2}",
        "{\"data\":1,\"data\":2}",
        "{\"data\":\"x\",\"encoding\":\"hex\"}",
        "{\"data\":\"x\",\"encoding\":\"base64\"}",
        "{\"data\":1,\"encoding\":\"base64\"}",
        "{\"data\":\"\\ud800\"}",
        "{\"data\":1,\"event\":2}",
        "{\"data\":1,\"encoding\":1}",
    ] {
        let body = format!("{{\"data\":\"good\"}}\n\n{bad}\n{{\"data\":\"good\"}}\n");
        let answer = hub.ask(Request::post("/topics/x", body).ndjson()).await;
        assert!(!answer.problem(400, "invalid-data").is_empty(), "{bad}");
    }
    let detail = hub.ask(Request::post("/topics/x", "{\"data\":1}\n\n{").ndjson()).await;
    assert!(detail.problem(400, "invalid-data").contains("line 3"));
    assert!(hub.poll("/topics/x").await.events.is_empty());
    assert_eq!(hub.publish("x", "first").await, hub.cursor(1));
}

#[tokio::test]
async fn a_batch_without_events_is_refused() {
    let hub = Running::start().await;
    for (target, body) in [("/topics/x", ""), ("/topics/x", "\n \n"), ("/events", ""), ("/events", "\n")] {
        hub.ask(Request::post(target, body).ndjson()).await.problem(400, "invalid-data");
    }
    hub.ask(Request::post("/events", "[]").json()).await.problem(400, "invalid-data");
}

#[tokio::test]
async fn a_batch_may_have_several_topics() {
    let hub = Running::start().await;
    let body = json!([
        {"topic": "orders/1", "data": "a"},
        {"topic": "orders/2", "data": "b", "event": "t"},
        {"topic": "orders/1", "data": "c"},
    ]);
    let answer = hub.ask(Request::post("/events", body.to_string()).json()).await;
    assert_eq!(answer.ids(), [hub.cursor(1), hub.cursor(2), hub.cursor(3)]);
    assert!(answer.json().get("topic").is_none());
    assert_eq!(hub.read("/topics/orders/1").await, ["a", "c"]);
    assert_eq!(hub.read("/topics/orders/*?event=t").await, ["b"]);
}

#[tokio::test]
async fn every_item_of_a_batch_over_topics_names_its_topic() {
    let hub = Running::start().await;
    for (bad, name) in [
        (json!({"data": 1}), "invalid-data"),
        (json!({"data": 1, "topic": null}), "invalid-data"),
        (json!({"data": 1, "topic": ""}), "invalid-topic"),
        (json!({"data": 1, "topic": "a/*"}), "invalid-topic"),
        (json!({"data": 1, "topic": "a\n"}), "invalid-topic"),
        (json!({"data": 1, "topic": "x".repeat(513)}), "invalid-topic"),
        (json!({"topic": "x"}), "invalid-data"),
        (json!(7), "invalid-data"),
    ] {
        let good = json!({"topic": "x", "data": 1});
        let lines = format!("{good}\n{bad}\n");
        hub.ask(Request::post("/events", lines).ndjson()).await.problem(400, name);
        let array = json!([good, bad]).to_string();
        hub.ask(Request::post("/events", array).json()).await.problem(400, name);
    }
    for body in ["{}", "1", "[", "[{\"topic\":\"x\",\"data\":1}] more", ""] {
        hub.ask(Request::post("/events", body).json()).await.problem(400, "invalid-data");
    }
    assert!(hub.poll("/topics/**").await.events.is_empty());
}

#[tokio::test]
async fn a_batch_over_topics_is_json_or_lines_of_it() {
    let hub = Running::start().await;
    let body = "[{\"topic\":\"x\",\"data\":1}]";
    hub.ask(Request::post("/events", body)).await.problem(415, "unsupported-media-type");
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "json"] {
        let refused = hub.ask(Request::post("/events", body).content(other)).await;
        refused.problem(415, "unsupported-media-type");
    }
    assert!(hub.poll("/topics/**").await.events.is_empty());
    hub.ask(Request::post("/events", body).content("application/json;charset=UTF-8")).await.ids();
}

#[tokio::test]
async fn a_batch_with_an_event_for_an_ended_topic_is_refused_whole() {
    let hub = Running::start().await;
    hub.close_topic("over").await;
    let body = json!([{"topic": "x", "data": 1}, {"topic": "over", "data": 1}]).to_string();
    hub.ask(Request::post("/events", body).json()).await.problem(409, "topic-closed");
    assert!(hub.poll("/topics/**").await.events.is_empty());
}

#[tokio::test]
async fn the_events_of_a_batch_follow_one_another_whoever_else_publishes() {
    let hub = Running::start().await;
    let publishers = (0..8).map(|publisher| {
        let lines: String = (0..20).map(|n| format!("{{\"data\":\"{publisher}/{n}\"}}\n")).collect();
        let (address, singles) = (hub.address, publisher % 2 == 0);
        tokio::spawn(async move {
            let mut wire = crate::support::Wire::connect(address).await;
            for _ in 0..10 {
                wire.ask(&Request::post("/topics/x", &lines).ndjson()).await.ids();
                if singles {
                    wire.ask(&Request::post("/topics/x", "single")).await.id();
                }
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    let texts = hub.read("/topics/x?limit=10000").await;
    assert_eq!(texts.len(), 8 * 10 * 20 + 4 * 10);
    let mut rest = texts.as_slice();
    while let Some(first) = rest.first() {
        if first == "single" {
            rest = &rest[1..];
            continue;
        }
        let publisher = first.strip_suffix("/0").expect("a batch begins at its beginning");
        let batch: Vec<_> = (0..20).map(|n| format!("{publisher}/{n}")).collect();
        assert_eq!(rest[..20], batch);
        rest = &rest[20..];
    }
}

#[tokio::test]
async fn an_item_is_an_object() {
    let hub = Running::start().await;
    for item in ["[1,\"x\",null,null]", "[1]", "[]", "[[1,\"x\",null,null]]", "\"x\"", "1", "null", "true"] {
        let good = "{\"data\":1,\"topic\":\"x\"}";
        for target in ["/topics/x", "/events"] {
            let lines = Request::post(target, format!("{good}\n{item}\n")).ndjson();
            assert!(hub.ask(lines).await.problem(400, "invalid-data").contains("line 2"), "{item}");
        }
        let array = Request::post("/events", format!("[{good},{item}]")).json();
        hub.ask(array).await.problem(400, "invalid-data");
    }
    assert_eq!(hub.hub.latest(), 0);
    // Data may be whatever it likes.
    let lines = Request::post("/topics/x", "{\"data\":[1,null]}\n{\"data\":null}\n").ndjson();
    assert_eq!(hub.ask(lines).await.ids().len(), 2);
}
