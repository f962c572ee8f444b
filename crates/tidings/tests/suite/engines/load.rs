//! Publishers and readers that use several hubs, and go to another one where theirs is of no use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tidings_event_stream::{Item, Parser};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::connection::Failure;
use crate::support::{Connection, Hub, Version, within};

/// What goes on at the hubs.
pub(super) struct Load {
    publishers: JoinSet<Vec<LoggedEvent>>,
    readers: JoinSet<Vec<LoggedEvent>>,
    acknowledged: watch::Sender<usize>,
    refused: watch::Sender<usize>,
    stop: watch::Sender<bool>,
    last: watch::Sender<Option<u64>>,
}

/// Where an event is in the log, and what it says.
type LoggedEvent = (u64, String);

/// The places that publishers and readers have in common.
#[derive(Clone)]
struct Hubs(Vec<SocketAddr>);

struct Publisher {
    number: usize,
    hubs: Hubs,
    turn: usize,
    connection: Option<Connection>,
    acknowledged: watch::Sender<usize>,
    refused: watch::Sender<usize>,
}

struct Reader {
    hubs: Hubs,
    turn: usize,
    cursor: Option<String>,
    seen: Vec<LoggedEvent>,
}

const PUBLISHERS: usize = 4;
const READERS: usize = 4;
/// How long a client waits for a hub that says nothing before it goes to another.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a client waits before it goes to another hub.
const PAUSE: Duration = Duration::from_millis(20);

// === impl Load ===

impl Load {
    /// Begins: publishers and readers spread over the hubs.
    pub(super) fn over(hubs: &[Hub]) -> Self {
        Self::at(hubs.iter().map(Hub::address).collect())
    }

    /// Begins at these addresses.
    pub(super) fn at(addresses: Vec<SocketAddr>) -> Self {
        let places = Hubs(addresses);
        let (acknowledged, refused) = (watch::Sender::new(0), watch::Sender::new(0));
        let (stop, last) = (watch::Sender::new(false), watch::Sender::new(None));
        let (mut publishers, mut readers) = (JoinSet::new(), JoinSet::new());
        for number in 0..PUBLISHERS {
            let publisher = Publisher {
                number,
                hubs: places.clone(),
                turn: number,
                connection: None,
                acknowledged: acknowledged.clone(),
                refused: refused.clone(),
            };
            publishers.spawn(publisher.publish(stop.subscribe()));
        }
        for number in 0..READERS {
            let reader = Reader { hubs: places.clone(), turn: number, cursor: None, seen: Vec::new() };
            readers.spawn(reader.read(last.subscribe()));
        }
        Self { publishers, readers, acknowledged, refused, stop, last }
    }

    /// Waits until so many more publications have been acknowledged.
    pub(super) async fn goes_on(&self, count: usize) {
        let mut acknowledged = self.acknowledged.subscribe();
        let goal = *acknowledged.borrow() + count;
        within("publications to be acknowledged", acknowledged.wait_for(|now| *now >= goal)).await.unwrap();
    }

    /// Waits until so many more publications have been answered with 503.
    pub(super) async fn is_refused(&self, count: usize) {
        let mut refused = self.refused.subscribe();
        let goal = *refused.borrow() + count;
        within("publications to be refused", refused.wait_for(|now| *now >= goal)).await.unwrap();
    }

    /// Ends it, and checks that every reader saw everything that was acknowledged, exactly once and in order.
    pub(super) async fn ends(mut self) {
        self.stop.send_replace(true);
        let mut acknowledged = BTreeMap::new();
        while let Some(own) = within("the publishers to end", self.publishers.join_next()).await {
            let own = own.unwrap();
            assert!(own.is_sorted(), "a publisher's events are in the order that it published them in");
            for (sequence, mark) in own {
                let other = acknowledged.insert(sequence, mark);
                assert_eq!(other, None, "two events have the sequence number {sequence}");
            }
        }
        self.last.send_replace(acknowledged.keys().next_back().copied());
        let acknowledged: Vec<_> = acknowledged.into_iter().collect();
        while let Some(seen) = within("the readers to see everything", self.readers.join_next()).await {
            let seen = seen.unwrap();
            for (place, (seen, acknowledged)) in seen.iter().zip(&acknowledged).enumerate() {
                assert_eq!(seen, acknowledged, "event {place}");
            }
            assert_eq!(seen.len(), acknowledged.len());
        }
        println!("{} events", acknowledged.len());
    }
}

