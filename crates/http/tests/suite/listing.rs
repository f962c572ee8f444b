//! §3.5: `GET /topics`.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tidings_hub::Audience;
use tidings_protocol::Topic;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::support::{Request, Running, within};

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

/// An audience that says when it is asked, and then takes its time.
struct Slow {
    asked: UnboundedSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Audience for Slow {
    fn wake(&self) {}

    fn subscribers(&self, _: &Topic, _: &mut u64) -> usize {
        let _ = self.asked.send(());
        let _ = self.go_on.lock().unwrap().recv_timeout(Duration::from_secs(20));
        5
    }
}

/// On one thread, so that whatever holds it up holds up everything.
#[tokio::test(flavor = "current_thread")]
async fn others_are_served_while_topics_are_listed_one_list_at_a_time() {
    let hub = Running::start().await;
    let ids = hub.publish_numbers("t/1", 0..1).await;
    let (asked, mut asks) = unbounded_channel();
    let (go_on, going_on) = channel();
    hub.hub.attach(Arc::new(Slow { asked, go_on: Mutex::new(going_on) }));
    let first = tokio::spawn(hub.get("/topics"));
    within(asks.recv()).await.unwrap();
    let mut second = Box::pin(hub.get("/topics"));
    tokio::select! {
        biased;
        _ = &mut second => panic!("it has its turn after the first"),
        health = hub.get("/healthz") => assert_eq!(health.status(), 200),
    }
    hub.publish("t/1", "x").await;
    assert!(asks.try_recv().is_err() && !first.is_finished());
    go_on.send(()).unwrap();
    let first = within(first).await.unwrap().json();
    // It tells of the topics as they were when it had its turn.
    assert_eq!(
        (&first["topics"][0]["latest"], &first["topics"][0]["subscribers"]),
        (&json!(ids[0]), &json!(5))
    );
    go_on.send(()).unwrap();
    assert_eq!(second.await.json()["topics"][0]["latest"], hub.cursor(2));
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
