//! Applications that publish in transactions of their own, many at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidings_engine_servers::PostgresServer;
use tidings_protocol::Event;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::support::{Reader, batch, client, hub, text, url};

const APPLICATIONS: usize = 8;
const TRANSACTIONS: usize = 60;

/// A transaction that was committed: its events, and the number that it has taken from a counter.
struct Committed {
    counter: Option<(String, i64)>,
    events: Vec<String>,
}

fn is_lasting(transaction: usize) -> bool {
    transaction % 20 == 7
}

fn is_undone(transaction: usize) -> bool {
    transaction % 4 == 1
}

/// Runs transactions of one to five events; some are rolled back, some in part. Most take a number from a counter that they
/// keep locked until their end, before they publish; one that could not be serialized is run again. Now and then each
/// application has one that lasts, which publishes before all the others of its kind have published, and ends after that:
/// so all are open at once. Half of these are rolled back. Gives what was committed.
async fn application(url: String, name: usize, all_open: Arc<Barrier>) -> Vec<Committed> {
    let client = client(&url).await;
    let mut committed = Vec::new();
    for transaction in 0..TRANSACTIONS {
        if is_lasting(transaction) {
            let is_undone = (name + transaction / 20) % 2 == 1;
            let events = lasting(&client, &format!("{name}/{transaction}"), &all_open, is_undone).await;
            if !is_undone {
                committed.push(Committed { counter: None, events });
            }
            continue;
        }
        loop {
            match counting(&client, name, transaction).await {
                Ok(done) => break committed.extend(done),
                // Any of its statements may say so, also the last one: none of it was done then.
                Err(error) => {
                    assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{error}");
                    client.batch_execute("ROLLBACK").await.unwrap();
                }
            }
        }
    }
    committed
}

/// Takes a number and publishes under it. Gives nothing where it was rolled back.
async fn counting(client: &Client, name: usize, transaction: usize) -> Result<Option<Committed>, Error> {
    let counter = format!("counter_{}", (name + transaction) % 3);
    client.batch_execute("BEGIN").await?;
    if transaction.is_multiple_of(3) {
        client.batch_execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").await?;
    }
    let take = format!("UPDATE numbers SET next = next + 1 WHERE name = '{counter}' RETURNING next");
    let number: i64 = client.query_one(&take, &[]).await?.get(0);
    let mut events = Vec::new();
    for part in 0..=(transaction % 5) {
        events.push(publish(client, format!("{counter}/{number}/{name}/{part}")).await?);
    }
    if transaction % 7 == 2 {
        let undone = "SAVEPOINT s; SELECT tidings.tidings_publish('many', 'undone'); ROLLBACK TO s";
        client.batch_execute(undone).await?;
    }
    let is_undone = is_undone(transaction);
    client.batch_execute(if is_undone { "ROLLBACK" } else { "COMMIT" }).await?;
    Ok((!is_undone).then_some(Committed { counter: Some((counter, number)), events }))
}

/// What it has published waits for it, and nobody else does.
async fn lasting(client: &Client, name: &str, all_open: &Barrier, is_undone: bool) -> Vec<String> {
    client.batch_execute("BEGIN").await.unwrap();
    let mut events = vec![publish(client, format!("{name}/first")).await.unwrap()];
    all_open.wait().await;
    events.push(publish(client, format!("{name}/second")).await.unwrap());
    client.batch_execute("SELECT pg_sleep(0.1)").await.unwrap();
    client.batch_execute(if is_undone { "ROLLBACK" } else { "COMMIT" }).await.unwrap();
    events
}

async fn publish(client: &Client, data: String) -> Result<String, Error> {
    client.execute("SELECT tidings.tidings_publish('many', $1::text)", &[&data]).await?;
    Ok(data)
}

