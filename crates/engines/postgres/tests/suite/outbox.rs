//! Applications that publish in transactions of their own, many at once.

use std::collections::{BTreeMap, HashMap};

use tidings_engine_servers::PostgresServer;
use tidings_protocol::Event;
use tokio::task::JoinSet;

use crate::support::{Reader, batch, client, hub, text, url};

const APPLICATIONS: usize = 8;
const TRANSACTIONS: usize = 60;

/// Runs transactions of one to five events; some are rolled back, some in part, some last. Each takes a number from a
/// counter that it keeps locked until its end, before it publishes. Gives the numbers and the events that were committed.
async fn application(url: String, name: usize) -> Vec<(i64, Vec<String>)> {
    let client = client(&url).await;
    let mut committed = Vec::new();
    for transaction in 0..TRANSACTIONS {
        let counter = format!("counter_{}", (name + transaction) % 3);
        client.batch_execute("BEGIN").await.unwrap();
        if transaction % 3 == 0 {
            client.batch_execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").await.unwrap();
        }
        let is_long = transaction % 20 == 7;
        if is_long {
            // What it has published waits for it, and nobody else does.
            let early = format!("{name}/{transaction}/early");
            client.execute("SELECT tidings.tidings_publish('early', $1::text)", &[&early]).await.unwrap();
            client.batch_execute("SELECT pg_sleep(0.3)").await.unwrap();
        }
        let taken = client
            .query_one(
                &format!("UPDATE numbers SET next = next + 1 WHERE name = '{counter}' RETURNING next"),
                &[],
            )
            .await;
        let number: i64 = match taken {
            Ok(row) => row.get(0),
            Err(error) => {
                assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::T_R_SERIALIZATION_FAILURE));
                client.batch_execute("ROLLBACK").await.unwrap();
                continue;
            }
        };
        let mut events = Vec::new();
        for part in 0..=(transaction % 5) {
            let data = format!("{counter}/{number}/{name}/{part}");
            client.execute("SELECT tidings.tidings_publish('many', $1::text)", &[&data]).await.unwrap();
            events.push(data);
        }
        if transaction % 7 == 2 {
            let undone = "SAVEPOINT s; SELECT tidings.tidings_publish('many', 'undone'); ROLLBACK TO s";
            client.batch_execute(undone).await.unwrap();
        }
        let is_undone = transaction % 4 == 1;
        client.batch_execute(if is_undone { "ROLLBACK" } else { "COMMIT" }).await.unwrap();
        if !is_undone {
            committed.push((number, events));
        }
    }
    committed
}

/// Checks that what readers saw is what was committed, and in which order.
fn check(events: &[Event], committed: &[(i64, Vec<String>)]) {
    let many: Vec<_> = events.iter().filter(|event| event.topic.as_str() == "many").collect();
    let place: HashMap<_, _> = many.iter().enumerate().map(|(place, event)| (text(event), place)).collect();
    assert_eq!(place.len(), many.len(), "an event came twice");
    assert_eq!(many.len(), committed.iter().map(|(_, events)| events.len()).sum::<usize>());
    let mut by_counter: BTreeMap<&str, Vec<(i64, usize)>> = BTreeMap::new();
    for (number, events) in committed {
        let places: Vec<_> = events.iter().map(|data| place[data]).collect();
        let numbers: Vec<_> = places.iter().map(|place| many[*place].sequence).collect();
        assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a transaction was torn: {events:?}");
        let counter = events[0].split('/').next().unwrap();
        by_counter.entry(counter).or_default().push((*number, places[0]));
    }
    for (counter, mut transactions) in by_counter {
        transactions.sort_unstable();
        let places: Vec<_> = transactions.iter().map(|(_, place)| *place).collect();
        assert!(places.is_sorted(), "transactions that waited for each other are out of order: {counter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_applications_at_once_lose_nothing_and_hold_nobody_up() {
    let Some(server) = PostgresServer::start() else { return };
    let url = url(&server);
    let hubs = [hub(&url).await, hub(&url).await];
    let admin = client(&url).await;
    let numbers = "CREATE TABLE numbers (name text PRIMARY KEY, next bigint NOT NULL DEFAULT 0);
        INSERT INTO numbers (name) VALUES ('counter_0'), ('counter_1'), ('counter_2')";
    admin.batch_execute(numbers).await.unwrap();
    // One that is open for as long as the test runs: what it has published comes last.
    let longest = client(&url).await;
    longest.batch_execute("BEGIN; SELECT tidings.tidings_publish('longest', 'longest')").await.unwrap();
    let mut readers = Vec::new();
    for hub in &hubs {
        readers.push(Reader::of(hub).await);
    }
    let mut applications = JoinSet::new();
    for name in 0..APPLICATIONS {
        applications.spawn(application(url.clone(), name));
    }
    // Meanwhile hubs publish, and are not held up.
    let mut published = 0;
    let mut committed = Vec::new();
    loop {
        tokio::select! {
            biased;
            done = applications.join_next() => match done {
                Some(done) => committed.extend(done.unwrap()),
                None => break,
            },
            answer = hubs[published % 2].publish(batch("hub", "x")) => {
                answer.unwrap();
                published += 1;
            }
        }
    }
    hubs[0].publish(batch("hub", "last but one")).await.unwrap();
    let mut events = readers[0].until("last but one").await;
    assert!(events.iter().all(|event| event.topic.as_str() != "longest"));
    longest.batch_execute("COMMIT").await.unwrap();
    events.extend(readers[0].until("longest").await);
    hubs[1].publish(batch("hub", "last")).await.unwrap();
    events.extend(readers[0].until("last").await);
    assert_eq!(readers[1].until("last").await, events, "both hubs tell the same");
    assert!(published > 20, "{published}");
    check(&events, &committed);
    let left: i64 = admin.query_one("SELECT count(*) FROM tidings.outbox", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_while_no_hub_ran_is_found() {
    let Some(server) = PostgresServer::start() else { return };
    let url = url(&server);
    hub(&url).await.close().await.unwrap();
    let application = client(&url).await;
    // More than is moved at once.
    let calls = "SELECT tidings.tidings_publish('a', number::text) FROM generate_series(1, 12345) AS number";
    application.batch_execute(calls).await.unwrap();
    let hub = hub(&url).await;
    let mut reader = Reader::of(&hub).await;
    let events = reader.until("12345").await;
    let expected: Vec<_> = (1..=12_345).map(|number| number.to_string()).collect();
    assert_eq!(events.iter().map(text).collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_found_also_where_nobody_was_notified() {
    let Some(server) = PostgresServer::start() else { return };
    let hub = hub(&url(&server)).await;
    let mut reader = Reader::of(&hub).await;
    let application = client(&url(&server)).await;
    application.batch_execute("SET tidings.notify = off").await.unwrap();
    for number in 0..3 {
        let data = number.to_string();
        application.execute("SELECT tidings.tidings_publish('a', $1::text)", &[&data]).await.unwrap();
        assert_eq!(reader.until(&data).await.len(), 1);
    }
}
