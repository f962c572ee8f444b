use std::time::Duration;

use async_nats::jetstream::stream;
use tidings_engine::EngineConfig;
use tidings_engine_servers::{NatsCluster, NatsServer};
use tidings_log::Retention;

use crate::raw::context;
use crate::support::{config, open, open_with, publish, refusal, url};

fn stream(name: &str, subject: &str) -> stream::Config {
    stream::Config { name: name.into(), subjects: vec![subject.into()], ..stream::Config::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_others_is_left_alone() {
    let Some(server) = NatsServer::start() else { return };
    let context = context(server.port()).await;
    context.create_stream(stream("OTHER", "orders.*")).await.unwrap();
    context.create_stream(stream("USED", "USED.>")).await.unwrap();
    context.publish("USED.topic.a", "hello".into()).await.unwrap().await.unwrap();
    let limited = stream::Config { max_messages_per_subject: 1, ..stream("FEW", "FEW.>") };
    context.create_stream(limited).await.unwrap();
    for (name, expected) in [
        ("OTHER", "should take only `OTHER.>`"),
        ("USED", "has messages of others"),
        ("FEW", "it should keep all"),
    ] {
        let refused = refusal(&format!("nats://127.0.0.1:{}/{name}", server.port())).await.to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    assert_eq!(context.get_stream("USED").await.unwrap().cached_info().state.messages, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_there_is_no_room_for_is_waited_for_and_that_is_said() {
    let small = "authorization { timeout: 60 }
        accounts { SMALL { jetstream { max_file: 1000000 }, users [{ user: hub, password: word }] } }";
    let Some(server) = NatsServer::start_with(small) else { return };
    let reason = refusal(&format!("nats://hub:word@127.0.0.1:{}/LOG", server.port())).await.to_string();
    assert!(reason.contains("failed to make the stream LOG") && reason.contains("storage"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_made_for_it_and_never_used_is_taken() {
    let Some(server) = NatsServer::start() else { return };
    let context = context(server.port()).await;
    context.create_stream(stream("LOG", "LOG.>")).await.unwrap();
    let (one, other) = (open(&url(&server)).await, open(&url(&server)).await);
    assert_eq!(one.bounds().epoch(), other.bounds().epoch());
    publish(&*one, "a", "x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubs_that_start_together_make_one_stream() {
    let Some(server) = NatsServer::start() else { return };
    let logs: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn({
                let url = url(&server);
                async move { open(&url).await }
            })
        })
        .collect();
    let mut epochs = Vec::new();
    for log in logs {
        epochs.push(log.await.unwrap().bounds().epoch());
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "{epochs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_keeps_what_the_hub_is_set_to_keep() {
    let Some(server) = NatsServer::start() else { return };
    publish(&*open(&url(&server)).await, "a", "x").await;
    let retention = Retention { age: Duration::from_secs(600), bytes: 5 << 20 };
    publish(&*open_with(&url(&server), EngineConfig { retention, ..config() }).await, "a", "x").await;
    let context = context(server.port()).await;
    let kept = context.get_stream("LOG").await.unwrap().cached_info().config.clone();
    assert_eq!((kept.max_age, kept.max_bytes), (Duration::from_secs(600), 5 << 20));
    assert_eq!(kept.duplicate_window, Duration::from_secs(600), "no longer than the age");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_options_are_those_of_the_stream() {
    let Some(mut cluster) = NatsCluster::start() else { return };
    let hosts = cluster.hosts();
    publish(&*open(&format!("nats://{hosts}/LOG?replicas=3&storage=memory")).await, "a", "x").await;
    let context = context(cluster.nodes()[0].port()).await;
    let made = context.get_stream("LOG").await.unwrap().cached_info().config.clone();
    assert_eq!((made.num_replicas, made.storage), (3, stream::StorageType::Memory));
}

/// Others may publish to the stream's subjects by mistake. That stops nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_no_hub_wrote_are_passed_over() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    let context = context(server.port()).await;
    publish(&*log, "a", "1").await;
    for subject in ["LOG.topic.a", "LOG.end.b", "LOG.batch", "LOG.other"] {
        context.publish(subject, "hello".into()).await.unwrap().await.unwrap();
    }
    publish(&*log, "a", "2").await;
    let all = tidings_protocol::Selection::all();
    for log in [log, open(&url(&server)).await] {
        let found = crate::support::read(&*log, 0, &all).await;
        assert_eq!(found.iter().map(|entry| &entry.data[..]).collect::<Vec<_>>(), [&b"1"[..], b"2"]);
    }
}
