//! A hub that starts before its engine.

use tidings_engine_servers::RedisServer;

use super::away::is_ready;
use crate::support::Hub;
use crate::support::hub::quiet_port;

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
    assert!(hub.log().contains("failed to connect to 127.0.0.1"), "{}", hub.log());

    // A password that is not asked for is refused by Redis, which no waiting mends.
    server.start_again();
    let (status, _) = hub.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(hub.log().contains("failed to open the log that Redis keeps"), "{}", hub.log());
    assert!(!hub.log().contains("s3cret"), "{}", hub.log());

    let log = format!("redis://127.0.0.1:{}/log", server.port());
    server.kill();
    let mut hub = Hub::starting_over(&log).await;
    is_ready(&hub, false).await;
    server.start_again();
    hub.announced().await;
    is_ready(&hub, true).await;
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
