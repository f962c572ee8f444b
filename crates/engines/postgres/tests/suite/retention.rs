use std::time::Duration;

use tidings_engine::{Engine as _, EngineConfig};
use tidings_engine_servers::PostgresServer;
use tidings_hub::{Hub, HubConfig, PullLimits};
use tidings_log::{Position, ReadError, ReadLimits, Retention};
use tidings_postgres::Postgres;
use tidings_protocol::{GapReason, Selection, Start};
use tokio::time::{Instant, sleep};

use crate::support::{PATIENCE, Reader, batch, client, config, eventually, hub, open, open_with, text, url};

const LIMITS: ReadLimits = ReadLimits { entries: 1_000, bytes: 1 << 20 };

fn short() -> EngineConfig {
    EngineConfig { retention: Retention { age: Duration::from_secs(2), ..Retention::default() }, ..config() }
}

fn small() -> EngineConfig {
    EngineConfig { retention: Retention { bytes: 2 << 20, ..Retention::default() }, ..config() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_dropped_in_partitions_and_nobody_misses_it_unheard() {
    let Some(server) = PostgresServer::start() else { return };
    let log = open_with(&url(&server), small()).await;
    let hub =
        Hub::new(std::sync::Arc::clone(&log), HubConfig { tail_bytes: 1 << 10, ..HubConfig::default() });
    let mut slow = hub.subscribe(Selection::all(), Start::Earliest).await.unwrap();
    let admin = client(&url(&server)).await;
    let mut number = 0_u32;
    let begun = Instant::now();
    while log.bounds().earliest == 1 {
        assert!(begun.elapsed() < PATIENCE, "nothing was dropped after {number} events");
        let data = format!("{number} {}", "x".repeat(50_000));
        hub.publish(batch("a", &data)).await.unwrap();
        number += 1;
        sleep(Duration::from_millis(10)).await;
    }
    let bounds = log.bounds();
    assert!(matches!(log.read(0, &Selection::all(), LIMITS).await, Err(ReadError::Expired { .. })));
    let pull = slow.next(PullLimits::default()).await.unwrap();
    assert_eq!(pull.gap.unwrap().reason, GapReason::Expired);
    // What is left is whole: every number from the first that is kept.
    let (mut after, mut numbers) = (bounds.earliest - 1, Vec::new());
    while after < log.bounds().latest {
        let chunk = log.read(after, &Selection::all(), LIMITS).await.unwrap();
        numbers.extend(
            chunk.entries.iter().map(|entry| text(entry).split(' ').next().unwrap().parse::<u32>().unwrap()),
        );
        after = chunk.next;
    }
    let first = numbers[0];
    assert_eq!(numbers, (first..number).collect::<Vec<_>>());
    assert!(first > 0);
    // Going back passes over the numbers that were left out between partitions.
    let count = numbers.len() - 1;
    let place = log.locate(Position::Last(count), &Selection::all()).await.unwrap();
    let chunk = log.read(place, &Selection::all(), LIMITS).await.unwrap();
    assert!(text(&chunk.entries[0]).starts_with(&format!("{} ", numbers[1])));
    let strays = "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tidings.entries'::regclass AND pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'";
    assert_eq!(admin.query_one(strays, &[]).await.unwrap().get::<_, i64>(0), 0);
    // Another hub sees the same log.
    let other = open(&url(&server)).await;
    assert_eq!(other.bounds().earliest, log.bounds().earliest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_dropped_and_ended_topics_with_it() {
    let Some(server) = PostgresServer::start() else { return };
    let log = open(&url(&server)).await;
    let end = tidings_log::Batch { close: Some(crate::support::topic("a").into()), ..batch("a", "old") };
    let last = log.append(end).await.unwrap().last();
    // Another hub keeps less than this one, and only now.
    let other = open_with(&url(&server), short()).await;
    eventually("it is dropped", async || log.bounds().earliest > last).await;
    other.close().await.unwrap();
    // The topic may be published to again, as its end is forgotten; and nothing is missing after what was last seen.
    let first = log.append(batch("a", "new")).await.unwrap().first;
    let chunk = log.read(last, &Selection::all(), LIMITS).await.unwrap();
    assert_eq!(chunk.entries[0].sequence, first);
    assert!(!log.topic(&crate::support::topic("a")).await.unwrap().unwrap().closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_running_delays_what_is_dropped_and_nobody_else() {
    let Some(server) = PostgresServer::start() else { return };
    let log = open_with(&url(&server), short()).await;
    // It runs before there is anything to drop.
    let dump = client(&url(&server)).await;
    dump.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tidings.entries")
        .await
        .unwrap();
    let last = log.append(batch("a", "old")).await.unwrap().last();
    for _ in 0..40 {
        log.append(batch("b", "meanwhile")).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(log.bounds().earliest, 1);
    dump.batch_execute("COMMIT").await.unwrap();
    eventually("it is dropped", async || log.bounds().earliest > last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_was_cut_off_for_longer_than_retention_tells_its_readers() {
    let Some(server) = PostgresServer::start() else { return };
    let admin = client(&url(&server)).await;
    admin.batch_execute("CREATE ROLE cut_off LOGIN SUPERUSER").await.unwrap();
    let cut_off = hub(&url(&server).replace("postgres@", "cut_off@")).await;
    let other = open(&url(&server)).await;
    let mut reader = Reader::of(&cut_off).await;
    other.append(batch("a", "seen")).await.unwrap();
    reader.until("seen").await;
    admin.batch_execute("ALTER ROLE cut_off NOLOGIN").await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cut_off'";
    admin.batch_execute(cut).await.unwrap();
    let missed = other.append(batch("a", "missed")).await.unwrap().last();
    let short = open_with(&url(&server), short()).await;
    eventually("it is dropped", async || other.bounds().earliest > missed).await;
    short.close().await.unwrap();
    admin.batch_execute("ALTER ROLE cut_off LOGIN").await.unwrap();
    other.append(batch("a", "after")).await.unwrap();
    let (gap, _) = reader.next().await;
    assert_eq!(gap.unwrap().reason, GapReason::Expired);
}

/// More than are forgotten in one step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_forgotten_as_fast_as_they_come() {
    let Some(server) = PostgresServer::start() else { return };
    let engine = Postgres::new(url(&server).parse().unwrap(), config()).unwrap();
    engine.attach(None).await.unwrap();
    let admin = client(&url(&server)).await;
    let keys =
        "INSERT INTO tidings.keys SELECT decode(md5(n::text), 'hex'), decode(md5(n::text), 'hex'), 1, 1, 1
        FROM generate_series(1, 35000) AS n";
    admin.batch_execute(keys).await.unwrap();
    engine.tidy().await.unwrap();
    let left: i64 = admin.query_one("SELECT count(*) FROM tidings.keys", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}
