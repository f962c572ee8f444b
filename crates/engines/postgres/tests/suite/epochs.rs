use tidings_engine_servers::PostgresServer;
use tidings_log::Appended;
use tidings_protocol::{Cursor, GapReason};

use crate::support::{Reader, batch, client, eventually, hub, open, text, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_log_has_an_epoch_of_its_own() {
    let Some(server) = PostgresServer::start() else { return };
    let admin = client(&url(&server)).await;
    admin.batch_execute("CREATE DATABASE one").await.unwrap();
    let one = format!("postgres://postgres@127.0.0.1:{}/one", server.port());
    let log = open(&one).await;
    log.append(batch("a", "1")).await.unwrap();
    let before = log.bounds();
    log.close().await.unwrap();
    drop(log);
    let again = open(&one).await;
    assert_eq!(again.bounds(), before);
    again.close().await.unwrap();
    drop(again);
    let ended = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'one'";
    admin.query(ended, &[]).await.unwrap();
    admin.batch_execute("CREATE DATABASE two TEMPLATE one").await.unwrap();
    let copy = open(&one.replace("/one", "/two")).await;
    let after = copy.bounds();
    assert_ne!(after.epoch(), before.epoch());
    assert_eq!((after.earliest, after.latest), (before.earliest, before.latest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_is_restored_in_its_place_has_an_epoch_of_its_own() {
    let Some(server) = PostgresServer::start() else { return };
    let log = open(&url(&server)).await;
    let kept = log.append(batch("a", "1")).await.unwrap();
    let dump = server.dump("tidings");
    let lost = log.append(batch("a", "2")).await.unwrap();
    let before = log.bounds();
    log.close().await.unwrap();
    drop(log);
    server.load("tidings", &dump);
    let restored = open(&url(&server)).await;
    assert_ne!(restored.bounds().epoch(), before.epoch());
    assert_eq!(restored.bounds().latest, before.latest - 1);
    // Also where no hub remembers, all that the dump has is as it was.
    let resume = |place: Appended| restored.bounds().resume(Cursor::new(place.epoch, place.first));
    assert_eq!((resume(kept), resume(lost)), (Ok(kept.first), Err(GapReason::Ahead)));
    // And that is settled then.
    let again = open(&url(&server)).await;
    assert_eq!(again.bounds().epoch(), restored.bounds().epoch());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_hub_notices_that_a_dump_is_restored() {
    let Some(server) = PostgresServer::start() else { return };
    let (hub, other) = (hub(&url(&server)).await, hub(&url(&server)).await);
    let mut reader = Reader::of(&hub).await;
    hub.publish(batch("a", "kept")).await.unwrap();
    let dump = server.dump("tidings");
    for data in ["1", "2", "3"] {
        hub.publish(batch("a", data)).await.unwrap();
    }
    reader.until("3").await;
    let before = hub.bounds().epoch();
    server.load("tidings", &dump);
    // Others publish at once, and get the numbers of what is lost.
    let mut published = 0;
    while published < 6 {
        if other.publish(batch("a", &format!("after {published}"))).await.is_ok() {
            published += 1;
        }
    }
    let (gap, mut events) = reader.next().await;
    assert_eq!(gap.unwrap().reason, GapReason::Ahead);
    assert_ne!(hub.bounds().epoch(), before);
    while events.last().is_none_or(|event| event.data != "after 5") {
        let (gap, more) = reader.next().await;
        assert_eq!(gap, None);
        events.extend(more);
    }
    let seen: Vec<_> = events.iter().map(text).collect();
    assert_eq!(seen, ["kept", "after 0", "after 1", "after 2", "after 3", "after 4", "after 5"]);
    assert_eq!(other.bounds().epoch(), hub.bounds().epoch());
}

/// Where only what the tables hold is brought back, they are the same tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_has_gone_back_is_noticed_by_whoever_publishes_and_by_whoever_does_not() {
    let Some(server) = PostgresServer::start() else { return };
    let admin = client(&url(&server)).await;
    for publishes in [true, false] {
        let hub = hub(&url(&server)).await;
        let mut reader = Reader::of(&hub).await;
        for data in ["1", "2", "last"] {
            hub.publish(batch("a", data)).await.unwrap();
        }
        reader.until("last").await;
        let before = hub.bounds().epoch();
        admin
            .batch_execute("DELETE FROM tidings.entries WHERE sequence > (SELECT max(sequence) - 2 FROM tidings.entries)")
            .await
            .unwrap();
        if publishes {
            let refused = hub.publish(batch("a", "in the place of another")).await;
            assert!(matches!(refused, Err(tidings_log::AppendError::Unavailable(_))), "{refused:?}");
        }
        let (gap, events) = reader.next().await;
        assert_eq!(gap.unwrap().reason, GapReason::Ahead);
        assert_eq!(text(events.last().unwrap()), "1");
        assert_ne!(hub.bounds().epoch(), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_timeline_is_another_epoch_unless_failovers_are_lossless() {
    let Some(mut server) = PostgresServer::start() else { return };
    let lossless = format!("{}?schema=lossless&lossless-failover=true", url(&server));
    let hubs = [hub(&url(&server)).await, hub(&lossless).await];
    let mut readers = Vec::new();
    let mut before = Vec::new();
    for hub in &hubs {
        readers.push(Reader::of(hub).await);
        hub.publish(batch("a", "before")).await.unwrap();
        before.push(hub.bounds().epoch());
    }
    for reader in &mut readers {
        reader.until("before").await;
    }
    server.restore();
    let is_renewed = async || hubs[0].bounds().epoch() != before[0] && hubs[0].ready().is_ok();
    eventually("it has another epoch", is_renewed).await;
    // Nothing is lost, so nobody is told.
    hubs[0].publish(batch("a", "after")).await.unwrap();
    assert_eq!(readers[0].until("after").await.len(), 1);
    eventually("the other is back", async || hubs[1].ready().is_ok()).await;
    hubs[1].publish(batch("a", "after")).await.unwrap();
    assert_eq!(readers[1].until("after").await.len(), 1);
    assert_eq!(hubs[1].bounds().epoch(), before[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_are_told_where_the_server_lost_what_they_have_seen() {
    let Some(server) = PostgresServer::start() else { return };
    let hub = hub(&url(&server)).await;
    let mut reader = Reader::of(&hub).await;
    for data in ["1", "2", "3"] {
        hub.publish(batch("a", data)).await.unwrap();
    }
    reader.until("3").await;
    let before = hub.bounds().epoch();
    // As a replica that was behind has it, when it takes over.
    let admin = client(&url(&server)).await;
    admin.batch_execute("DELETE FROM tidings.entries WHERE sequence = 3").await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidings'";
    admin.batch_execute(cut).await.unwrap();
    let (gap, events) = reader.next().await;
    assert_eq!(gap.unwrap().reason, GapReason::Ahead);
    assert_eq!(events.iter().map(text).collect::<Vec<_>>(), ["1", "2"]);
    assert_ne!(hub.bounds().epoch(), before);

    // A running hub hears at once of an epoch that somebody else has drawn.
    let renewed: String = admin.query_one("SELECT tidings.tidings_renew()", &[]).await.unwrap().get(0);
    let (gap, _) = reader.next().await;
    assert_eq!(gap.unwrap().reason, GapReason::Unknown);
    assert_eq!(hub.bounds().epoch().to_string(), renewed);
    hub.publish(batch("a", "after")).await.unwrap();
    assert_eq!(text(&reader.until("after").await[0]), "after");
}
