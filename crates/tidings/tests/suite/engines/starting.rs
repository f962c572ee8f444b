//! A hub that starts before its engine.

use tidings_engine_servers::{NatsServer, PostgresServer, RedisServer, quiet_port};

use super::away::is_ready;
use crate::support::Hub;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_starts_before_its_engine_waits_and_says_what_for() {
    let Some(mut server) = RedisServer::start() else { return };
    server.kill();
    let log = format!("redis://:s3cret@127.0.0.1:{}/log", server.port());
    let mut hub = Hub::starting_over(&log).await;
    is_ready(&hub, false).await;
    assert_eq!(hub.get("/healthz").await.status, 200);
    let answer = hub.get("/topics/a").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["type"], "urn:tidings:unavailable");
    assert!(answer.json()["detail"].as_str().unwrap().contains("waits for Redis"));
    hub.logged("failed to connect to 127.0.0.1", 1).await;

    // A password that is not asked for is refused by Redis, which no waiting mends.
    server.start_again();
    let (status, _) = hub.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(hub.log().contains("failed to open the log that Redis keeps"), "{}", hub.log());
    assert!(!hub.log().contains("s3cret"), "{}", hub.log());

    server.kill();
    opens_when_it_is_there(&format!("redis://127.0.0.1:{}/log", server.port()), || server.start_again())
        .await;
}

/// A hub over an engine that is away waits, and opens when that is there.
async fn opens_when_it_is_there(log: &str, starts: impl FnOnce()) {
    let mut hub = Hub::starting_over(log).await;
    is_ready(&hub, false).await;
    assert_eq!(hub.get("/topics/a").await.status, 503);
    starts();
    hub.announced().await;
    is_ready(&hub, true).await;
    hub.publish("a", "x").await;
    assert_eq!(hub.get("/topics/a").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_waits_for_nats() {
    let Some(mut server) = NatsServer::start() else { return };
    server.kill();
    opens_when_it_is_there(&format!("nats://127.0.0.1:{}/LOG", server.port()), || server.start_again()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_waits_for_postgres() {
    let Some(mut server) = PostgresServer::start() else { return };
    server.kill();
    let log = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port());
    opens_when_it_is_there(&log, || server.start_again()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_speaks_tls_with_its_engine() {
    let Some((server, certificates)) = RedisServer::start_with_tls() else { return };
    let authority = certificates.authority();
    let log = format!("rediss://localhost:{}/log?tls-ca={}", server.port(), authority.display());
    let hub = Hub::over(&log, &[]).await;
    hub.publish("a", "x").await;
    assert_eq!(hub.get("/topics/a").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_waits_ends_when_it_is_told_to() {
    let log = format!("redis://127.0.0.1:{}/log", quiet_port());
    let mut hub = Hub::starting_over(&log).await;
    is_ready(&hub, false).await;
    let (status, _) = hub.terminate().await;
    assert!(status.success());
}
