//! §3.4: readers that are slower than publishers.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use tidings_http::Cleartext;
use tidings_hub::{Entry, Hub, PullLimits};
use tidings_log::Batch;
use tidings_protocol::{Format, NewEvent, Topic};
use tokio::time::{Instant, sleep};

use crate::support::{Authority, H2, Request, Running, Setup, Stream, Wire, eventually, texts, within};

const EVENT_BYTES: usize = 64 << 10;

async fn publish(hub: &Hub, numbers: std::ops::Range<usize>) {
    let topic = Topic::new("a").unwrap();
    for number in numbers {
        let data = Bytes::from(format!("{number} {}", "x".repeat(EVENT_BYTES)));
        let event = NewEvent::new(topic.clone(), None, Format::Text, data).unwrap();
        hub.publish(Batch::of(event)).await.unwrap();
    }
}

/// A stream whose client takes nothing for now.
async fn stalled(hub: &Running, request: Request) -> Stream {
    let mut wire = Wire::narrow(hub.address).await;
    wire.send(request.bytes()).await;
    Stream::new(wire).await
}

fn number(data: &str) -> usize {
    data.split_once(' ').unwrap().0.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_paused_gets_everything_and_memory_does_not_keep_it_for_it() {
    let mut setup = Setup::new();
    setup.hub.tail_bytes = 1 << 20;
    let hub = setup.start().await;
    let mut slow = stalled(&hub, Request::stream("/topics/a")).await;
    slow.block().await;
    let mut entries: Vec<Weak<Entry>> = Vec::new();
    for number in 0..200 {
        publish(&hub.hub, number * 4..number * 4 + 4).await;
        let newest = hub.hub.recent(hub.hub.latest() - 4, PullLimits::default()).unwrap();
        entries.extend(newest.entries.iter().map(Arc::downgrade));
    }
    assert_eq!(entries.len(), 800);
    // Memory has the end, what is being written, and little that readers lately shared; not what one missed.
    let held = entries.iter().filter(|entry| entry.upgrade().is_some()).count();
    assert!(held < 200, "{held} of 800 are held");
    for expected in 0..800 {
        let block = slow.event().await;
        assert_eq!(number(&block.data.unwrap()), expected);
        assert_eq!(block.id.unwrap(), hub.cursor(expected as u64 + 1));
    }
    publish(&hub.hub, 800..801).await;
    assert_eq!(number(&slow.event().await.data.unwrap()), 800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_wait_for_their_reader_as_well() {
    let mut setup = Setup::new();
    setup.hub.tail_bytes = 1 << 20;
    let hub = setup.start().await;
    let mut slow = stalled(&hub, Request::lines("/topics/a?since=earliest")).await;
    publish(&hub.hub, 0..300).await;
    for expected in 0..300 {
        assert_eq!(number(slow.line().await["data"].as_str().unwrap()), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_retention_overtakes_is_told_of_the_gap() {
    let mut setup = Setup::new();
    setup.retention.bytes = 2 << 20;
    let hub = setup.start().await;
    let mut slow = stalled(&hub, Request::stream("/topics/a")).await;
    let mut last = slow.block().await.id.unwrap();
    publish(&hub.hub, 0..400).await;
    let (mut gaps, mut expected) = (0, 0);
    while expected < 400 {
        let block = slow.event().await;
        if block.event.as_deref() == Some("tidings.gap") {
            let gap: tidings_protocol::Gap = serde_json::from_str(&block.data.unwrap()).unwrap();
            assert_eq!((gap.reason.as_str(), gap.since), ("expired", last));
            assert_eq!(block.id.as_ref(), Some(&gap.resumed));
            let (_, resumed) = gap.resumed.rsplit_once('-').unwrap();
            expected = resumed.parse().unwrap();
            gaps += 1;
        } else {
            assert_eq!(number(&block.data.unwrap()), expected);
            expected += 1;
        }
        last = block.id.unwrap();
    }
    assert!(gaps > 0);
    assert_eq!(hub.metric("tidings_gaps_total{reason=\"expired\"}").await, gaps);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_readers_hold_up_nobody_else() {
    let hub = Running::start().await;
    let mut slow = Vec::new();
    for _ in 0..10 {
        slow.push(stalled(&hub, Request::stream("/topics/a")).await);
    }
    let mut quick = hub.stream("/topics/a").await;
    publish(&hub.hub, 0..100).await;
    let begun = Instant::now();
    for expected in 0..100 {
        assert_eq!(number(&quick.event().await.data.unwrap()), expected);
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    let poll = hub.poll("/topics/a?limit=1").await;
    assert_eq!(poll.events.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_takes_no_byte_is_closed() {
    let mut setup = Setup::new();
    setup.http.write_timeout = Duration::from_millis(300);
    let hub = setup.start().await;
    publish(&hub.hub, 0..300).await;
    let mut held = Vec::new();
    for request in [
        Request::stream("/topics/a?since=earliest"),
        Request::lines("/topics/a?since=earliest"),
        Request::stream("/topics/a?since=earliest&envelope=true"),
    ] {
        held.push(stalled(&hub, request).await);
    }
    // One answer after the other, and none of them read.
    let mut polling = Wire::narrow(hub.address).await;
    polling.send(Request::get("/topics/a").bytes().repeat(20)).await;
    eventually("all are closed", async || hub.metric("tidings_connections").await == 1).await;
    hub.readers("sse", 0).await;
    hub.readers("ndjson", 0).await;
    hub.waiting("a", 0).await;
    for stream in held {
        let rest = stream.broken_off().await;
        assert!(!rest.ends_with(b"\r\n0\r\n\r\n"), "it did not end properly");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_takes_a_little_at_a_time_is_not_closed() {
    let mut setup = Setup::new();
    setup.http.write_timeout = Duration::from_secs(3);
    let hub = setup.start().await;
    publish(&hub.hub, 0..200).await;
    let mut slow = stalled(&hub, Request::stream("/topics/a?since=earliest")).await;
    slow.block().await;
    let begun = Instant::now();
    for expected in 0..200 {
        assert_eq!(number(&slow.event().await.data.unwrap()), expected);
        // So little that the system does not soon call its buffer free.
        if begun.elapsed() < Duration::from_secs(10) {
            sleep(Duration::from_millis(200)).await;
        }
    }
    assert!(begun.elapsed() > Duration::from_secs(9));
}

#[tokio::test]
async fn a_silent_stream_is_not_a_stalled_one() {
    let mut setup = Setup::new();
    setup.http.write_timeout = Duration::from_millis(100);
    let hub = setup.start().await;
    let mut stream = hub.stream("/topics/a").await;
    let poll = hub.get("/topics/a?wait=0.4").await;
    assert_eq!(poll.status(), 200);
    hub.publish("a", "x").await;
    assert_eq!(stream.event().await.data.unwrap(), "x");
}

/// Events of two topics, and the end of the first: large ones whose data is line feeds, which every form writes
/// otherwise, and small ones between them.
async fn publish_lines(hub: &Hub) -> usize {
    for number in 0..5 {
        for (topic, lines) in [("a", 90_000), ("b", 100_000), ("a", number), ("c", 10)] {
            let data = format!("{number}{}", "\n".repeat(lines));
            let event = NewEvent::text(Topic::new(topic).unwrap(), data);
            hub.publish(Batch::of(event)).await.unwrap();
        }
    }
    let close = Some(Topic::new("a").unwrap().into());
    hub.publish(Batch { events: Vec::new(), close, idempotency: None }).await.unwrap();
    10
}

/// Whether the events are in the hub's memory or only in the log, and whatever carries the bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_readers_do_not_take_is_let_go_and_is_the_same_when_they_take_it() {
    let authority = Authority::new();
    for tail_bytes in [64 << 20, 0] {
        let mut setup = Setup::new();
        setup.hub.tail_bytes = tail_bytes;
        // Nothing is held but by the first.
        setup.http.max_buffered_bytes = 0;
        setup.tls = Some((authority.issue("hub", 1).open(), Cleartext::Everyone));
        let hub = setup.start().await;
        let count = publish_lines(&hub.hub).await;
        let from = format!("/topics/a?since={}", hub.cursor(0));
        for request in
            [Request::stream(&from), Request::stream(&format!("{from}&envelope=true")), Request::lines(&from)]
        {
            let mut stalled = Vec::new();
            for _ in 0..3 {
                stalled.push(Wire::narrow(hub.address).await);
                stalled.push(authority.http1(hub.address).await);
            }
            for wire in &mut stalled {
                wire.send(request.bytes()).await;
            }
            let whole = hub.open(request).await.end().await;
            assert!(whole.matches(&format!("{}-", hub.hub.epoch())).count() >= count);
            for wire in stalled {
                assert!(Stream::new(wire).await.end().await == whole, "it got something else");
            }
        }
        let plain = hub.open(Request::stream(&from)).await.end().await;
        assert_eq!(plain.lines().filter(|line| line.starts_with("data:")).count(), 5 * 90_001 + 15 + 1);

        // Pages: a poll that is answered at once, and one that is held again where it is, for an older cursor.
        let path = "/topics/b?limit=4&wait=30&since=";
        let mut stalled = Vec::new();
        for number in 0..6 {
            let mut wire = if number % 2 == 0 {
                Wire::narrow(hub.address).await
            } else {
                authority.http1(hub.address).await
            };
            wire.send(Request::get(&format!("{path}{}", hub.cursor(hub.hub.latest()))).bytes()).await;
            stalled.push(wire);
        }
        hub.waiting("b", 6).await;
        let event = NewEvent::text(Topic::new("b").unwrap(), "x");
        hub.hub.publish(Batch::of(event)).await.unwrap();
        for wire in &mut stalled {
            assert_eq!(wire.answer(false).await.page().events.len(), 1);
            wire.send(Request::get(&format!("{path}{}", hub.cursor(0))).bytes()).await;
        }
        let page = hub.get(&format!("{path}{}", hub.cursor(0))).await;
        assert_eq!((page.page().events.len(), page.page().more), (4, true));
        for wire in &mut stalled {
            // What comes from the log may be a shorter page.
            let (own, whole) = (wire.answer(false).await.page(), page.page());
            let count = own.events.len();
            assert!(count >= 1 && own.more);
            assert!(texts(&own) == texts(&whole)[..count], "it got other events");
            assert!(tail_bytes == 0 || count == 4, "{count}");
            // The connection is of use still.
            assert_eq!(wire.ask(&Request::get("/topics/b?limit=1")).await.page().events.len(), 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_http_2_that_wait_for_their_window_get_the_same() {
    for tail_bytes in [64 << 20, 0] {
        let mut setup = Setup::new();
        setup.hub.tail_bytes = tail_bytes;
        setup.http.max_buffered_bytes = 0;
        let hub = setup.start().await;
        publish_lines(&hub.hub).await;
        let from = format!("/topics/a?since={}", hub.cursor(0));
        let whole = hub.open(Request::stream(&from)).await.end().await;
        let mut h2 = H2::connect(hub.address).await;
        let mut waiting = Vec::new();
        for _ in 0..4 {
            waiting.push(h2.send("GET", &from, &[("accept", "text/event-stream")], "").await);
        }
        // Together, as they share the connection's window.
        for body in within(join_all(waiting.into_iter().map(|own| own.into_body().collect()))).await {
            assert!(body.unwrap().to_bytes() == whole.as_bytes(), "it got something else");
        }
    }
}
