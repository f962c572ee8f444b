//! §1, §3.4: a log whose engine has lost events that it had acknowledged gets a new epoch while the hub runs. Whoever
//! reads is told, wherever it is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidings_hub::Hub;
use tidings_log::{Batch, Log, MemoryLog};
use tidings_protocol::{NewEvent, Topic};

use crate::support::{Block, H2, RenewableLog, Request, Running, Setup, Wire, texts};

const EVENT_BYTES: usize = 64 << 10;

async fn start(log: &Arc<RenewableLog>, setup: Setup) -> Running {
    let hub = Hub::new(Arc::clone(log) as Arc<dyn Log>, setup.hub);
    setup.start_over(hub).await
}

/// A log with some of what another had.
async fn rest(events: &[&str]) -> MemoryLog {
    let log = Setup::new().log();
    for text in events {
        log.append(Batch::of(NewEvent::text("a".parse().unwrap(), *text))).await.unwrap();
    }
    log
}

/// The block or object that tells of it.
fn gap(since: &str, resumed: &str) -> serde_json::Value {
    json!({"reason": "unknown", "since": since, "resumed": resumed})
}

fn told(block: Block) -> serde_json::Value {
    assert_eq!(block.event.as_deref(), Some("tidings.gap"));
    serde_json::from_str(&block.data.unwrap()).unwrap()
}

#[tokio::test]
async fn whoever_waits_is_told_and_goes_on_from_the_earliest_event() {
    let log = Arc::new(RenewableLog::new(rest(&["1", "2", "3"]).await));
    let hub = start(&log, Setup::new()).await;
    let last = hub.cursor(3);
    let mut streams = [hub.stream("/topics/a").await, hub.stream("/topics/*").await];
    let mut lines = hub.open(Request::lines("/topics/a")).await;
    let mut h2 = H2::connect(hub.address).await;
    let mut over_h2 = h2.stream("/topics/a").await;
    let held = tokio::spawn(hub.ask(Request::get(&format!("/topics/a?since={last}&wait=30"))));
    hub.readers("long-poll", 1).await;
    hub.readers("sse", 3).await;
    hub.readers("ndjson", 1).await;

    log.renew(rest(&["1", "2"]).await, None);
    let before = hub.cursor(0);
    assert_ne!(last, hub.cursor(3));
    for stream in &mut streams {
        let block = stream.event().await;
        assert_eq!(block.id, Some(before.clone()));
        assert_eq!(told(block), gap(&last, &before));
    }
    assert_eq!(told(over_h2.event().await), gap(&last, &before));
    assert_eq!(lines.line().await["gap"], gap(&last, &before));
    let answer = held.await.unwrap();
    assert_eq!(answer.json()["gap"], gap(&last, &before));
    assert_eq!(answer.json()["next"], before);

    hub.publish("a", "new").await;
    for expected in ["1", "2", "new"] {
        for stream in &mut streams {
            assert_eq!(stream.event().await.data.as_deref(), Some(expected));
        }
        assert_eq!(over_h2.event().await.data.as_deref(), Some(expected));
        assert_eq!(lines.line().await["data"], expected);
    }
    let page = hub.poll(&format!("/topics/a?since={before}")).await;
    assert_eq!(texts(&page), ["1", "2", "new"]);
}

