use std::time::Duration;

use tidings_engine_servers::{NatsCluster, NatsServer, SlowProxy};

use super::drills;
use super::load::Load;

fn log(port: u16) -> String {
    format!("nats://127.0.0.1:{port}/LOG")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_hub_that_is_killed_go_on_at_another() {
    let Some(server) = NatsServer::start() else { return };
    drills::hubs_are_killed(&log(server.port())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_started_again_under_load_loses_nothing() {
    let Some(mut server) = NatsServer::start() else { return };
    let log = log(server.port());
    drills::is_started_again(&log, |runs| if runs { server.start_again() } else { server.kill() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_behind_lives_while_the_server_is_away_and_misses_nothing() {
    let Some(mut server) = NatsServer::start() else { return };
    let log = log(server.port());
    let runs = |runs| if runs { server.start_again() } else { server.kill() };
    drills::is_away_from_a_stream_that_is_behind(&log, runs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_slows_and_loses_nothing() {
    let Some(server) = NatsServer::start() else { return };
    let late = Duration::from_millis(30);
    let proxy = SlowProxy::start(server.port(), late);
    drills::is_slow(&log(proxy.port()), &proxy, late).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_behind_is_waited_for() {
    let Some(server) = NatsServer::start() else { return };
    let proxy = SlowProxy::start(server.port(), Duration::from_millis(1));
    drills::is_behind(&log(server.port()), &log(proxy.port()), &proxy, Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_taken_to_be_away() {
    let Some(server) = NatsServer::start() else { return };
    drills::says_nothing(&log(server.port()), |frozen| server.freeze(frozen)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_whose_leader_is_killed_under_load_loses_nothing() {
    let Some(mut cluster) = NatsCluster::start() else { return };
    let hubs = drills::two(&format!("nats://{}/LOG?replicas=3", cluster.hosts())).await;
    let load = Load::over(&hubs);
    load.goes_on(300).await;
    let leader = cluster.leader("LOG");
    cluster.nodes()[leader].kill();
    load.goes_on(300).await;
    cluster.nodes()[leader].start_again();
    load.goes_on(300).await;
    load.ends().await;
}
