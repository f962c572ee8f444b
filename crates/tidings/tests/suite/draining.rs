//! The end of a hub with very many streams open.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Authority, Connection, Hub, Version, within};

const STREAMS: usize = 5_000;
const PER_CONNECTION: usize = 200;

/// How the streams are carried.
#[derive(Debug, Clone, Copy)]
struct Way {
    version: Version,
    encrypted: bool,
    streams: usize,
}

/// Opens as many streams of `/topics/a` on as few connections as it takes, and reads each to its end.
async fn open(hub: &Hub, authority: &Arc<Authority>, way: Way) -> JoinSet<String> {
    let (ready, mut readers) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    let on_each = if way.version == Version::Http2 { PER_CONNECTION } else { 1 };
    let mut opening = JoinSet::new();
    for _ in 0..way.streams / on_each {
        let (address, authority) = (hub.address(), Arc::clone(authority));
        opening.spawn(async move {
            let mut connection = if way.encrypted {
                Connection::open_tls(address, way.version, &authority).await.unwrap()
            } else {
                Connection::open(address, way.version).await.unwrap()
            };
            let mut bodies = Vec::new();
            for _ in 0..on_each {
                let request = Request::get("/topics/a").header("accept", "text/event-stream");
                let response = connection.send(request.body(Full::default()).unwrap()).await.unwrap();
                assert_eq!(response.status(), 200);
                bodies.push(response.into_body());
            }
            (connection, bodies)
        });
        // Not all handshakes at once.
        while opening.len() > 50 {
            follow(opening.join_next().await.unwrap().unwrap(), &mut readers, &ready);
        }
    }
    while let Some(opened) = opening.join_next().await {
        follow(opened.unwrap(), &mut readers, &ready);
    }
    let all = async {
        while ready.load(Ordering::Relaxed) < way.streams {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within("all streams to begin", all).await;
    readers
}

fn follow(
    (connection, bodies): (Connection, Vec<Incoming>),
    readers: &mut JoinSet<String>,
    ready: &Arc<AtomicUsize>,
) {
    let connection = Arc::new(connection);
    for mut body in bodies {
        let (ready, connection) = (Arc::clone(ready), Arc::clone(&connection));
        readers.spawn(async move {
            let mut text = Vec::new();
            while let Some(frame) = body.frame().await {
                if text.is_empty() {
                    ready.fetch_add(1, Ordering::Relaxed);
                }
                // An error is an end that is no proper one.
                text.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            drop(connection);
            String::from_utf8(text).unwrap()
        });
    }
}

/// What a stream was given: the first block, the events from the first on, and when to come back. Gives the delay and the
/// number of events.
fn check(text: &str) -> (u64, usize) {
    let blocks: Vec<_> = text.strip_suffix("\n\n").unwrap().split("\n\n").collect();
    let [opening, events @ .., farewell] = &*blocks else { panic!("no farewell in {text}") };
    assert!(opening.starts_with("retry: 2000\nid: "), "{text}");
    for (number, block) in events.iter().enumerate() {
        assert!(block.ends_with(&format!("\ndata: {number}")), "{block} is not event {number}");
    }
    let delay: u64 = farewell.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!(delay <= 5_000, "{delay}");
    (delay, events.len())
}

async fn drains(way: Way) {
    let authority = Arc::new(Authority::new());
    let mut hub =
        Hub::over_tls(&authority, &["--max-streams-per-connection", "250", "--drain-timeout", "60s"]).await;
    let mut readers = open(&hub, &authority, way).await;
    // Some of these are on their way while the hub ends.
    let publishing = tokio::spawn({
        let address = hub.address();
        async move {
            let mut connection = Connection::open(address, Version::Http1).await.unwrap();
            for number in 0.. {
                let request = Request::post("/topics/a").body(Full::from(number.to_string())).unwrap();
                match connection.ask(request).await {
                    Ok(answer) => assert_eq!(answer.status, 201),
                    Err(_) => return number,
                }
            }
            unreachable!("the hub ends")
        }
    });
    // As many as there are readers: whoever is given none has others make up for it.
    let delivered = async {
        while hub.metric("tidings_delivered_events_total{transport=\"sse\"}").await < way.streams as u64 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within("events to be delivered", delivered).await;
    let asked = Instant::now();
    hub.signal(Signal::TERM);
    let (ended, _) = hub.ended().await;
    println!("{way:?}: {:.2} s from SIGTERM to the end", asked.elapsed().as_secs_f64());
    assert!(ended.success(), "{ended}");
    assert!(!hub.log().contains("did not end in time"), "{}", hub.log());
    let published = within("the publisher to be told", publishing).await.unwrap();
    assert!(published > 0);
    let (mut delays, mut delivered) = (Vec::new(), 0);
    while let Some(text) = within("a reader to end", readers.join_next()).await {
        let (delay, events) = check(&text.unwrap());
        // One may have been written whose publisher was not told any more.
        assert!(events <= published + 1, "{events} of {published} events");
        delays.push(delay);
        delivered += events;
    }
    assert!(delivered >= way.streams, "{delivered} events for {} streams", way.streams);
    assert_eq!(delays.len(), way.streams);
    // They come back one after the other, not in a crowd: a tenth of the time sees about a tenth of them.
    assert!(delays.iter().collect::<HashSet<_>>().len() > way.streams / 4);
    for tenth in 0..10 {
        let then = delays.iter().filter(|&&delay| delay.min(4_999) / 500 == tenth).count();
        assert!((way.streams / 20..way.streams / 5).contains(&then), "{then} of {} in {tenth}", way.streams);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_connections_end_properly() {
    drains(Way { version: Version::Http1, encrypted: false, streams: STREAMS }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_streams_of_few_connections_end_properly() {
    drains(Way { version: Version::Http2, encrypted: true, streams: STREAMS }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_encrypted_connections_end_properly() {
    drains(Way { version: Version::Http1, encrypted: true, streams: 1_000 }).await;
}