/// The numbers of the new log may have run ahead of those of the old one before a reader comes to it.
#[tokio::test]
async fn a_number_of_the_old_log_is_never_taken_for_one_of_the_new() {
    let log = Arc::new(RenewableLog::new(rest(&["1", "2", "3"]).await));
    let hub = start(&log, Setup::new()).await;
    let last = hub.cursor(3);
    let mut stream = hub.stream("/topics/a").await;
    hub.readers("sse", 1).await;
    log.renew(rest(&["1", "b", "c", "d", "e", "f"]).await, None);
    assert_eq!(told(stream.event().await), gap(&last, &hub.cursor(0)));
    for expected in ["1", "b", "c", "d", "e", "f"] {
        assert_eq!(stream.event().await.data.as_deref(), Some(expected));
    }
    for target in ["/topics/a", "/topics/a?wait=30"] {
        let answer = hub.ask(Request::get(target).last_event_id(&last)).await;
        assert_eq!(answer.json()["gap"], gap(&last, &hub.cursor(0)), "{target}");
        assert_eq!(answer.json()["events"].as_array().unwrap().len(), 6);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_in_the_middle_of_an_event_gets_it_whole_and_is_told_then() {
    let mut setup = Setup::new();
    setup.hub.tail_bytes = 1 << 20;
    let log = Arc::new(RenewableLog::new(Setup::new().log()));
    let hub = start(&log, setup).await;
    let mut wire = Wire::narrow(hub.address).await;
    wire.send(Request::stream("/topics/a").bytes()).await;
    let mut slow = crate::support::Stream::new(wire).await;
    slow.block().await;
    for number in 0..100 {
        let data = format!("{number} {}", "x".repeat(EVENT_BYTES));
        let event = NewEvent::text("a".parse().unwrap(), data);
        hub.hub.publish(Batch::of(event)).await.unwrap();
    }
    let old = hub.hub.epoch();
    log.renew(rest(&["left"]).await, None);
    let mut number = 0;
    let told = loop {
        let block = slow.event().await;
        if block.event.is_some() {
            break told(block);
        }
        let data = block.data.unwrap();
        assert_eq!(data.split_once(' ').unwrap().0, number.to_string());
        assert_eq!(data.len(), EVENT_BYTES + 1 + number.to_string().len());
        number += 1;
    };
    assert!(number < 100, "it was slower than that");
    assert_eq!(told, gap(&format!("{old}-{number}"), &hub.cursor(0)));
    assert_eq!(slow.event().await.data.as_deref(), Some("left"));
}

#[tokio::test]
async fn a_poll_between_two_requests_is_told_by_the_next() {
    let log = Arc::new(RenewableLog::new(rest(&["1"]).await));
    let hub = start(&log, Setup::new().heartbeat(Duration::from_secs(1))).await;
    let mut wire = hub.connect().await;
    let ask = |cursor: &str| Request::get(&format!("/topics/a?since={cursor}&wait=30"));
    wire.send(ask(&hub.cursor(1)).bytes()).await;
    hub.waiting("a", 1).await;
    hub.publish("a", "2").await;
    let page = wire.answer(false).await.page();
    assert_eq!(texts(&page), ["2"]);
    log.renew(rest(&["1", "b", "c"]).await, None);
    wire.send(ask(&page.next).bytes()).await;
    let answer = wire.answer(false).await;
    assert_eq!(answer.json()["gap"], gap(&page.next, &hub.cursor(0)));
    // Held polls are told alone, and get the events with the next one.
    let mut events = answer.json()["events"].as_array().unwrap().len();
    if events == 0 {
        assert_eq!(answer.json()["more"], true);
        wire.send(ask(answer.json()["next"].as_str().unwrap()).bytes()).await;
        events = wire.answer(false).await.page().events.len();
    }
    assert_eq!(events, 3);
}

/// The log has lost nothing that they had seen.
#[tokio::test]
async fn whoever_lost_nothing_goes_on_without_a_gap() {
    let log = Arc::new(RenewableLog::new(rest(&["1", "2", "3"]).await));
    let hub = start(&log, Setup::new().heartbeat(Duration::from_secs(1))).await;
    let (before, last) = (hub.cursor(0), hub.cursor(3));
    let mut streams = [hub.stream("/topics/a").await, hub.stream("/topics/*").await];
    let mut lines = hub.open(Request::lines("/topics/a")).await;
    let mut h2 = H2::connect(hub.address).await;
    let mut over_h2 = h2.stream("/topics/a").await;
    let held = tokio::spawn(hub.ask(Request::get(&format!("/topics/a?since={last}&wait=30"))));
    let held_over_h2 = tokio::spawn({
        let mut h2 = H2::connect(hub.address).await;
        let target = format!("/topics/a?since={last}&wait=30");
        async move { h2.ask("GET", &target, &[], "").await.1 }
    });
    hub.readers("long-poll", 2).await;
    hub.readers("sse", 3).await;
    hub.readers("ndjson", 1).await;

    log.renew(rest(&["1", "2", "3", "while"]).await, Some(3));
    assert_eq!((hub.cursor(3), hub.cursor(0)), (last.clone(), before.clone()), "ids are what they were");
    assert_ne!(hub.cursor(4).split_once('-').unwrap().0, last.split_once('-').unwrap().0);
    let new = hub.publish("a", "new").await;
    for stream in &mut streams {
        assert_eq!(stream.event().await.data.as_deref(), Some("while"));
        assert_eq!(stream.event().await.id, Some(new.clone()));
    }
    assert_eq!(over_h2.event().await.data.as_deref(), Some("while"));
    assert_eq!(over_h2.event().await.id, Some(new.clone()));
    assert_eq!(lines.line().await["data"], "while");
    assert_eq!(lines.line().await["id"], *new);
    for text in [held.await.unwrap().text().to_owned(), held_over_h2.await.unwrap()] {
        let page: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((page.get("gap"), &page["events"][0]["data"]), (None, &json!("while")));
    }
    for since in [&before, &last] {
        let page = hub.poll(&format!("/topics/a?since={since}")).await;
        assert!(page.gap.is_none(), "{since}");
        assert_eq!(page.next, new);
    }
    // A second loss takes back what they have seen by now.
    log.renew(rest(&["1", "2", "3", "other"]).await, Some(3));
    let gap = json!({"reason": "ahead", "since": new, "resumed": before});
    for stream in &mut streams {
        assert_eq!(told(stream.event().await), gap);
    }
    assert_eq!(told(over_h2.event().await), gap);
    assert_eq!(lines.line().await["gap"], gap);
    let page = hub.poll(&format!("/topics/a?since={new}")).await;
    assert_eq!(texts(&page), ["1", "2", "3", "other"]);
    assert!(hub.poll(&format!("/topics/a?since={last}")).await.gap.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_goes_on_where_it_is_and_is_told_only_of_what_it_has_seen() {
    for common in [0, 200] {
        let mut setup = Setup::new();
        setup.hub.tail_bytes = 1 << 20;
        let log = Arc::new(RenewableLog::new(Setup::new().log()));
        let hub = start(&log, setup).await;
        let mut wire = Wire::narrow(hub.address).await;
        wire.send(Request::stream("/topics/a").bytes()).await;
        let mut slow = crate::support::Stream::new(wire).await;
        slow.block().await;
        let same = Setup::new().log();
        for number in 0..200 {
            let data = format!("{number} {}", "x".repeat(EVENT_BYTES));
            let batch = Batch::of(NewEvent::text("a".parse().unwrap(), data));
            hub.hub.publish(batch.clone()).await.unwrap();
            same.append(batch).await.unwrap();
        }
        assert!(slow.event().await.data.unwrap().starts_with("0 "));
        log.renew(same, Some(common));
        let last = hub.publish("a", "200 last").await;
        let (mut next, mut gaps) = (1, 0);
        while next <= 200 {
            let block = slow.event().await;
            if block.event.is_some() {
                assert_eq!(told(block)["reason"], "ahead");
                (next, gaps) = (0, gaps + 1);
                continue;
            }
            let data = block.data.unwrap();
            assert_eq!(data.split_once(' ').unwrap().0, next.to_string());
            if next == 200 {
                assert_eq!(block.id.as_ref(), Some(&last));
            }
            next += 1;
        }
        assert_eq!(gaps, usize::from(common == 0));
    }
}

#[tokio::test]
async fn a_topic_that_ended_before_the_loss_has_still_ended() {
    let log = Arc::new(RenewableLog::new(rest(&["1"]).await));
    let hub = start(&log, Setup::new()).await;
    let end = hub.close_topic("a").await;
    let with_end = rest(&["1"]).await;
    let close = Batch { events: Vec::new(), close: Some(Topic::new("a").unwrap().into()), idempotency: None };
    with_end.append(close).await.unwrap();
    log.renew(with_end, Some(2));
    assert_eq!(hub.ask(Request::stream("/topics/a").last_event_id(&end)).await.status(), 204);
    // And one whose end is lost goes on.
    log.renew(rest(&["1", "2"]).await, Some(1));
    let page = hub.ask(Request::get("/topics/a").last_event_id(&end)).await;
    assert_eq!(page.json()["gap"]["reason"], "ahead");
    assert_eq!(texts(&page.page()), ["1", "2"]);
    assert!(!page.page().closed);
}
