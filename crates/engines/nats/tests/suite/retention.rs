use std::time::Duration;

use tidings_engine::EngineConfig;
use tidings_engine_servers::{Listener, NatsServer, Notice};
use tidings_log::{ReadError, Retention};
use tidings_protocol::Selection;

use crate::raw::stream;
use crate::support::{WIDE, config, eventually, open, open_with, publish, read, topic, url};

/// Whether something was discarded behind a cursor is known also when everything is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_has_seen_everything_is_told_of_no_gap_when_all_is_discarded() {
    let Some(server) = NatsServer::start() else { return };
    let retention = Retention { age: Duration::from_secs(2), ..Retention::default() };
    let log = open_with(&url(&server), EngineConfig { retention, ..config() }).await;
    let listener = Listener::of(&*log);
    publish(&*log, "a", "1").await;
    let before = publish(&*log, "a", "2").await;
    let last = publish(&*log, "a", "3").await;
    eventually("all is discarded", || log.bounds().earliest > log.bounds().latest).await;
    listener.hears(|told| *told == Notice::Trimmed(last + 1)).await;
    assert_eq!(log.topic(&topic("a")).await.unwrap(), None);
    // A hub that starts now knows it as well. It keeps what comes for longer.
    let other = open(&url(&server)).await;
    assert_eq!(other.bounds(), log.bounds());
    let new = publish(&*log, "b", "4").await;
    eventually("the other follows", || other.bounds().latest >= new).await;
    for log in [&log, &other] {
        assert_eq!(read(&**log, last, &Selection::all()).await.len(), 1);
        let expired = log.read(before, &Selection::all(), WIDE).await;
        assert_eq!(expired, Err(ReadError::Expired { after: before, earliest: last + 1 }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_discarded_by_their_size() {
    let Some(server) = NatsServer::start() else { return };
    let retention = Retention { bytes: 1 << 20, ..Retention::default() };
    let log = open_with(&url(&server), EngineConfig { retention, ..config() }).await;
    let data = "x".repeat(10_000);
    for number in 0..300 {
        publish(&*log, &format!("t/{number}"), &data).await;
    }
    let first = stream(server.port()).await.cached_info().state.first_sequence;
    eventually("it hears of it", || log.bounds().earliest == (first - 1) * 65_536 + 1).await;
    let kept = read(&*log, log.bounds().earliest - 1, &Selection::all()).await;
    assert!((50..150).contains(&kept.len()), "{}", kept.len());
    assert_eq!(log.topic(&topic("t/0")).await.unwrap(), None);
    assert!(log.topic(&topic("t/299")).await.unwrap().is_some());
}
