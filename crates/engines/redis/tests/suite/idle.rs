//! Connections that are closed while nobody uses them, and a server that refuses writes for its own reasons.

use std::collections::BTreeSet;

use tidings_engine_servers::RedisServer;
use tidings_log::{AppendError, Batch};
use tidings_protocol::Selection;

use crate::support::{ask, event, eventually, open, publish, read, texts, url};

/// The connections that a server has, but for the one that asks.
async fn connections(server: &RedisServer) -> BTreeSet<u64> {
    match ask(server, &["CLIENT", "LIST"]).await {
        redis::Value::VerbatimString { text, .. } => ids(&text),
        redis::Value::BulkString(text) => ids(std::str::from_utf8(&text).unwrap()),
        other => panic!("no list: {other:?}"),
    }
}

fn ids(list: &str) -> BTreeSet<u64> {
    let own = list.lines().filter(|line| !line.contains("cmd=client"));
    own.filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok()).collect()
}

/// As `CLIENT KILL`, a proxy that restarts, or a server whose `timeout` has passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_closed_while_it_is_idle_costs_no_publication() {
    let Some(server) = RedisServer::start() else { return };
    let log = open(&url(&server)).await;
    for round in 0..10 {
        let before = connections(&server).await;
        assert!(before.len() >= 3, "{before:?}");
        ask(&server, &["CLIENT", "KILL", "TYPE", "normal"]).await;
        // Nobody publishes meanwhile, and the hub connects anew all the same.
        while connections(&server).await.iter().filter(|id| !before.contains(id)).count() < 3 {
            tokio::task::yield_now().await;
        }
        publish(&*log, "a", &round.to_string()).await;
    }
    let events = read(&*log, 0, &Selection::all()).await;
    let all = texts(&events);
    assert_eq!(all, (0..10).map(|round| round.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_idle_connections_closes_none_of_a_hub() {
    let Some(server) = RedisServer::start_with(&["--timeout", "1"]) else { return };
    let log = open(&url(&server)).await;
    let before = connections(&server).await;
    for _ in 0..3 {
        // The server looks for idle clients by its own clock, so that there is nothing to wait for.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert!(log.ready().is_ok());
        publish(&*log, "a", "x").await;
    }
    let after = connections(&server).await;
    assert!(after.is_superset(&before), "the hub has the connections that it had: {before:?}, {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_memory_is_named_and_the_log_is_not_ready_until_it_has_some() {
    let Some(server) = RedisServer::start() else { return };
    let log = open(&url(&server)).await;
    publish(&*log, "a", "before").await;
    ask(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = log.append(Batch::of(event("a", "refused"))).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Full { reason } if reason.contains("maxmemory")), "{refused}");
    for _ in 0..3 {
        // It is asked every second.
        assert!(log.ready().is_err(), "a log that refuses every publication is not ready");
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    ask(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    eventually("it takes writes again, though nobody tries", || log.ready().is_ok()).await;
    publish(&*log, "a", "after").await;
    assert_eq!(texts(&read(&*log, 0, &Selection::all()).await), ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_save_is_named_and_the_log_is_not_ready_until_it_can() {
    let Some(server) = RedisServer::start() else { return };
    ask(&server, &["CONFIG", "SET", "appendonly", "no"]).await;
    let log = open(&url(&server)).await;
    publish(&*log, "a", "before").await;
    let redis::Value::Array(dir) = ask(&server, &["CONFIG", "GET", "dir"]).await else { panic!("no dir") };
    let redis::Value::BulkString(dir) = &dir[1] else { panic!("no dir") };
    let dir = std::path::PathBuf::from(String::from_utf8(dir.clone()).unwrap());
    // Where its file should go, there is a folder.
    let taken = dir.join("dump.rdb");
    drop(std::fs::remove_file(&taken));
    std::fs::create_dir_all(taken.join("inner")).unwrap();
    ask(&server, &["CONFIG", "SET", "save", "1 1"]).await;
    publish(&*log, "a", "unsaved").await;
    eventually("the server has failed to save", || log.ready().is_err()).await;
    let refused = log.append(Batch::of(event("a", "refused"))).await.unwrap_err();
    assert!(
        matches!(&refused, AppendError::Unavailable(reason) if reason.reason.contains("MISCONF")),
        "{refused}"
    );
    std::fs::remove_dir_all(taken).unwrap();
    eventually("it can save again", || log.ready().is_ok()).await;
    publish(&*log, "a", "after").await;
    assert_eq!(texts(&read(&*log, 0, &Selection::all()).await), ["before", "unsaved", "after"]);
}
