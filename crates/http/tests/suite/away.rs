//! A log whose engine is away, or says nothing, for those who have to read it.

use std::sync::Arc;
use std::time::Duration;

use tidings_hub::Hub;
use tidings_log::ReadError;

use crate::repeated_polls::{Poller, Way};
use crate::support::{FaultyLog, H2, Running, Setup};

/// A hub without memory, so that everybody who is behind reads the log.
async fn start() -> (Arc<FaultyLog>, Running) {
    let log = Arc::new(FaultyLog::new(Setup::new().log()));
    let mut setup = Setup::new().heartbeat(Duration::from_millis(100));
    setup.hub.tail_bytes = 0;
    let hub = Hub::new(log.clone(), setup.hub);
    (log, setup.start_over(hub).await)
}

fn away() -> ReadError {
    ReadError::Away { reason: "switched off".into() }
}

#[tokio::test]
async fn held_polls_are_answered_in_time_while_streams_wait_for_the_log() {
    for is_silent in [false, true] {
        let (log, hub) = start().await;
        let mut poller = Poller::new(&hub, Way::Since, "/topics/a?wait=1").await;
        assert!(poller.poll().await.events.is_empty());
        hub.publish("a", "missed").await;
        hub.publish_numbers("b", 0..3).await;
        if is_silent {
            log.withhold_reads(true);
        } else {
            log.refuse_reads(Some(away()));
        }
        // More than are read for at once.
        let count = 8 * std::thread::available_parallelism().unwrap().get();
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(hub.stream("/topics/*?since=earliest").await);
        }
        hub.readers("sse", count as u64).await;
        for _ in 0..2 {
            assert!(streams[0].block().await.is_comment);
        }
        let before = poller.next.clone();
        let page = poller.poll().await;
        assert_eq!((page.events.len(), page.next), (0, before));
        if !is_silent {
            // What is held no longer can be told.
            poller.ask().await;
            poller.wire.answer(false).await.problem(503, "unavailable");
        }
        log.withhold_reads(false);
        log.refuse_reads(None);
        assert_eq!(poller.poll_for(1).await, ["missed"]);
        for stream in &mut streams {
            for data in ["missed", "0", "1", "2"] {
                assert_eq!(stream.event().await.data.as_deref(), Some(data));
            }
        }
        hub.publish("a", "new").await;
        assert_eq!(poller.poll_for(1).await, ["new"]);
    }
}

#[tokio::test]
async fn streams_over_http2_have_heartbeats_while_the_log_says_nothing() {
    let (log, hub) = start().await;
    hub.publish_numbers("a", 0..3).await;
    log.withhold_reads(true);
    let mut connection = H2::connect(hub.address).await;
    let mut stream = connection.stream("/topics/a?since=earliest").await;
    for _ in 0..3 {
        assert!(stream.block().await.unwrap().is_comment);
    }
    log.withhold_reads(false);
    for data in ["0", "1", "2"] {
        assert_eq!(stream.event().await.data.as_deref(), Some(data));
    }
    hub.publish("a", "3").await;
    assert_eq!(stream.event().await.data.as_deref(), Some("3"));
}
