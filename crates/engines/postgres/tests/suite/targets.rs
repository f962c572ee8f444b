//! How fast the log is. Nothing is asserted: `cargo test --release -p tidings-postgres --test suite -- --ignored
//! --nocapture` prints it.

use std::time::{Duration, Instant};

use tidings_engine_servers::PostgresServer;
use tidings_hub::{Hub, HubConfig};
use tidings_log::Batch;
use tidings_protocol::NewEvent;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Reader, batch, client, hub, open, topic, url};

const DATA: usize = 200;

fn events(count: usize) -> Batch {
    let data = "x".repeat(DATA);
    Batch { events: vec![NewEvent::text(topic("a"), data); count], close: None, idempotency: None }
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what}: p50 {:?}, p99 {:?}, worst {:?}, of {}", at(0.5), at(0.99), at(1.0), times.len());
}

/// Publishes from so many tasks at once, and says how many events there were in a second.
async fn flat_out(what: &str, hub: &Hub, publishers: usize, size: usize, rounds: usize) {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..publishers {
        let hub = hub.clone();
        tasks.spawn(async move {
            for _ in 0..rounds {
                hub.publish(events(size)).await.unwrap();
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let count = publishers * rounds * size;
    println!("{what}: {:.0} events/s, of {count}", count as f64 / begun.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn targets() {
    let Some(server) = PostgresServer::start() else { return };
    let url = url(&server);
    let [one, other] = [hub(&url).await, hub(&url).await];

    let mut reader = Reader::of(&other).await;
    let (mut receipts, mut answers) = (Vec::new(), Vec::new());
    for number in 0..1_000 {
        let data = format!("{number:0>DATA$}");
        let begun = Instant::now();
        let answer = tokio::spawn({
            let (one, batch) = (one.clone(), batch("a", &data));
            async move {
                one.publish(batch).await.unwrap();
                begun.elapsed()
            }
        });
        reader.until(&data).await;
        receipts.push(begun.elapsed());
        answers.push(answer.await.unwrap());
        sleep(Duration::from_millis(2)).await;
    }
    show("publish to receipt at the other hub", receipts);
    show("publish to acknowledgement", answers);

    let application = client(&url).await;
    let call = application.prepare("SELECT tidings.tidings_publish('a', $1::text)").await.unwrap();
    let (mut receipts, mut answers) = (Vec::new(), Vec::new());
    for number in 0..300 {
        let data = format!("from an application {number:0>DATA$}");
        let begun = Instant::now();
        application.execute(&call, &[&data]).await.unwrap();
        answers.push(begun.elapsed());
        reader.until(&data).await;
        receipts.push(begun.elapsed());
    }
    show("tidings_publish to receipt", receipts);
    show("tidings_publish itself", answers);

    flat_out("1,000 publishers of single events", &one, 1_000, 1, 100).await;
    flat_out("8 publishers of batches of 500", &one, 8, 500, 50).await;
    flat_out("1,000 publishers, 10 events each", &one, 1_000, 10, 20).await;

    let fresh = format!("{url}?schema=replay");
    let filled = hub(&fresh).await;
    for _ in 0..100 {
        filled.publish(events(1_000)).await.unwrap();
    }
    let reading = Hub::new(open(&fresh).await, HubConfig::default());
    let mut reader = Reader::of(&reading).await;
    let (begun, mut count) = (Instant::now(), 0);
    while count < 100_000 {
        count += reader.next().await.1.len();
    }
    println!("replay of 100,000 events: {:?}", begun.elapsed());
}
