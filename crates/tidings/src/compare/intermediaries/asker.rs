//! The requests with which it is found out what stands between.

use std::time::{Duration, Instant};

use super::exchange::{Answer, Exchange, Fault};
use crate::bench::server::Server;
use crate::compare::lane::Wire;
use crate::compare::site::Site;
use crate::failure::WrongArguments;

/// Asks one hub, of topics that nobody else has.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) server: Server,
    /// What comes before a path.
    prefix: String,
    /// The header fields that every request has.
    fields: String,
    /// What its topics begin with.
    topic: String,
}

/// How long an answer may take that nobody holds.
const TIMEOUT: Duration = Duration::from_secs(10);

// === impl Asker ===

impl Asker {
    pub(super) fn new(site: &Site, wire: Wire) -> Result<Self, WrongArguments> {
        let token = site.token().map(|token| format!("Authorization: Bearer {token}\r\n"));
        Ok(Self {
            server: site.server(Wire { http2: false, ..wire })?,
            prefix: site.prefix.clone(),
            fields: format!("Host: {}\r\n{}", site.authority, token.unwrap_or_default()),
            topic: format!("{}/between", site.dialect().run()),
        })
    }

    /// The path of one of its topics.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("/topics/{}/{name}", self.topic)
    }

    /// A request without a body.
    pub(super) fn get(&self, path: &str, fields: &str) -> Vec<u8> {
        format!("GET {}{path} HTTP/1.1\r\n{}{fields}\r\n", self.prefix, self.fields).into_bytes()
    }

    /// Asks over a connection of its own, and waits for the head.
    pub(super) fn ask(&self, path: &str, fields: &str) -> Result<(Exchange, Answer), Fault> {
        let mut exchange = Exchange::open(&self.server)?;
        exchange.send(&self.get(path, fields))?;
        let answer = exchange.head(Instant::now() + TIMEOUT)?;
        Ok((exchange, answer))
    }

    /// Publishes an event, and waits until the hub has it.
    pub(super) fn publish(&self, exchange: &mut Exchange, name: &str, data: &str) -> Result<(), Fault> {
        let head = format!(
            "POST {}{} HTTP/1.1\r\n{}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{data}",
            self.prefix,
            self.topic(name),
            self.fields,
            data.len()
        );
        exchange.send(head.as_bytes())?;
        let deadline = Instant::now() + TIMEOUT;
        let mut answer = exchange.head(deadline)?;
        let body = exchange.body(&mut answer, deadline)?;
        match answer.status {
            200 | 201 => Ok(()),
            status => Err(Fault::Failed(refusal("publishing", status, &body))),
        }
    }
}

/// What a hub says of what it refuses, with what to do about it.
pub(super) fn refusal(what: &str, status: u16, body: &[u8]) -> String {
    let problem = serde_json::from_slice::<serde_json::Value>(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    let advice = match status {
        401 | 403 => {
            "; `--token` is shown to the hub, and `--topic` says below which topic it may publish and read"
        }
        429 => "; the hub or something before it allows fewer: give fewer `--clients` and lower `--rates`",
        _ => "",
    };
    match detail {
        Some(detail) => {
            format!("{what} was answered with status {status}: {}{advice}", crate::terminal::harmless(detail))
        }
        None => format!("{what} was answered with status {status}{advice}"),
    }
}
