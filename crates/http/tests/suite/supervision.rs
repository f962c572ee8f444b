//! Threads and tasks that fail are missed at once: what they had is closed, and others go on.

use std::sync::Arc;

use tidings_hub::Hub;
use tidings_log::Log;

use crate::support::{FaultyLog, RenewableLog, Request, Running, Setup, Stream, eventually, texts};

async fn over(log: Arc<dyn Log>, setup: Setup) -> Running {
    let hub = Hub::new(log, setup.hub);
    setup.start_over(hub).await
}

async fn is_ready(hub: &Running) -> bool {
    hub.get("/readyz").await.status() == 200
}

/// What a stream is told next: whether it is an event, and not its end.
async fn goes_on(stream: &mut Stream) -> bool {
    stream.try_text().await.is_some()
}

#[tokio::test]
async fn a_shard_that_fails_closes_what_it_has_and_is_told_of() {
    let log = Arc::new(RenewableLog::new(Setup::new().log()));
    let hub = over(Arc::clone(&log) as Arc<dyn Log>, Setup::new()).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(hub.stream("/topics/a").await);
    }
    let held = Request::get("/topics/a?wait=60");
    let mut polls = Vec::new();
    for _ in 0..8 {
        let mut wire = hub.connect().await;
        wire.send(held.bytes()).await;
        polls.push(wire);
    }
    hub.readers("sse", 8).await;
    hub.readers("long-poll", 8).await;
    assert!(is_ready(&hub).await);

    log.fail_shards(1);
    log.renew(Setup::new().log(), None);
    let (mut told, mut closed) = (0, 0);
    for stream in &mut streams {
        if goes_on(stream).await { told += 1 } else { closed += 1 }
    }
    // On a machine with one core there is one shard, and it had them all.
    assert!(closed > 0 && told + closed == 8, "{told} {closed}");
    let mut answered = 0;
    for wire in &mut polls {
        answered += usize::from(wire.try_answer().await.is_some());
    }
    assert!(answered < 8);
    eventually("the hub says that it is not well", async || !is_ready(&hub).await).await;
    let problem = hub.get("/readyz").await.problem(503, "unavailable");
    assert!(!problem.is_empty());
    assert_eq!(hub.get("/healthz").await.status(), 200);
    hub.readers("sse", told).await;
    hub.readers("long-poll", 0).await;
    drop(polls);

    // Whoever comes is served, by whichever shard.
    let mut again = Vec::new();
    for _ in 0..8 {
        again.push(hub.stream("/topics/a").await);
    }
    hub.waiting("a", 8 + usize::try_from(told).unwrap()).await;
    hub.publish("a", "after").await;
    for stream in &mut again {
        assert_eq!(stream.event().await.data.as_deref(), Some("after"));
    }
}

#[tokio::test]
async fn shards_that_all_fail_begin_anew() {
    let log = Arc::new(RenewableLog::new(Setup::new().log()));
    let mut hub = over(Arc::clone(&log) as Arc<dyn Log>, Setup::new()).await;
    for _ in 0..3 {
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(hub.stream("/topics/a").await);
        }
        log.fail_shards(usize::MAX);
        log.renew(Setup::new().log(), None);
        for stream in &mut streams {
            assert!(!goes_on(stream).await);
        }
        hub.waiting("a", 0).await;
        hub.readers("sse", 0).await;
        log.fail_shards(0);
        let mut stream = hub.stream("/topics/a").await;
        let held = tokio::spawn(hub.ask(Request::get("/topics/a?wait=60")));
        hub.waiting("a", 2).await;
        hub.publish("a", "x").await;
        assert_eq!(stream.event().await.data.as_deref(), Some("x"));
        assert_eq!(texts(&held.await.unwrap().page()), ["x"]);
        drop(stream);
        hub.waiting("a", 0).await;
    }
    let connections = hub.metric("tidings_connections").await;
    assert!(connections <= 2, "{connections}");
    // It drains, and ends, as any other.
    let stream = hub.stream("/topics/a").await;
    hub.shut_down();
    assert!(stream.end().await.starts_with("retry: "));
    hub.ended().await;
}

/// A shard reads for so many at once and no more: one that is never told of the end of a read would never read again.
#[tokio::test]
async fn reads_that_panic_end_their_readers_and_no_others() {
    let log = Arc::new(FaultyLog::new(Setup::new().log()));
    let mut setup = Setup::new();
    // What is read comes from the log.
    setup.hub.tail_bytes = 1;
    let hub = over(Arc::clone(&log) as Arc<dyn Log>, setup).await;
    hub.publish_numbers("a", 0..100).await;
    log.panic_reads(true);
    for _ in 0..20 {
        let stream = hub.open(Request::stream(&format!("/topics/a?since={}", hub.cursor(0)))).await;
        stream.end().await;
    }
    hub.readers("sse", 0).await;
    log.panic_reads(false);
    for _ in 0..4 {
        let mut stream = hub.stream(&format!("/topics/a?since={}", hub.cursor(0))).await;
        for number in 0..100 {
            assert_eq!(stream.event().await.data, Some(number.to_string()));
        }
    }
    assert!(is_ready(&hub).await);
}
