//! What an engine does whose follower is behind the stream.

use std::time::Duration;

use tidings_engine::{Attached, Engine as _, EngineError};
use tidings_engine_servers::NatsServer;
use tidings_log::{Batch, ReadLimits};
use tidings_nats::Nats;
use tidings_protocol::Closing;
use tokio::time::timeout;

use crate::raw::{context, message, put};
use crate::support::{WIDE, config, event, open, publish, url};

const ONE: ReadLimits = ReadLimits { entries: 1, bytes: 1 << 20 };

/// Follows until there is nothing more.
async fn follow(attached: &mut Attached, upto: u64) {
    while timeout(Duration::from_secs(30), attached.feed.next()).await.unwrap().unwrap().next < upto * 65_536
    {
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_follower_has_not_come_to_is_not_read() {
    let Some(server) = NatsServer::start() else { return };
    let engine = Nats::new(url(&server).parse().unwrap(), config()).unwrap();
    let mut attached = engine.attach(None).await.unwrap();
    let context = context(server.port()).await;
    put(&context, "LOG.topic.a", message(0, "a", Closing::No)).await;
    follow(&mut attached, 1).await;
    put(&context, "LOG.end.a", message(1, "a", Closing::After)).await;
    // Its hub had not seen the end.
    put(&context, "LOG.topic.a", message(1, "a", Closing::No)).await;
    let block = engine.read(0, WIDE).await.unwrap();
    assert_eq!((block.entries.len(), block.next), (1, 65_536));
    assert_eq!(engine.read(65_536, ONE).await.unwrap().entries, []);
    follow(&mut attached, 3).await;
    let block = engine.read(0, WIDE).await.unwrap();
    assert_eq!((block.entries.len(), block.next), (2, 3 * 65_536));
    assert_eq!(engine.read(2 * 65_536, ONE).await.unwrap().entries, []);
}

/// Everything that is read before was discarded, but for what the follower has not come to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_goes_on_where_nothing_is_left_up_to_the_follower() {
    let Some(server) = NatsServer::start() else { return };
    let engine = Nats::new(url(&server).parse().unwrap(), config()).unwrap();
    let mut attached = engine.attach(None).await.unwrap();
    let context = context(server.port()).await;
    for _ in 0..2 {
        put(&context, "LOG.topic.a", message(0, "a", Closing::No)).await;
    }
    follow(&mut attached, 2).await;
    let stream = context.get_stream("LOG").await.unwrap();
    stream.purge().await.unwrap();
    let block = engine.read(0, WIDE).await.unwrap();
    assert_eq!((block.entries.len(), block.next, block.earliest), (0, 2 * 65_536, 2 * 65_536 + 1));
    put(&context, "LOG.topic.a", message(0, "a", Closing::No)).await;
    let block = engine.read(0, WIDE).await.unwrap();
    assert_eq!((block.entries.len(), block.next, block.earliest), (0, 2 * 65_536, 2 * 65_536 + 1));
}

/// A stream was put back to an earlier state below a connection that stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_seen_before_is_no_acknowledgement() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    let engine = Nats::new(url(&server).parse().unwrap(), config()).unwrap();
    let mut attached = engine.attach(None).await.unwrap();
    for _ in 0..3 {
        publish(&*log, "a", "x").await;
    }
    log.close().await.unwrap();
    follow(&mut attached, 3).await;
    let context = context(server.port()).await;
    let config = context.get_stream("LOG").await.unwrap().cached_info().config.clone();
    context.delete_stream("LOG").await.unwrap();
    context.create_stream(config).await.unwrap();
    let written = engine.write(vec![Batch::of(event("a", "new"))]).await;
    assert!(
        matches!(&written, Err(EngineError::Away { reason }) if reason.contains("gone back")),
        "{written:?}"
    );
}

#[test]
fn the_last_events_are_looked_for_in_a_few_messages_first() {
    let engine = Nats::new("nats://127.0.0.1/LOG".parse().unwrap(), config()).unwrap();
    let back = |entries| (10_000 * 65_536 - engine.back(10_000 * 65_536, entries)) / 65_536;
    assert_eq!([1_024, 2_048, 16_384, 65_536].map(back), [16, 64, 4_096, 4_096]);
    assert_eq!(engine.back(65_536, 1_024), 0);
    assert!(engine.first_step(60_000) <= 1_024);
}
