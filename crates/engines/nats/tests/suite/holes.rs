//! Messages that are not there any more: discarded by retention, or deleted with NATS's own tools.

use std::time::Duration;

use tidings_engine::{Attached, Engine as _, EngineError, Fed, Seen};
use tidings_engine_servers::{Listener, NatsServer, Notice};
use tidings_log::{Position, ReadError};
use tidings_nats::Nats;
use tidings_protocol::{Closing, Cursor, Selection};
use tokio::time::timeout;

use crate::raw::{context, message, put, stream};
use crate::support::{WIDE, config, open, publish, read, url};

/// The first sequence number of a message.
fn first(number: u64) -> u64 {
    (number - 1) * 65_536 + 1
}

/// The next entries. A feed says now and then that there are none.
async fn fed(attached: &mut Attached) -> Fed {
    loop {
        let fed = attached.feed.next().await.unwrap();
        if !fed.entries.is_empty() {
            return fed;
        }
    }
}

/// NATS discards when it is time, and a hub asks now and then what is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_told_of_what_was_discarded_before_its_hub_has_heard_of_it() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    for number in 0..20 {
        publish(&*log, "a", &number.to_string()).await;
    }
    let stream = stream(server.port()).await;
    for kept in [5, 6] {
        // Each time with a hub that has read nothing yet.
        let log = open(&url(&server)).await;
        let listener = Listener::of(&*log);
        // As retention does: everything before a message.
        stream.purge().sequence(kept).await.unwrap();
        let after = first(kept - 1) + 16;
        let expired = log.read(after, &Selection::all(), WIDE).await;
        assert_eq!(expired, Err(ReadError::Expired { after, earliest: first(kept) }));
        listener.hears(|told| *told == Notice::Trimmed(first(kept))).await;
    }
    for (kept, place) in [(10, Position::Earliest), (12, Position::Last(100))] {
        let log = open(&url(&server)).await;
        stream.purge().sequence(kept).await.unwrap();
        assert_eq!(log.locate(place, &Selection::all()).await, Ok(first(kept) - 1));
        assert_eq!(read(&*log, first(kept) - 1, &Selection::all()).await.len() as u64, 20 - (kept - 1));
    }
    let hub = open(&url(&server)).await;
    let latest = publish(&*hub, "a", "last").await;
    stream.purge().await.unwrap();
    let expired = hub.read(first(20), &Selection::all(), WIDE).await;
    assert_eq!(expired, Err(ReadError::Expired { after: first(20), earliest: latest + 1 }));
}

/// A hub follows too slowly, and everything before a message is discarded. Nothing comes after that where `kept` is beyond
/// the end.
async fn is_overtaken(server: &NatsServer, kept: u64) {
    let engine = Nats::new(url(server).parse().unwrap(), config()).unwrap();
    let mut attached = engine.attach(None).await.unwrap();
    let context = context(server.port()).await;
    put(&context, "LOG.topic.a", message(0, "a", Closing::No)).await;
    assert_eq!(fed(&mut attached).await.next, 65_536);
    // More than NATS sends ahead.
    for _ in 0..6 {
        let mut acks = Vec::new();
        for _ in 0..1_000 {
            acks.push(context.publish("LOG.topic.a", message(0, "a", Closing::No).into()).await.unwrap());
        }
        for ack in acks {
            ack.await.unwrap();
        }
    }
    stream(server.port()).await.purge().sequence(kept).await.unwrap();
    let mut place = 65_536;
    let follows = async {
        loop {
            match attached.feed.next().await {
                Ok(fed) => place = fed.next,
                Err(error) => return error,
            }
        }
    };
    let error = timeout(Duration::from_secs(60), follows).await.expect("the feed to end");
    assert!(matches!(&error, EngineError::Away { reason } if reason.contains("discarded")), "{error}");
    assert!((1_000 * 65_536..first(kept)).contains(&place), "{place}");
    // What is kept is followed from there.
    let seen = Seen::at(Cursor::new(attached.bounds.epoch(), place));
    let mut again = engine.attach(Some(&seen)).await.unwrap();
    assert_eq!(again.bounds.earliest, first(kept));
    let number = put(&context, "LOG.topic.a", message(6_001, "a", Closing::No)).await;
    assert_eq!(fed(&mut again).await.entries[0].sequence, kept.min(number) * 65_536);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_has_not_read_what_is_discarded_tells_everybody() {
    let Some(server) = NatsServer::start() else { return };
    is_overtaken(&server, 5_500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_has_not_read_what_is_discarded_finds_out_where_nothing_is_left() {
    let Some(server) = NatsServer::start() else { return };
    is_overtaken(&server, 6_002).await;
}

/// Somebody has deleted single messages, as because of what is in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_pass_over_what_was_deleted() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    for number in 1..=10 {
        publish(&*log, "a", &number.to_string()).await;
    }
    let stream = stream(server.port()).await;
    for number in [2, 3, 6, 9, 10] {
        stream.delete_message(number).await.unwrap();
    }
    let numbers = async |log: &dyn tidings_log::Log| -> Vec<_> {
        read(log, 0, &Selection::all()).await.iter().map(|entry| entry.sequence / 65_536).collect()
    };
    assert_eq!(numbers(&*log).await, [1, 4, 5, 7, 8]);
    let latest = log.bounds().latest;
    assert_eq!(log.read(first(10), &Selection::all(), WIDE).await.unwrap().next, latest);
    // So does a hub that starts, and one that was away.
    assert_eq!(numbers(&*open(&url(&server)).await).await, [1, 4, 5, 7, 8]);
    let engine = Nats::new(url(&server).parse().unwrap(), config()).unwrap();
    let seen = Seen::at(Cursor::new(log.bounds().epoch(), 65_536));
    let mut attached = engine.attach(Some(&seen)).await.unwrap();
    let mut followed = Vec::new();
    loop {
        let fed = attached.feed.next().await.unwrap();
        followed.extend(fed.entries.iter().map(|entry| entry.sequence / 65_536));
        if fed.next >= 8 * 65_536 {
            break;
        }
    }
    assert_eq!(followed, [4, 5, 7, 8]);
    let number = put(&context(server.port()).await, "LOG.topic.a", message(10, "a", Closing::No)).await;
    loop {
        let fed = attached.feed.next().await.unwrap();
        if fed.next >= number * 65_536 {
            assert_eq!(fed.entries.last().map(|entry| entry.sequence), Some(number * 65_536));
            break;
        }
        // What the hub that has started has put there.
        assert_eq!(fed.entries, []);
    }
}
