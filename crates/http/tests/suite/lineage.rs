//! §1, §3.4: after a crash, a restart and a copy that was restored, those are told of a gap who had seen something that is
//! lost, and nobody else; over every transport.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tidings_http::Cleartext;
use tidings_hub::Hub;
use tidings_log::{DiskConfig, DiskLog};

use crate::support::{Authority, Block, H2Stream, Request, Running, Setup, Stream, texts, within};

/// A hub over a folder, which speaks TLS as well.
async fn over(dir: &Path, authority: &Authority, tail_bytes: usize) -> Running {
    let mut setup = Setup::new();
    setup.hub.tail_bytes = tail_bytes;
    setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Loopback));
    let log = DiskLog::open(dir, DiskConfig::default()).unwrap();
    let hub = Hub::new(Arc::new(log), setup.hub);
    setup.start_over(hub).await
}

async fn stop(mut running: Running) {
    running.shut_down();
    let hub = running.hub.clone();
    running.ended().await;
    hub.close().await.unwrap();
}

/// The folder as a crash would leave it now.
fn copy(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "LOCK" {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}

/// What a reader is given first: why there is a gap and where it ends, and the data of the events.
type Given = (Option<(String, String)>, Vec<String>);

fn gap(told: &Value) -> (String, String) {
    (told["reason"].as_str().unwrap().into(), told["resumed"].as_str().unwrap().into())
}

/// What the blocks of a stream come to, once there are so many events.
async fn given(mut next: impl AsyncFnMut() -> Block, events: usize) -> Given {
    let mut given: Given = (None, Vec::new());
    while given.1.len() < events {
        let block = next().await;
        match block.event.as_deref() {
            Some("tidings.gap") => {
                given.0 = Some(gap(&serde_json::from_str(&block.data.unwrap()).unwrap()));
            }
            _ => given.1.push(block.data.unwrap()),
        }
    }
    given
}

async fn of_stream(mut stream: Stream, events: usize) -> Given {
    stream.block().await;
    given(async || stream.event().await, events).await
}

async fn of_h2(mut stream: H2Stream, events: usize) -> Given {
    given(async || stream.event().await, events).await
}

/// What a reader of topic `a` with a cursor is given, over each transport.
async fn all_forms(hub: &Running, authority: &Authority, cursor: &str, events: usize) -> Vec<Given> {
    let mut all = Vec::new();
    for wait in ["", "&wait=30"] {
        let answer = hub.get(&format!("/topics/a?since={cursor}{wait}")).await;
        let told = answer.json().get("gap").map(gap);
        all.push((told, texts(&answer.page())));
    }
    let stream = Request::stream("/topics/a").last_event_id(cursor);
    all.push(of_stream(hub.open(stream.clone()).await, events).await);
    let mut tls = authority.http1(hub.address).await;
    tls.send(stream.bytes()).await;
    all.push(of_stream(Stream::new(tls).await, events).await);
    let target = format!("/topics/a?since={cursor}");
    let mut clear = crate::support::H2::connect(hub.address).await;
    all.push(of_h2(clear.stream(&target).await, events).await);
    let mut h2 = authority.http2(hub.address).await;
    all.push(of_h2(h2.stream(&target).await, events).await);

    let mut lines = hub.open(Request::lines("/topics/a").last_event_id(cursor)).await;
    let mut told: Given = (None, Vec::new());
    while told.1.len() < events {
        let line = lines.line().await;
        match line.get("gap") {
            Some(found) => told.0 = Some(gap(found)),
            None => told.1.push(line["data"].as_str().unwrap().into()),
        }
    }
    all.push(told);
    all
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..=to).map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_restored_tells_every_transport_what_is_lost() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    // Its newest events are in memory, or none are.
    for tail_bytes in [1 << 20, 0] {
        let folder = dir.path().join(tail_bytes.to_string());
        let hub = over(&folder, &authority, tail_bytes).await;
        let before = hub.publish_numbers("a", 1..11).await;
        let backup = copy(&folder);
        let lost = hub.publish_numbers("a", 11..21).await;
        let seen = hub.poll("/topics/a").await;
        assert_eq!(seen.next, lost[9]);
        stop(hub).await;

        let hub = over(backup.path(), &authority, tail_bytes).await;
        hub.publish_numbers("a", 11..26).await;
        for (number, id) in [(10, &before[9]), (9, &before[8]), (1, &before[0])] {
            for given in all_forms(&hub, &authority, id, 25 - number).await {
                assert_eq!(given, (None, numbers(number + 1, 25)), "after {number}");
            }
        }
        let all = Some(("ahead".to_owned(), hub.cursor(0)));
        for id in [&lost[9], &lost[0], &seen.next] {
            for given in all_forms(&hub, &authority, id, 25).await {
                assert_eq!(given, (all.clone(), numbers(1, 25)));
            }
        }
        stop(hub).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_and_a_restart_are_told_to_nobody() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let mut crashed = dir;
    let mut ids = vec![String::new()];
    let mut epochs = std::collections::HashSet::new();
    for round in 0..4 {
        let hub = over(crashed.path(), &authority, 1 << 20).await;
        assert!(epochs.insert(hub.hub.epoch()), "each start has an epoch");
        let from = ids.len();
        ids.extend(hub.publish_numbers("a", from..from + 5).await);
        let page = hub.poll("/topics/a").await;
        let told: Vec<_> = page.events.iter().map(|event| event.id.clone()).collect();
        assert_eq!(told, ids[1..], "ids are what they were");
        assert_eq!(page.next, ids[ids.len() - 1]);
        let list = hub.get("/topics").await.json();
        assert_eq!(list["topics"][0]["latest"], ids[ids.len() - 1].as_str());
        for number in [1, from - 1, from].into_iter().filter(|number| *number > 0) {
            let left = ids.len() - 1 - number;
            for given in all_forms(&hub, &authority, &ids[number], left).await {
                assert_eq!(given, (None, numbers(number + 1, ids.len() - 1)), "after {number}");
            }
        }
        let after = if round % 2 == 0 { Some(copy(crashed.path())) } else { None };
        stop(hub).await;
        if let Some(after) = after {
            crashed = after;
        }
    }
}

/// Held polls are known by their bytes, so a cursor of an epoch before has to be known with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_that_go_on_from_an_epoch_before_are_held_and_repeated() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let hub = over(dir.path(), &authority, 1 << 20).await;
    let last = hub.publish_numbers("a", 1..4).await.pop().unwrap();
    stop(hub).await;
    let hub = over(dir.path(), &authority, 1 << 20).await;
    let (mut wire, mut cursor) = (hub.connect().await, last.clone());
    for number in 4..8 {
        wire.send(Request::get(&format!("/topics/a?wait=30&since={cursor}")).bytes()).await;
        hub.waiting("a", 1).await;
        let id = hub.publish("a", &number.to_string()).await;
        let page = within(wire.answer(false)).await.page();
        assert!(page.gap.is_none());
        assert_eq!((texts(&page), &page.next), (vec![number.to_string()], &id));
        // Every second one goes on with a place that it has been told of already, in the epoch before.
        cursor = if number % 2 == 0 { page.next } else { last.clone() };
        if cursor == last {
            let page = hub.poll(&format!("/topics/a?since={cursor}")).await;
            assert_eq!(texts(&page), numbers(4, number));
            cursor = page.next;
        }
    }
    wire.send(Request::get(&format!("/topics/a?wait=30&since={last}")).bytes()).await;
    let page = within(wire.answer(false)).await.page();
    assert_eq!((page.gap.is_none(), texts(&page)), (true, numbers(4, 7)));
}
