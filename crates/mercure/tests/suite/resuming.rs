use tidings_mercure::MercureConfig;

use crate::support::{Bench, config, reader_of};

async fn fill(bench: &Bench) -> Vec<String> {
    let mut ids = Vec::new();
    for (place, id) in ["", "own-1", "", "urn:uuid:1", "own-1"].into_iter().enumerate() {
        let data = place.to_string();
        ids.push(bench.publish(&[("topic", "a"), ("data", &data), ("id", id)]).await);
    }
    ids
}

async fn follows(bench: &Bench, name: &str, id: &str, told: &str, wanted: &[&str]) {
    let field = format!("last-event-id: {id}\r\n");
    let mut reader = match name {
        "" => bench.get(&[("topic", "a")], &field).await,
        name => bench.get(&[("topic", "a"), (name, id)], "").await,
    };
    assert_eq!(reader.field("last-event-id"), Some(told), "{name} {id}");
    for data in wanted {
        assert_eq!(reader.data().await, *data, "{name} {id}");
    }
    bench.publish(&[("topic", "a"), ("data", "new")]).await;
    assert_eq!(reader.data().await, "new", "{name} {id}");
}

/// From every id that there was, by each way to say it, and from those that there were not.
#[tokio::test]
async fn a_subscriber_goes_on_after_what_it_has() {
    let all = ["0", "1", "2", "3", "4"];
    for name in ["", "lastEventID", "last_event_id", "Last-Event-ID"] {
        let bench = Bench::start(config()).await;
        let ids = fill(&bench).await;
        follows(&bench, name, "own-1", "own-1", &[]).await;
        drop(bench);
        let bench = Bench::start(config()).await;
        let ids_again = fill(&bench).await;
        assert_eq!(ids[1], ids_again[1]);
        follows(&bench, name, &ids_again[0], &ids_again[0], &all[1..]).await;
    }
    for (id, told, from) in [
        ("urn:uuid:1", "urn:uuid:1", 4),
        ("earliest", "earliest", 0),
        ("never issued", "earliest", 0),
        ("urn:tidings:zzzzzzzz-1", "earliest", 0),
    ] {
        let bench = Bench::start(config()).await;
        fill(&bench).await;
        follows(&bench, "lastEventID", id, told, &all[from..]).await;
    }
}

#[tokio::test]
async fn the_field_wins_over_the_parameter_and_without_either_nothing_is_told() {
    let bench = Bench::start(config()).await;
    fill(&bench).await;
    let mut reader =
        bench.get(&[("topic", "a"), ("lastEventID", "earliest")], "last-event-id: urn:uuid:1\r\n").await;
    assert_eq!(reader.data().await, "4");
    let reader = bench.get(&[("topic", "a"), ("lastEventID", "")], "").await;
    assert_eq!(reader.field("last-event-id"), None);
}

/// What the reference hub does not hold: more than its history, after a restart, by ids of both kinds.
#[tokio::test]
async fn history_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::on_disk(config(), folder.path()).await;
    let first = bench.publish(&[("topic", "a"), ("data", "0")]).await;
    let batch = (1..3_000)
        .map(|place: u32| tidings_protocol::NewEvent::text("a".parse().unwrap(), place.to_string()));
    bench
        .hub
        .publish(tidings_log::Batch { events: batch.collect(), close: None, idempotency: None })
        .await
        .unwrap();
    bench.publish(&[("topic", "a"), ("topic", "b"), ("data", "3000"), ("id", "own")]).await;
    bench.publish(&[("topic", "a"), ("data", "3001")]).await;
    bench.stop().await;
    let bench = Bench::on_disk(config(), folder.path()).await;
    let mut reader = bench.get(&[("topic", "a"), ("lastEventID", &first)], "").await;
    assert_eq!(reader.field("last-event-id"), Some(&*first));
    for place in 1..=3_001 {
        assert_eq!(reader.data().await, place.to_string());
    }
    let mut reader = bench.get(&[("topic", "a"), ("lastEventID", "own")], "").await;
    assert_eq!(reader.field("last-event-id"), Some("own"));
    assert_eq!(reader.data().await, "3001");
    bench.stop().await;
}

/// The rights of now count, for what was published before too; and what somebody may not read is not told by its id.
#[tokio::test]
async fn replay_obeys_the_rights_of_now() {
    let bench = Bench::start(MercureConfig { anonymous: true, ..config() }).await;
    bench.publish(&[("topic", "a"), ("data", "secret"), ("id", "s"), ("private", "on")]).await;
    bench.publish(&[("topic", "a"), ("data", "open")]).await;
    let query = [("topic", "a"), ("lastEventID", "earliest")];
    assert_eq!(bench.subscribe(&query, None).await.data().await, "open");
    assert_eq!(bench.subscribe(&query, Some(&reader_of(&["b"]))).await.data().await, "open");
    assert_eq!(bench.subscribe(&query, Some(&reader_of(&["a"]))).await.data().await, "secret");
    let query = [("topic", "a"), ("lastEventID", "s")];
    let mut reader = bench.subscribe(&query, None).await;
    assert_eq!(reader.field("last-event-id"), Some("earliest"));
    assert_eq!(reader.data().await, "open");
    let reader = bench.subscribe(&query, Some(&reader_of(&["a"]))).await;
    assert_eq!(reader.field("last-event-id"), Some("s"));
}
