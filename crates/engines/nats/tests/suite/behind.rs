use std::time::Duration;

use tidings_engine::EngineConfig;
use tidings_engine_servers::NatsCluster;
use tidings_log::{AppendError, Batch, Log, ReadError, Retention, TopicInfo, TopicQuery};
use tidings_protocol::{Selection, Selector};

use crate::support::{WIDE, config, event, open_with, topic};

/// How often a node falls behind.
const ROUNDS: usize = 4;
/// Events of 2 MiB that it has to catch up with.
const BALLAST: usize = 10;

async fn list(log: &dyn Log) -> Vec<TopicInfo> {
    let query = TopicQuery { selector: &Selector::all(), after: None, limit: 10_000 };
    log.topics(query).await.unwrap()
}

/// Appends, again and again where the node was killed by which the hub follows.
async fn append(log: &dyn Log, batch: Batch) {
    loop {
        let Err(AppendError::Unavailable(_)) = log.append(batch.clone()).await else { return };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// NATS chooses by chance which node keeps the consumers that a hub reads the topics with. The tests of `load` say what
/// becomes of one whose node is behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_starts_while_a_node_catches_up_misses_no_topic() {
    let Some(mut cluster) = NatsCluster::start() else { return };
    let address = format!("nats://127.0.0.1:{}/LOG?replicas=3", cluster.nodes()[0].port());
    let retention = Retention { bytes: 1 << 30, ..Retention::default() };
    let wide = EngineConfig { retention, ..config() };
    let log = open_with(&address, wide).await;
    for round in 0..ROUNDS {
        let behind = if cluster.leader("LOG") == 1 { 2 } else { 1 };
        cluster.nodes()[behind].kill();
        for _ in 0..BALLAST {
            append(&*log, Batch::of(event("ballast", &"x".repeat(2 << 20)))).await;
        }
        for name in ["b", "c"] {
            append(&*log, Batch::of(event(&format!("topic/{round}/{name}"), "x"))).await;
        }
        let events = ["b", "c"].map(|name| event(&format!("batch/{round}/{name}"), "x")).to_vec();
        append(&*log, Batch { events, close: None, idempotency: None }).await;
        let close = Some(topic(&format!("topic/{round}/b")).into());
        append(&*log, Batch { events: Vec::new(), close, idempotency: None }).await;
        cluster.nodes()[behind].start_again();
        let started = open_with(&address, wide).await;
        assert_eq!(list(&*started).await, list(&*log).await, "round {round}");
        let batched = Selection::new([topic(&format!("batch/{round}/b")).into()]);
        let (mut after, mut found) = (0, 0);
        while found == 0 {
            match started.read(after, &batched, WIDE).await {
                Ok(chunk) => {
                    assert!(chunk.next > after, "the batch is not there");
                    (after, found) = (chunk.next, chunk.entries.len());
                }
                // A read may come to the node that is behind as well, and says so.
                Err(ReadError::Away { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => unreachable!("{error}"),
            }
        }
    }
}
