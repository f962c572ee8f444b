//! Over a log on disk: what was acknowledged, and what readers were told, outlives the hub.

use std::path::Path;
use std::sync::Arc;

use tidings_hub::Hub;
use tidings_log::{DiskConfig, DiskLog, Durability, Retention};

use crate::support::{Request, Running, Setup, texts};

/// A hub over the log in a directory. Its newest events are in memory only if they are recent.
async fn over(dir: &Path, tail_bytes: usize) -> Running {
    let config = DiskConfig { durability: Durability::Os, ..DiskConfig::default() };
    serve(DiskLog::open(dir, config).unwrap(), tail_bytes).await
}

async fn serve(log: DiskLog, tail_bytes: usize) -> Running {
    let mut setup = Setup::new();
    setup.hub.tail_bytes = tail_bytes;
    let hub = Hub::new(Arc::new(log), setup.hub);
    setup.start_over(hub).await
}

async fn stop(mut running: Running) {
    running.shut_down();
    let hub = running.hub.clone();
    running.ended().await;
    hub.close().await.unwrap();
}

#[tokio::test]
async fn cursors_ends_and_keys_outlive_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let hub = over(dir.path(), 1 << 20).await;
    let epoch = hub.hub.epoch();
    hub.publish_numbers("a", 0..10).await;
    let end = hub.close_topic("over").await;
    let keyed = Request::post("/topics/keyed", "x").key("k");
    let first = hub.ask(keyed.clone()).await;
    let mut stream = hub.stream(&format!("/topics/a?since={}", hub.cursor(5))).await;
    let last = stream.event().await.id.unwrap();
    let octets = Request::post("/topics/kinds?event=t", b"\xff\0").content("application/octet-stream");
    hub.ask(octets).await.id();
    hub.ask(Request::post("/topics/kinds", "{\n\"x\" : 1.50}").json()).await.id();
    let pages = [hub.get("/topics/**").await, hub.get("/topics/a?since=-3").await];
    stop(hub).await;

    let hub = over(dir.path(), 1 << 20).await;
    assert_ne!(hub.hub.epoch(), epoch, "it may be a copy");
    assert_eq!(hub.get("/topics/**").await.text(), pages[0].text());
    assert_eq!(hub.get("/topics/a?since=-3").await.text(), pages[1].text());
    let mut stream = hub.open(Request::stream("/topics/a").last_event_id(&last)).await;
    stream.expect(&format!("retry: 2000\nid: {last}\n\n")).await;
    assert_eq!(stream.event().await.data.unwrap(), "6");
    let again = hub.ask(keyed).await;
    assert_eq!((again.status(), again.body), (200, first.body));
    hub.ask(Request::post("/topics/over", "x")).await.problem(409, "topic-closed");
    assert_eq!(hub.ask(Request::stream("/topics/over").last_event_id(&end)).await.status(), 204);
    assert_eq!(hub.publish("a", "goes on").await, format!("{}-15", hub.hub.epoch()));
}

#[tokio::test]
async fn pages_and_streams_from_the_disk_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let hub = over(dir.path(), 0).await;
    for batch in 0..30 {
        let topic = if batch % 3 == 0 { "b" } else { "a" };
        hub.publish_numbers(topic, batch * 10..batch * 10 + 10).await;
    }
    let expected: Vec<_> =
        (0..300).filter(|number| number / 10 % 3 != 0).map(|number: usize| number.to_string()).collect();
    let (mut seen, mut next, mut more) = (Vec::new(), "earliest".to_owned(), true);
    while more {
        let page = hub.poll(&format!("/topics/a?limit=7&since={next}")).await;
        seen.extend(texts(&page));
        (next, more) = (page.next, page.more);
    }
    assert_eq!(seen, expected);
    let mut stream = hub.stream("/topics/a?since=earliest").await;
    let mut lines = hub.open(Request::lines("/events?topic=a&topic=c&since=earliest")).await;
    for text in expected {
        assert_eq!(stream.event().await.data.unwrap(), text);
        assert_eq!(lines.line().await["data"], text);
    }
    let held = tokio::spawn(hub.get("/topics/a?wait=30"));
    hub.waiting("a", 3).await;
    hub.publish("a", "new").await;
    assert_eq!(texts(&held.await.unwrap().page()), ["new"]);
    assert_eq!(stream.event().await.data.unwrap(), "new");
}

#[tokio::test]
async fn what_the_disk_has_discarded_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Retention { bytes: 512 << 10, ..Retention::default() };
    let config = DiskConfig { retention, durability: Durability::Os, ..DiskConfig::default() };
    let hub = serve(DiskLog::open(dir.path(), config).unwrap(), 0).await;
    for number in 0..200 {
        hub.publish("a", &format!("{number} {}", "x".repeat(10_000))).await;
    }
    let page = hub.poll(&format!("/topics/a?since={}&limit=1", hub.cursor(1))).await;
    let gap = page.gap.as_ref().unwrap();
    assert_eq!(gap.reason.as_str(), "expired");
    let (_, resumed) = gap.resumed.rsplit_once('-').unwrap();
    assert!(texts(&page)[0].starts_with(&format!("{resumed} ")), "it goes on from the earliest event");
    let earliest = hub.poll("/topics/a?since=earliest&limit=1").await;
    assert_eq!(texts(&earliest), texts(&page));
}

#[tokio::test]
async fn another_log_is_another_epoch() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = over(dirs[0].path(), 1 << 20).await;
    let id = first.publish("a", "x").await;
    let second = over(dirs[1].path(), 1 << 20).await;
    second.publish("a", "y").await;
    let page = second.poll(&format!("/topics/a?since={id}")).await;
    assert_eq!(page.gap.as_ref().unwrap().reason.as_str(), "unknown");
    assert_eq!(texts(&page), ["y"]);
}

#[tokio::test]
async fn a_websocket_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = over(dir.path(), 1 << 20).await;
    let mut socket = hub.socket("/topics/a").await;
    socket.subscribed("").await;
    socket.send(serde_json::json!({"publish": {"topic": "a", "data": 1}, "ref": "mine"})).await;
    let messages = [socket.news().await, socket.news().await];
    let event = messages.iter().find(|message| message.get("data").is_some()).unwrap();
    let answer = messages.iter().find(|message| message.get("ref").is_some()).unwrap();
    assert_eq!(event["id"], answer["published"]["id"]);
    let cursor = event["id"].as_str().unwrap().to_owned();
    stop(hub).await;
    assert_eq!(socket.ends().await.0, 1_001);
    let hub = over(dir.path(), 1 << 20).await;
    hub.publish("a", "2").await;
    let mut again = hub.socket(&format!("/topics/a?since={cursor}")).await;
    assert_eq!(again.subscribed("").await, cursor, "without a gap");
    assert_eq!(again.news().await["data"], "2");
}
