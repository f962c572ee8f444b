use tidings_engine_servers::NatsServer;
use tidings_log::{Batch, Log, TopicInfo, TopicQuery};
use tidings_protocol::{Selection, Selector};

use crate::support::{agree, event, open, publish, read, topic, url};

async fn list(log: &dyn Log) -> Vec<TopicInfo> {
    let query = TopicQuery { selector: &Selector::all(), after: None, limit: 10_000 };
    log.topics(query).await.unwrap()
}

/// A hub that starts knows of every topic what a hub that was there all the time knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_starts_knows_every_topic() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    let (long, deep) = ("ü".repeat(256), vec!["a"; 256].join("/"));
    let names = ["a", "a/b", "a.b", "a//b", "a b", "%", "%2E", "größe/α", "*a/>/b*", "$JS/API", &long, &deep];
    for (number, name) in names.iter().enumerate() {
        publish(&*log, name, &number.to_string()).await;
    }
    let several = names.iter().chain(&["only/in/batches"]).map(|name| event(name, "batch")).collect();
    log.append(Batch { events: several, close: None, idempotency: None }).await.unwrap();
    for number in 0..300 {
        publish(&*log, &format!("many/{number}"), "").await;
    }
    for name in ["a.b", "many/7", "ended/at/once"] {
        log.append(Batch { events: Vec::new(), close: Some(topic(name).into()), idempotency: None })
            .await
            .unwrap();
    }
    publish(&*log, names[0], "again").await;
    let started = open(&url(&server)).await;
    agree(&*started, &*log).await;
    let known = list(&*started).await;
    assert_eq!(known, list(&*log).await);
    assert_eq!(known.len(), names.len() + 1 + 300 + 1);
    for name in names {
        let found = read(&*started, 0, &Selection::new([topic(name).into()])).await;
        assert_eq!(found, read(&*log, 0, &Selection::new([topic(name).into()])).await);
        assert!(found.len() >= 2);
    }
}
