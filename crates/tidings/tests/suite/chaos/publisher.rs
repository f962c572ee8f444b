use std::net::SocketAddr;

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::LoggedEvent;
use super::reader::sequence;
use crate::support::connection::Failure;
use crate::support::{Answer, Connection, Version};

/// Publishes one thing after the other, each with an idempotency key, again and again until it is acknowledged.
pub(super) struct Publisher {
    number: u64,
    address: SocketAddr,
    random: Rng,
    connection: Option<Connection>,
    acknowledged: Vec<LoggedEvent>,
}

/// One publication: its events' marks, and how it is sent.
struct Publication {
    path: String,
    key: String,
    form: &'static str,
    body: String,
    marks: Vec<String>,
}

// === impl Publisher ===

impl Publisher {
    pub(super) fn new(number: u64, address: SocketAddr, random: Rng) -> Self {
        Self { number, address, random, connection: None, acknowledged: Vec::new() }
    }

    /// Publishes until it is told to stop, and gives everything that was acknowledged, which is everything.
    pub(super) async fn publish(
        mut self,
        mut running: watch::Receiver<bool>,
        stopped: watch::Receiver<bool>,
    ) -> Vec<LoggedEvent> {
        for count in 0.. {
            if *stopped.borrow() {
                break;
            }
            let publication = self.publication(count);
            let answer = loop {
                running.wait_for(|up| *up).await.unwrap();
                match self.attempt(&publication).await {
                    Ok(answer) if answer.status.is_success() => break answer.json(),
                    Ok(answer) => {
                        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
                    }
                    Err(_) => self.connection = None,
                }
            };
            let ids: Vec<&Value> = match &answer["ids"] {
                Value::Array(ids) => ids.iter().collect(),
                _ => vec![&answer["id"]],
            };
            assert_eq!(ids.len(), publication.marks.len(), "{answer}");
            for (id, mark) in ids.into_iter().zip(publication.marks) {
                self.acknowledged.push((sequence(id.as_str().unwrap()), mark));
            }
        }
        self.acknowledged
    }

    async fn attempt(&mut self, publication: &Publication) -> Result<Answer, Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(Connection::open(self.address, Version::Http1).await?),
        };
        let request = Request::post(&publication.path)
            .header("content-type", publication.form)
            .header("idempotency-key", &publication.key)
            .body(Full::new(Bytes::from(publication.body.clone())))?;
        connection.ask(request).await
    }

    /// Text of several lines, JSON, or a batch of some events.
    fn publication(&mut self, count: usize) -> Publication {
        let topic = self.random.u8(0..3);
        let path = format!("/topics/chaos/{topic}");
        let key = format!("{}-{count}", self.number);
        let filling = "x".repeat(self.random.usize(0..200));
        let (form, body, marks) = match self.random.u8(0..4) {
            0 => {
                let marks: Vec<String> =
                    (0..self.random.u8(2..6)).map(|part| format!("{key}-{part}")).collect();
                let lines = marks.iter().map(|mark| format!("{}\n", json!({"data": {"mark": mark}})));
                ("application/x-ndjson", lines.collect(), marks)
            }
            1 => {
                ("application/json", json!({"mark": key, "filling": filling}).to_string(), vec![key.clone()])
            }
            _ => ("text/plain", format!("{key}\n{filling}\n"), vec![key.clone()]),
        };
        Publication { path, key, form, body, marks }
    }
}
