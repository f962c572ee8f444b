//! §2: one event at a time.

use serde_json::json;
use tidings_protocol::Timestamp;

use crate::support::{Request, Running};

#[tokio::test]
async fn a_publication_is_answered_with_its_id_topic_and_time() {
    let hub = Running::start().await;
    let before = Timestamp::now();
    let answer = hub.ask(Request::post("/topics/orders/42", "shipped")).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let receipt = answer.json();
    assert_eq!(receipt["id"], hub.cursor(1));
    assert_eq!(receipt["topic"], "orders/42");
    let time: Timestamp = receipt["time"].as_str().unwrap().parse().unwrap();
    assert!(before <= time && time <= Timestamp::now());
    assert_eq!(receipt.as_object().unwrap().len(), 3);

    let event = &hub.get("/topics/orders/42").await.json()["events"][0];
    assert_eq!(event["id"], receipt["id"]);
    assert_eq!(event["time"], receipt["time"]);
}

#[tokio::test]
async fn ids_are_the_epoch_and_a_number_that_counts_from_one() {
    let hub = Running::start().await;
    let first = hub.publish("a", "x").await;
    let (epoch, number) = first.split_once('-').unwrap();
    assert!((6..=16).contains(&epoch.len()));
    assert!(epoch.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    assert_eq!(number, "1");
    assert_eq!(hub.publish("b", "y").await, hub.cursor(2));
}

#[tokio::test]
async fn a_body_of_any_other_type_or_none_is_text() {
    let hub = Running::start().await;
    for media_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("odd")] {
        let mut request = Request::post("/topics/a", "{\"a=1&b\": \"\u{20ac}\"}\r\n");
        if let Some(media_type) = media_type {
            request = request.content(media_type);
        }
        hub.ask(request).await.id();
        let event = &hub.get("/topics/a?since=-1").await.json()["events"][0];
        assert_eq!(event["data"], "{\"a=1&b\": \"\u{20ac}\"}\r\n", "{media_type:?}");
        assert!(event.get("encoding").is_none());
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    let hub = Running::start().await;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/json"] {
        let refused = hub.ask(Request::post("/topics/a", b"\"ab\xff\"").content(media_type)).await;
        assert!(refused.problem(400, "invalid-data").contains("UTF-8"), "{media_type}");
    }
    assert!(hub.poll("/topics/a").await.events.is_empty());
}

#[tokio::test]
async fn json_is_kept_byte_for_byte() {
    let hub = Running::start().await;
    let bodies = [
        "{\"b\" : 1.50,\n\t\"a\":[ 123456789012345678901234567890 ]}",
        " \"text\" ",
        "null",
        "1e999",
        "{\"same\":1,\"same\":2}",
        "\"\\ud800\"",
    ];
    for media_type in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.order+json"] {
        for body in bodies {
            hub.ask(Request::post("/topics/a", body).content(media_type)).await.id();
            let page = hub.get("/topics/a?since=-1").await;
            let data = format!("\"data\":{body}}}],");
            assert!(page.text().contains(&data), "{} has no {data}", page.text());
        }
    }
}

#[tokio::test]
async fn what_is_not_json_is_refused_as_json() {
    let hub = Running::start().await;
    for body in ["", "{", "{}{}", "nul", "[1,]", "\u{feff}1", "{'a':1}", "NaN"] {
        for media_type in ["application/json", "application/merge-patch+json"] {
            hub.ask(Request::post("/topics/a", body).content(media_type)).await.problem(400, "invalid-data");
        }
    }
    assert!(hub.poll("/topics/a").await.events.is_empty());
}

#[tokio::test]
async fn json_of_any_depth_is_taken() {
    let hub = Running::start().await;
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    hub.ask(Request::post("/topics/a", &deep).json()).await.id();
    assert!(hub.get("/topics/a").await.text().contains(&deep));
    let item = format!("{{\"data\":{deep}}}");
    hub.ask(Request::post("/topics/a", item).ndjson()).await.ids();
}

#[tokio::test]
async fn any_bytes_are_taken_as_octets_and_read_as_base64() {
    let hub = Running::start().await;
    let octets = "application/octet-stream";
    hub.ask(Request::post("/topics/a", b"\xff\x00\r\n").content(octets)).await.id();
    let page = hub.get("/topics/a").await.json();
    assert_eq!(page["events"][0]["data"], "/wANCg==");
    assert_eq!(page["events"][0]["encoding"], "base64");
    hub.ask(Request::post("/topics/a", "").content(octets)).await.id();
    assert_eq!(hub.get("/topics/a?since=-1").await.json()["events"][0]["data"], "");
}

#[tokio::test]
async fn an_empty_body_is_an_event_with_empty_text() {
    let hub = Running::start().await;
    hub.ask(Request::post("/topics/a", "")).await.id();
    hub.ask(Request::new("POST", "/topics/a")).await.id();
    let events = hub.get("/topics/a").await.json()["events"].clone();
    assert_eq!([&events[0]["data"], &events[1]["data"]], ["", ""]);
}

#[tokio::test]
async fn an_event_may_have_a_type() {
    let hub = Running::start().await;
    let longest = "x".repeat(128);
    for (query, event_type) in [
        ("event=shipped", "shipped"),
        ("event=order%20shipped", "order shipped"),
        ("event=%E2%82%AC", "\u{20ac}"),
        ("event=tidings", "tidings"),
        (&format!("event={longest}"), &longest),
    ] {
        hub.ask(Request::post(&format!("/topics/a?{query}"), "x")).await.id();
        assert_eq!(hub.get("/topics/a?since=-1").await.json()["events"][0]["event"], event_type);
    }
    hub.publish("a", "x").await;
    assert!(hub.get("/topics/a?since=-1").await.json()["events"][0].get("event").is_none());
}

#[tokio::test]
async fn a_type_that_breaks_a_rule_is_refused() {
    let hub = Running::start().await;
    let too_long = format!("event={}", "x".repeat(129));
    for query in
        ["event=", "event=a%0Ab", "event=%00", "event=a%C2%85", "event=tidings.end", "event=%ff", &too_long]
    {
        hub.ask(Request::post(&format!("/topics/a?{query}"), "x")).await.problem(400, "invalid-query");
        let item = json!({"data": "x", "event": "tidings.end"}).to_string();
        hub.ask(Request::post("/topics/a", item).ndjson()).await.problem(400, "invalid-query");
    }
    assert!(hub.poll("/topics/a").await.events.is_empty());
}

#[tokio::test]
async fn an_event_that_was_acknowledged_is_there_for_every_reader() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    for number in 0..200 {
        let id = wire.ask(&Request::post("/topics/a", number.to_string())).await.id();
        let page = wire.ask(&Request::get("/topics/a?since=-1")).await.page();
        assert_eq!(page.events[0].id, id);
    }
}

#[tokio::test]
async fn chunked_bodies_are_taken() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    wire.send("POST /topics/a HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for chunk in ["3\r\nabc\r\n", "1\r\n", "d\r\n2\r\nef\r\n", "0\r\n\r\n"] {
        wire.send(chunk).await;
    }
    wire.answer(false).await.id();
    assert_eq!(hub.read("/topics/a").await, ["abcdef"]);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_published() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    wire.send("POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 10\r\n\r\nabc").await;
    wire.finish_sending().await;
    wire.rest().await;
    let mut wire = hub.connect().await;
    wire.send("POST /topics/a HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    wire.finish_sending().await;
    wire.rest().await;
    assert!(hub.poll("/topics/a").await.events.is_empty());
}
