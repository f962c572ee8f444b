//! §1, §3: a cursor got from one transport works on every other one.

use std::time::Duration;

use tidings_protocol::Page;

use crate::support::{Request, Running, Setup, texts};

/// Reads a few events over one of the transports, and leaves. Returns where to go on.
async fn step(hub: &Running, way: usize, target: &str, cursor: &str, seen: &mut Vec<String>) -> String {
    let few = |page: Page, seen: &mut Vec<String>| {
        seen.extend(texts(&page));
        page.next
    };
    match way {
        0 => few(hub.poll(&format!("{target}&since={cursor}&limit=3")).await, seen),
        1 => few(hub.poll(&format!("{target}&lastEventId={cursor}&limit=2&wait=5ms")).await, seen),
        2 => {
            let request = Request::stream(target).last_event_id(cursor);
            let mut stream = hub.open(request).await;
            let opening = stream.block().await;
            assert_eq!(opening.id.as_deref(), Some(cursor), "the first block sets the id");
            let mut last = opening.id;
            for _ in 0..4 {
                let block = stream.block().await;
                last = block.id.or(last);
                seen.extend(block.data);
            }
            last.unwrap()
        }
        3 => {
            let request = Request::stream(&format!("{target}&envelope=true&since={cursor}"));
            let mut stream = hub.open(request).await;
            let mut last = stream.block().await.id;
            for _ in 0..2 {
                let block = stream.block().await;
                last = block.id.or(last);
                if let Some(data) = block.data {
                    let object: serde_json::Value = serde_json::from_str(&data).unwrap();
                    seen.push(object["data"].as_str().unwrap().to_owned());
                }
            }
            last.unwrap()
        }
        _ => {
            let request = Request::lines(&format!("{target}&since={cursor}"));
            let mut stream = hub.open(request).await;
            let line = tokio::time::timeout(Duration::from_millis(200), stream.line()).await;
            let Ok(line) = line else { return cursor.to_owned() };
            seen.push(line["data"].as_str().unwrap().to_owned());
            line["id"].as_str().unwrap().to_owned()
        }
    }
}

#[tokio::test]
async fn readers_change_their_transport_at_every_step_and_miss_nothing() {
    for target in ["/topics/a?x=y", "/events?topic=a&topic=nothing", "/topics/*?event=t"] {
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
            let hub = Setup::new().heartbeat(Duration::from_millis(20)).start().await;
            let mut expected = Vec::new();
            let (mut cursor, mut seen) = (hub.cursor(0), Vec::new());
            for round in 0..15 {
                for number in 0..3 {
                    let text = format!("{round}/{number}");
                    hub.publish_typed("a", "t", &text).await;
                    hub.publish_typed("b", "u", "for somebody else").await;
                    expected.push(text);
                }
                cursor = step(&hub, order[round % 5], target, &cursor, &mut seen).await;
            }
            let mut more = true;
            while more {
                let page = hub.poll(&format!("{target}&since={cursor}")).await;
                seen.extend(texts(&page));
                (cursor, more) = (page.next, page.more);
            }
            assert_eq!(seen, expected, "{target} by {order:?}");
        }
    }
}

#[tokio::test]
async fn every_id_that_a_reader_is_told_is_a_cursor() {
    let hub = Setup::new().heartbeat(Duration::from_millis(20)).start().await;
    let published = hub.publish("a", "one").await;
    let mut stream = hub.open(Request::stream("/topics/a?since=earliest")).await;
    let opening = stream.block().await.id.unwrap();
    let event = stream.block().await.id.unwrap();
    hub.publish("b", "elsewhere").await;
    let heartbeat = loop {
        if let Some(id) = stream.block().await.id {
            break id;
        }
    };
    hub.publish("a", "two").await;
    for (cursor, expected) in [
        (opening, &["one", "two"][..]),
        (published, &["two"]),
        (event, &["two"]),
        (heartbeat, &["two"]),
        (hub.poll("/topics/c").await.next, &[]),
    ] {
        let page = hub.ask(Request::get("/topics/a").last_event_id(&cursor)).await.page();
        assert_eq!(texts(&page), expected);
        assert!(page.gap.is_none());
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_any_selection() {
    let hub = Running::start().await;
    let cursor = hub.publish("a", "one").await;
    hub.publish("b", "two").await;
    hub.publish("c/d", "three").await;
    assert_eq!(hub.read(&format!("/topics/b?since={cursor}")).await, ["two"]);
    assert_eq!(hub.read(&format!("/topics/**?since={cursor}")).await, ["two", "three"]);
    assert_eq!(hub.read(&format!("/events?topic=c/*&topic=a&since={cursor}")).await, ["three"]);
}