/// Checks that what readers saw is what was committed, and in which order.
fn check(events: &[Event], committed: &[Committed]) {
    let many: Vec<_> = events.iter().filter(|event| event.topic.as_str() == "many").collect();
    let place: HashMap<_, _> = many.iter().enumerate().map(|(place, event)| (text(event), place)).collect();
    assert_eq!(place.len(), many.len(), "an event came twice");
    assert_eq!(many.len(), committed.iter().map(|committed| committed.events.len()).sum::<usize>());
    let mut by_counter: BTreeMap<&str, Vec<(i64, usize)>> = BTreeMap::new();
    for Committed { counter, events } in committed {
        let places: Vec<_> = events.iter().map(|data| place[data]).collect();
        let numbers: Vec<_> = places.iter().map(|place| many[*place].sequence).collect();
        assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "a transaction was torn: {events:?}");
        if let Some((counter, number)) = counter {
            by_counter.entry(counter).or_default().push((*number, places[0]));
        }
    }
    assert_eq!(by_counter.len(), 3);
    for (counter, mut transactions) in by_counter {
        transactions.sort_unstable();
        let places: Vec<_> = transactions.iter().map(|(_, place)| *place).collect();
        assert!(places.is_sorted(), "transactions that waited for each other are out of order: {counter}");
    }
    let lasted = committed.iter().filter(|committed| committed.counter.is_none()).count();
    assert_eq!(lasted, APPLICATIONS * TRANSACTIONS / 20 / 2);
    let counted = (0..TRANSACTIONS).filter(|number| !is_lasting(*number) && !is_undone(*number)).count();
    assert_eq!(committed.len() - lasted, APPLICATIONS * counted);
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
    let (mut applications, all_open) = (JoinSet::new(), Arc::new(Barrier::new(APPLICATIONS)));
    for name in 0..APPLICATIONS {
        applications.spawn(application(url.clone(), name, Arc::clone(&all_open)));
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

/// Two that each read what the other one changes cannot both be serialized. The second to commit is refused by whatever
/// statement comes next, which here is the one that publishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_could_not_be_serialized_is_repeated_and_published_once() {
    let Some(server) = PostgresServer::start() else { return };
    let url = url(&server);
    let hub = hub(&url).await;
    let mut reader = Reader::of(&hub).await;
    let (first, second) = (client(&url).await, client(&url).await);
    first.batch_execute("CREATE TABLE rota (name text, on_call boolean)").await.unwrap();
    first.batch_execute("INSERT INTO rota VALUES ('a', true), ('b', true)").await.unwrap();
    let leave = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM rota WHERE on_call";
    for client in [&first, &second] {
        client.batch_execute(leave).await.unwrap();
    }
    publish(&second, "seen by nobody".to_owned()).await.unwrap();
    first.batch_execute("UPDATE rota SET on_call = false WHERE name = 'a'").await.unwrap();
    second.batch_execute("UPDATE rota SET on_call = false WHERE name = 'b'").await.unwrap();
    publish(&first, "first".to_owned()).await.unwrap();
    first.batch_execute("COMMIT").await.unwrap();

    let refused = publish(&second, "refused".to_owned()).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{refused}");
    second.batch_execute("ROLLBACK").await.unwrap();
    second.batch_execute(leave).await.unwrap();
    publish(&second, "second".to_owned()).await.unwrap();
    second.batch_execute("COMMIT").await.unwrap();
    assert_eq!(reader.until("second").await.iter().map(text).collect::<Vec<_>>(), ["first", "second"]);
}

/// What publishing reads and writes sets no transactions against each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_only_publish_are_always_serialized() {
    let Some(server) = PostgresServer::start() else { return };
    let url = url(&server);
    let hub = hub(&url).await;
    let mut reader = Reader::of(&hub).await;
    let (first, second) = (client(&url).await, client(&url).await);
    for round in 0..20 {
        for client in [&first, &second] {
            client.batch_execute("BEGIN ISOLATION LEVEL SERIALIZABLE").await.unwrap();
        }
        for part in 0..2 {
            publish(&first, format!("{round}/first/{part}")).await.unwrap();
            publish(&second, format!("{round}/second/{part}")).await.unwrap();
        }
        first.batch_execute("COMMIT").await.unwrap();
        second.batch_execute("COMMIT").await.unwrap();
        let last = format!("{round}/second/1");
        assert_eq!(reader.until(&last).await.len(), 4);
    }
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

/// The hub that publishes notifies the others. Should that get lost, they find out by looking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_hub_has_published_is_found_also_where_nobody_was_notified() {
    let Some(server) = PostgresServer::start() else { return };
    let hub = hub(&url(&server)).await;
    let mut reader = Reader::of(&hub).await;
    hub.publish(batch("a", "first")).await.unwrap();
    reader.until("first").await;
    let admin = client(&url(&server)).await;
    let entry = "INSERT INTO tidings.entries (sequence, time, format, closing, topic, data)
        SELECT max(sequence) + 1, max(time), 0, 0, 'a', convert_to('second', 'UTF8') FROM tidings.entries";
    admin.batch_execute(entry).await.unwrap();
    assert_eq!(reader.until("second").await.len(), 1);
}