// === impl Hubs ===

impl Hubs {
    fn get(&self, turn: usize) -> SocketAddr {
        self.0[turn % self.0.len()]
    }
}

// === impl Publisher ===

impl Publisher {
    /// Publishes until it is told to stop, each thing until it is acknowledged, wherever.
    async fn publish(mut self, stop: watch::Receiver<bool>) -> Vec<LoggedEvent> {
        let mut own = Vec::new();
        for count in 0.. {
            if *stop.borrow() {
                break;
            }
            let key = format!("{}-{count}", self.number);
            let marks: Vec<_> = (0..1 + count % 3).map(|part| format!("{key}-{part}")).collect();
            let lines: String = marks.iter().map(|mark| format!("{}\n", json!({"data": mark}))).collect();
            let path = format!("/topics/load/{}", count % 5);
            let ids = loop {
                match self.attempt(&path, &key, &lines).await {
                    Ok(Some(answer)) => break answer["ids"].as_array().unwrap().clone(),
                    Ok(None) => self.refused.send_modify(|count| *count += 1),
                    Err(_) => {}
                }
                self.connection = None;
                self.turn += 1;
                sleep(PAUSE).await;
            };
            assert_eq!(ids.len(), marks.len());
            own.extend(ids.iter().map(|id| sequence(id.as_str().unwrap())).zip(marks));
            self.acknowledged.send_modify(|count| *count += 1);
        }
        own
    }

    /// Publishes once: the answer, or nothing where the hub takes no writes now.
    async fn attempt(&mut self, path: &str, key: &str, body: &str) -> Result<Option<Value>, Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(Connection::open(self.hubs.get(self.turn), Version::Http1).await?),
        };
        let request = Request::post(path)
            .header("content-type", "application/x-ndjson")
            .header("idempotency-key", key)
            .body(Full::new(Bytes::from(body.to_owned())))?;
        // A frozen engine says nothing for a while, and so the hub.
        let response = timeout(3 * PATIENCE, connection.send(request)).await??;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        // What a proxy says of a hub that has just gone.
        if matches!(head.status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
            return Ok(None);
        }
        if head.status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(head.headers.contains_key("retry-after"), "{}", String::from_utf8_lossy(&body));
            return Ok(None);
        }
        assert!(head.status.is_success(), "{}", String::from_utf8_lossy(&body));
        Ok(Some(serde_json::from_slice(&body)?))
    }
}

// === impl Reader ===

impl Reader {
    /// Reads until it has seen the last event, once it is known which that is.
    async fn read(mut self, last: watch::Receiver<Option<u64>>) -> Vec<LoggedEvent> {
        while !self.is_done(&last) {
            // The hub ended, or there is none.
            drop(self.follow(&last).await);
            self.turn += 1;
            sleep(PAUSE).await;
        }
        self.seen
    }

    fn is_done(&self, last: &watch::Receiver<Option<u64>>) -> bool {
        let seen = self.seen.last().map_or(0, |(sequence, _)| *sequence);
        last.borrow().is_some_and(|last| seen >= last)
    }

    /// Follows by one stream until it ends, the hub says nothing, or there is nothing more to see.
    async fn follow(&mut self, last: &watch::Receiver<Option<u64>>) -> Result<(), Failure> {
        let mut connection = Connection::open(self.hubs.get(self.turn), Version::Http1).await?;
        let mut request = Request::get("/topics/load/*?since=earliest&heartbeat=1");
        request = request.header("accept", "text/event-stream");
        if let Some(cursor) = &self.cursor {
            request = request.header("last-event-id", cursor);
        }
        let response = timeout(PATIENCE, connection.send(request.body(Full::default())?)).await??;
        if response.status() != 200 {
            return Ok(());
        }
        let mut body = response.into_body();
        let mut parser = Parser::default();
        while let Some(frame) = timeout(PATIENCE, body.frame()).await? {
            let Ok(data) = frame?.into_data() else { continue };
            parser.feed(&data, |item| match item {
                Item::Event(event) => {
                    assert_eq!(event.event, "", "{}", event.data);
                    self.seen.push((sequence(&event.id), event.data));
                    self.cursor = Some(event.id);
                }
                Item::Id(id) => self.cursor = Some(id),
                Item::Retry(_) | Item::Comment => {}
            })?;
            if self.is_done(last) {
                break;
            }
        }
        Ok(())
    }
}

/// The place of an event in the log, which its id ends with.
fn sequence(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}
