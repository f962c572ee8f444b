use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_engine_servers::{PostgresServer, SlowProxy};
use tidings_hub::Hub;
use tidings_log::{AppendError, Batch, Idempotency, Scope};
use tidings_protocol::Event;
use tokio::time::sleep;

use crate::support::{PATIENCE, Reader, batch, client, eventually, hub, text, topic, url};

fn keyed(data: &str) -> Batch {
    let key = Idempotency { scope: Scope::Topic(topic("a")), key: data.to_owned() };
    Batch { idempotency: Some(key), ..batch("a", data) }
}

/// Publishes until it is told to stop, and each event again, with the same key, until it is acknowledged: what was.
async fn publish(hub: Hub, name: usize, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let data = format!("{name}/{number}");
        while let Err(error) = hub.publish(keyed(&data)).await {
            assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
            sleep(Duration::from_millis(20)).await;
        }
        acknowledged.push(data);
    }
    acknowledged
}

fn of<'a>(events: &'a [Event], name: usize) -> impl Iterator<Item = String> + 'a {
    let begin = format!("{name}/");
    events.iter().map(text).filter(move |data| data.starts_with(&begin))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_under_load_loses_nothing_that_was_acknowledged() {
    let Some(mut server) = PostgresServer::start() else { return };
    let hubs = [hub(&url(&server)).await, hub(&url(&server)).await];
    let epoch = hubs[0].bounds().epoch();
    let mut readers = Vec::new();
    for hub in &hubs {
        readers.push(Reader::of(hub).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> =
        (0..6).map(|name| tokio::spawn(publish(hubs[name % 2].clone(), name, Arc::clone(&stop)))).collect();
    let mut events = readers[0].until("0/20").await;
    for round in 1..=2 {
        server.kill();
        for hub in &hubs {
            eventually("it is away", async || hub.ready().is_err()).await;
            let refused = hub.publish(batch("a", "refused")).await;
            assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
        }
        server.start_again();
        // The first that is published after the crash.
        let mark = format!("mark-{round}");
        let begun = std::time::Instant::now();
        while let Err(error) = hubs[0].publish(keyed(&mark)).await {
            assert!(begun.elapsed() < PATIENCE, "{error}");
            sleep(Duration::from_millis(20)).await;
        }
        events.extend(readers[0].until(&mark).await);
    }
    stop.store(true, Ordering::Relaxed);
    let mut expected = Vec::new();
    for publisher in publishers {
        expected.push(publisher.await.unwrap());
    }
    hubs[1].publish(batch("a", "last")).await.unwrap();
    events.extend(readers[0].until("last").await);
    assert_eq!(readers[1].until("last").await, events, "both hubs tell the same");
    for (name, acknowledged) in expected.iter().enumerate() {
        assert_eq!(of(&events, name).collect::<Vec<_>>(), *acknowledged, "each once, and in order");
    }
    assert!(!events.iter().any(|event| text(event) == "refused"), "what was refused at once was written");
    assert_eq!(hubs[0].bounds().epoch(), epoch, "a crash is no reason for a new epoch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_stops_in_the_middle_of_a_transaction_holds_nobody_up_for_long() {
    let Some(server) = PostgresServer::start() else { return };
    let proxy = SlowProxy::start(server.port(), Duration::from_millis(1));
    let other = hub(&url(&server)).await;
    let stopping = hub(&format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port())).await;
    let admin = client(&url(&server)).await;
    // The first part of the transaction comes to Postgres, and the answer to it never comes back.
    proxy.set_answer_delay(Duration::from_secs(3_600));
    let publication = tokio::spawn(async move { stopping.publish(batch("a", "stopped")).await });
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    let is_ended = || server.said().contains("idle-in-transaction timeout");
    let is_held = async || is_ended() || admin.query_one(held, &[]).await.unwrap().get::<_, i64>(0) > 0;
    eventually("the lock is held", is_held).await;
    other.publish(batch("a", "after")).await.unwrap();
    assert!(matches!(publication.await.unwrap(), Err(AppendError::Unavailable(_))));
    assert_eq!(Reader::of(&other).await.until("after").await.len(), 1);
    assert!(is_ended(), "{}", server.said());
}

/// The processes that serve a hub.
async fn sessions(application: &tokio_postgres::Client) -> std::collections::BTreeSet<i32> {
    let asked =
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    application.query(asked, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// As `idle_session_timeout`, a proxy that restarts, or an operator does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_closed_while_it_is_idle_costs_no_publication() {
    let Some(server) = PostgresServer::start() else { return };
    let hub = hub(&url(&server)).await;
    let application = client(&url(&server)).await;
    for round in 0..5 {
        let before = sessions(&application).await;
        assert!(before.len() >= 3, "{before:?}");
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        application.query(end, &[]).await.unwrap();
        // Nobody publishes meanwhile, and the hub connects anew all the same.
        while sessions(&application).await.difference(&before).count() < 3 {
            tokio::task::yield_now().await;
        }
        hub.publish(batch("a", &round.to_string())).await.unwrap();
    }
    let mut reader = Reader::of(&hub).await;
    let events = reader.until("4").await;
    assert_eq!(events.iter().map(text).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_idle_sessions_costs_no_publication() {
    let Some(server) = PostgresServer::start() else { return };
    let application = client(&url(&server)).await;
    let version = application.query_one("SHOW server_version_num", &[]).await.unwrap().get::<_, String>(0);
    if version.parse::<u32>().unwrap() < 140_000 {
        return;
    }
    application.batch_execute("ALTER ROLE postgres SET idle_session_timeout = '700ms'").await.unwrap();
    let hub = hub(&url(&server)).await;
    let before = sessions(&application).await;
    for round in 0..5 {
        // Whoever was idle is gone.
        while sessions(&application).await.intersection(&before).count() > 1 {
            tokio::task::yield_now().await;
        }
        hub.publish(batch("a", &round.to_string())).await.unwrap();
    }
}
