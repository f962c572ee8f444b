//! What every test of an engine that goes away looks at.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use tokio::time::sleep;

use crate::support::connection::Failure;
use crate::support::{Connection, Hub, Version, within};

/// A stream of JSON lines that is looked at now and then.
pub(super) struct Watcher {
    _connection: Connection,
    body: Incoming,
    text: String,
    /// What was said before this has been read.
    since: Instant,
}

/// What a watcher asks heartbeats for: the shortest interval that there is.
const HEARTBEAT: Duration = Duration::from_secs(1);

// === impl Watcher ===

impl Watcher {
    pub(super) async fn of(hub: &Hub, topic: &str) -> Self {
        Self::from(hub, topic, "latest").await
    }

    /// A stream that begins somewhere in the log.
    pub(super) async fn from(hub: &Hub, topic: &str, since: &str) -> Self {
        let begun = Instant::now();
        let mut connection = Connection::open(hub.address(), Version::Http1).await.unwrap();
        let request =
            Request::get(format!("/topics/{topic}?since={since}&heartbeat={}", HEARTBEAT.as_secs()));
        let request = request.header("accept", "application/x-ndjson");
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let response = within("a stream", connection.send(request)).await.unwrap();
        assert_eq!(response.status(), 200);
        Self { _connection: connection, body: response.into_body(), text: String::new(), since: begun }
    }

    /// Waits for a line like this: the stream is open, and has been.
    pub(super) async fn sees(&mut self, part: &str) {
        let begun = Instant::now();
        let line = async {
            loop {
                if let Some((line, rest)) = self.text.split_once('\n') {
                    let found = if part.is_empty() { line.is_empty() } else { line.contains(part) };
                    self.text = rest.to_owned();
                    if found {
                        return;
                    }
                    continue;
                }
                let frame = self.body.frame().await.expect("the stream stays open").unwrap();
                self.text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
        };
        within("a line on a stream", line).await;
        self.since = begun;
    }

    /// Waits for so many events of [`publish_many`].
    pub(super) async fn sees_many(&mut self, count: usize) {
        for number in 0..count {
            self.sees(&format!("\"{number} x")).await;
        }
    }

    /// Waits for a sign of life that is newer than this call.
    pub(super) async fn lives(&mut self) {
        let begun = Instant::now();
        // More than can have been waiting in the socket.
        let waiting = self.since.elapsed().as_secs() / HEARTBEAT.as_secs() + 2;
        for _ in 0..=waiting {
            self.sees("").await;
        }
        self.since = begun;
    }
}

/// Publishes more than a hub with 64 KiB of memory holds, and says how many events that is.
pub(super) async fn publish_many(hub: &Hub, topic: &str) -> usize {
    let count = 200;
    for number in 0..count {
        hub.publish(topic, format!("{number} {}", "x".repeat(1_000))).await;
    }
    count
}

/// What `/readyz` says, where the hub listens already.
async fn ask(hub: &Hub) -> Result<u16, Failure> {
    let mut connection = Connection::open(hub.address(), Version::Http1).await?;
    let answer = connection.ask(Request::get("/readyz").body(Full::<Bytes>::default())?).await?;
    Ok(answer.status.as_u16())
}

/// Waits until `/readyz` of a hub says so.
pub(super) async fn is_ready(hub: &Hub, ready: bool) {
    let status = if ready { 200 } else { 503 };
    let asked = async {
        while ask(hub).await.ok() != Some(status) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    within(&format!("/readyz to be {status}"), asked).await;
}
