//! §3.5: `GET /topics`.

use serde_json::{Value, json};

use crate::support::{Request, Running};

fn names(list: &Value) -> Vec<&str> {
    list["topics"].as_array().unwrap().iter().map(|row| row["topic"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_topic_has_its_latest_event_and_its_readers() {
    let hub = Running::start().await;
    assert_eq!(hub.get("/topics").await.json()["topics"], json!([]));
    hub.publish("b", "x").await;
    hub.publish("a", "x").await;
    let receipt = hub.ask(Request::post("/topics/b", "y")).await.json();
    hub.close_topic("c").await;
    let _streams = [hub.stream("/topics/b").await, hub.stream("/topics/*").await];
    let _poll = tokio::spawn(hub.get("/topics/b?wait=30"));
    hub.waiting("b", 3).await;
    let answer = hub.get("/topics").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let list = answer.json();
    assert_eq!(names(&list), ["a", "b", "c"]);
    let row = json!({
        "topic": "b", "latest": hub.cursor(3), "time": receipt["time"], "closed": false, "subscribers": 3,
    });
    assert_eq!(list["topics"][1], row);
    assert_eq!(list["topics"][0]["subscribers"], 1);
    assert_eq!(list["topics"][2]["closed"], true);
    assert_eq!(list["topics"][2]["latest"], hub.cursor(4));
}

#[tokio::test]
async fn the_list_is_by_name_and_in_pages() {
    let hub = Running::start().await;
    let mut expected: Vec<_> = (0..250).map(|number| format!("t/{number}")).collect();
    for topic in &expected {
        hub.publish(topic, "x").await;
    }
    expected.sort();
    for (query, pages) in
        [("", 3), ("&limit=100", 3), ("&limit=7", 36), ("&limit=250", 1), ("&limit=10000", 1)]
    {
        let (mut seen, mut after, mut count) = (Vec::new(), String::new(), 0);
        loop {
            let list = hub.get(&format!("/topics?x{query}{after}")).await.json();
            seen.extend(names(&list).into_iter().map(str::to_owned));
            count += 1;
            if list["more"] == false {
                break;
            }
            after = format!("&after={}", seen.last().unwrap());
        }
        assert_eq!((&seen, count), (&expected, pages), "{query}");
    }
}

#[tokio::test]
async fn a_selector_chooses_among_the_topics() {
    let hub = Running::start().await;
    for topic in ["a", "a/b", "a/b/c", "b"] {
        hub.publish(topic, "x").await;
    }
    for (query, expected) in [
        ("match=a", &["a"][..]),
        ("match=a/*", &["a/b"]),
        ("match=a/**", &["a/b", "a/b/c"]),
        ("match=**", &["a", "a/b", "a/b/c", "b"]),
        ("match=nothing", &[]),
        ("match=**&after=a/b", &["a/b/c", "b"]),
        ("after=zzz", &[]),
        ("match=a&after=a", &[]),
        ("match=a/**&limit=1", &["a/b"]),
    ] {
        assert_eq!(names(&hub.get(&format!("/topics?{query}")).await.json()), expected, "{query}");
    }
}

#[tokio::test]
async fn malformed_parameters_are_refused() {
    let hub = Running::start().await;
    for query in ["limit=0", "limit=10001", "limit=x", "limit=", "after=%ff"] {
        hub.get(&format!("/topics?{query}")).await.problem(400, "invalid-query");
    }
    for query in ["match=", "match=**/a", "match=/"] {
        hub.get(&format!("/topics?{query}")).await.problem(400, "invalid-topic");
    }
}
