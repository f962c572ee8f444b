use std::time::Duration;

use tidings_engine_servers::{PostgresServer, SlowProxy};

use super::away::{Watcher, is_ready, publish_many};
use super::load::Load;
use crate::support::Hub;

/// Two hubs over one log, with little memory, so that readers also read what has left it.
async fn two(port: u16) -> [Hub; 2] {
    let (log, arguments) =
        (format!("postgres://postgres@127.0.0.1:{port}/postgres"), ["--tail-bytes", "64KiB"]);
    [Hub::over(&log, &arguments).await, Hub::over(&log, &arguments).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_hub_that_is_killed_go_on_at_another() {
    let Some(server) = PostgresServer::start() else { return };
    let mut hubs = two(server.port()).await;
    let load = Load::over(&hubs);
    for killed in [0, 1] {
        load.goes_on(300).await;
        hubs[killed].kill().await;
        load.goes_on(300).await;
        hubs[killed].start_again().await;
    }
    load.goes_on(300).await;
    load.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_started_again_under_load_loses_nothing() {
    let Some(mut server) = PostgresServer::start() else { return };
    let hubs = two(server.port()).await;
    let mut watcher = Watcher::of(&hubs[0], "watched").await;
    let load = Load::over(&hubs);
    load.goes_on(300).await;
    for _ in 0..2 {
        server.kill();
        is_ready(&hubs[0], false).await;
        load.is_refused(20).await;
        watcher.lives().await;
        server.start_again();
        is_ready(&hubs[0], true).await;
        load.goes_on(300).await;
    }
    hubs[1].publish("watched", "at last").await;
    watcher.sees("at last").await;
    load.ends().await;
}

/// It waits for a read, and not for what is published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_behind_lives_while_the_server_is_away_and_misses_nothing() {
    let Some(mut server) = PostgresServer::start() else { return };
    let hubs = two(server.port()).await;
    let count = publish_many(&hubs[0], "behind").await;
    server.kill();
    is_ready(&hubs[0], false).await;
    let mut watcher = Watcher::from(&hubs[0], "behind", "earliest").await;
    watcher.lives().await;
    server.start_again();
    watcher.sees_many(count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_slows_and_loses_nothing() {
    let Some(server) = PostgresServer::start() else { return };
    let proxy = SlowProxy::start(server.port(), Duration::from_millis(20));
    let hubs = two(proxy.port()).await;
    let load = Load::over(&hubs);
    load.goes_on(100).await;
    proxy.set_delay(Duration::from_millis(200));
    load.goes_on(20).await;
    proxy.set_delay(Duration::from_millis(1));
    load.goes_on(100).await;
    load.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_taken_to_be_away() {
    let Some(server) = PostgresServer::start() else { return };
    let proxy = SlowProxy::start(server.port(), Duration::from_millis(1));
    let hubs = two(proxy.port()).await;
    let mut watcher = Watcher::of(&hubs[0], "watched").await;
    let load = Load::over(&hubs);
    load.goes_on(100).await;
    // What is under way now comes an hour late: those connections are as good as dead.
    proxy.set_delay(Duration::from_secs(3_600));
    is_ready(&hubs[0], false).await;
    load.is_refused(20).await;
    watcher.lives().await;
    proxy.set_delay(Duration::from_millis(1));
    load.goes_on(100).await;
    hubs[1].publish("watched", "at last").await;
    watcher.sees("at last").await;
    load.ends().await;
}
