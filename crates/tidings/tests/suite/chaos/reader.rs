use std::net::SocketAddr;

use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tidings_event_stream::{Item, Parser};
use tidings_websocket::Message;

use super::LoggedEvent;
use crate::support::connection::Failure;
use crate::support::websocket::Socket;
use crate::support::{Connection, Version};

/// Reads with a cursor and nothing else, by another transport each time.
pub(super) struct Reader {
    address: SocketAddr,
    random: Rng,
    cursor: Option<String>,
    /// Where the last answer was read whole, its connection may be used again.
    connection: Option<(Version, Connection)>,
    pub(super) seen: Vec<LoggedEvent>,
    rounds: [usize; 5],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The reader closed the connection in the middle of an answer.
    Cut,
    /// The answer came to its end.
    Whole,
    /// There was no hub, or it ended.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    ShortPoll,
    LongPoll,
    Stream,
    Lines,
    WebSocket,
}

/// Takes the bytes of an answer as they come, and gives the events and cursors that are complete.
enum Framing {
    Page(Vec<u8>),
    Stream(Box<Parser>),
    Lines(Vec<u8>),
}

const SELECTOR: &str = "chaos/**";

// === impl Reader ===

impl Reader {
    pub(super) fn new(address: SocketAddr, random: Rng) -> Self {
        Self { address, random, cursor: None, connection: None, seen: Vec::new(), rounds: [0; 5] }
    }

    /// The sequence number of the last event that it saw.
    pub(super) fn last(&self) -> u64 {
        self.seen.last().map_or(0, |(sequence, _)| *sequence)
    }

    /// How often each transport was used.
    pub(super) fn rounds(&self) -> String {
        let [short, long, stream, lines, sockets] = self.rounds;
        format!(
            "{short} short polls, {long} long polls, {stream} streams, {lines} streams of JSON lines, {sockets} WebSockets"
        )
    }

    /// Asks once, and closes the connection after a random number of bytes, if it comes to that.
    pub(super) async fn round(&mut self) -> Outcome {
        let transport = self.random.choice([
            Transport::ShortPoll,
            Transport::LongPoll,
            Transport::Stream,
            Transport::Lines,
            Transport::WebSocket,
        ]);
        let bytes = match self.random.u8(0..4) {
            0 => self.random.usize(0..100),
            1 => self.random.usize(0..2_000),
            _ => self.random.usize(0..20_000),
        };
        let outcome = match transport.unwrap() {
            Transport::WebSocket => self.ask_socket(bytes).await,
            transport => self.ask(transport, bytes).await,
        };
        outcome.unwrap_or_else(|_| {
            self.connection = None;
            Outcome::Lost
        })
    }

    /// The same by a WebSocket.
    async fn ask_socket(&mut self, bytes: usize) -> Result<Outcome, Failure> {
        self.rounds[Transport::WebSocket as usize] += 1;
        let request = self.request(Transport::WebSocket)?;
        let version = if self.random.bool() { Version::Http1 } else { Version::Http2 };
        let connection = Connection::open(self.address, version).await?;
        let Some(mut socket) = Socket::open(connection, version, request, self.random.bool()).await? else {
            return Ok(Outcome::Lost);
        };
        while let Some(message) = socket.next(bytes).await? {
            let Message::Text(text) = message else { return Ok(Outcome::Lost) };
            let message: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(message["gap"], Value::Null);
            if let Some(cursor) = message["next"].as_str() {
                self.cursor = Some(cursor.to_owned());
            } else if message["problem"] == Value::Null {
                self.see_object(&message);
            }
        }
        Ok(Outcome::Cut)
    }

    /// Asks once with a short poll, and reads the whole answer.
    pub(super) async fn whole_round(&mut self) -> Outcome {
        self.ask(Transport::ShortPoll, usize::MAX).await.unwrap_or(Outcome::Lost)
    }

    async fn ask(&mut self, transport: Transport, bytes: usize) -> Result<Outcome, Failure> {
        self.rounds[transport as usize] += 1;
        let request = self.request(transport)?;
        let version = if self.random.bool() { Version::Http1 } else { Version::Http2 };
        let kept = self.connection.take().filter(|(kept, _)| *kept == version && self.random.bool());
        let mut connection = match kept {
            Some((_, connection)) => connection,
            None => Connection::open(self.address, version).await?,
        };
        let response = connection.send(request).await?;
        if response.status() == 503 {
            return Ok(Outcome::Lost);
        }
        assert_eq!(response.status(), 200, "{transport:?}");
        let outcome = self.read(transport, response.into_body(), bytes).await?;
        if outcome == Outcome::Whole {
            self.connection = Some((version, connection));
        }
        Ok(outcome)
    }

    fn request(&mut self, transport: Transport) -> Result<Request<Full<Bytes>>, Failure> {
        let mut path = match self.random.bool() {
            true => format!("/topics/{SELECTOR}?heartbeat=1"),
            false => format!("/events?topic={SELECTOR}&topic=chaos/1"),
        };
        if transport == Transport::LongPoll {
            path.push_str("&wait=20");
        }
        let mut request = Request::builder().header("accept", transport.accept());
        // The cursor goes by any of its ways.
        match (&self.cursor, self.random.u8(0..3)) {
            (None, _) => path.push_str("&since=earliest"),
            (Some(cursor), 0) => request = request.header("last-event-id", cursor),
            (Some(cursor), 1) => path.push_str(&format!("&lastEventId={cursor}&since=earliest")),
            (Some(cursor), _) => path.push_str(&format!("&since={cursor}")),
        }
        Ok(request.uri(path).body(Full::default())?)
    }

    async fn read(
        &mut self,
        transport: Transport,
        mut body: Incoming,
        mut left: usize,
    ) -> Result<Outcome, Failure> {
        let mut framing = transport.framing();
        while let Some(frame) = body.frame().await {
            let Ok(mut data) = frame?.into_data() else { continue };
            data.truncate(left);
            left -= data.len();
            framing.feed(&data, self);
            if left == 0 {
                return Ok(Outcome::Cut);
            }
        }
        match framing {
            Framing::Page(page) => {
                let page: Value = serde_json::from_slice(&page).unwrap();
                assert_eq!(page["gap"], Value::Null);
                for event in page["events"].as_array().unwrap() {
                    self.see_object(event);
                }
                self.cursor = page["next"].as_str().map(str::to_owned);
                Ok(Outcome::Whole)
            }
            // A stream ends only with its hub.
            Framing::Stream(_) | Framing::Lines(_) => Ok(Outcome::Lost),
        }
    }

    fn see_object(&mut self, event: &Value) {
        let mark = match &event["data"] {
            Value::String(text) => text.lines().next().unwrap(),
            object => object["mark"].as_str().unwrap(),
        };
        self.see(event["id"].as_str().unwrap(), mark.to_owned());
    }

    fn see(&mut self, id: &str, mark: String) {
        self.seen.push((sequence(id), mark));
        self.cursor = Some(id.to_owned());
    }
}

// === impl Transport ===

impl Transport {
    fn accept(self) -> &'static str {
        match self {
            Self::ShortPoll | Self::LongPoll => "application/json",
            Self::Stream => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::WebSocket => "*/*",
        }
    }

    fn framing(self) -> Framing {
        match self {
            Self::ShortPoll | Self::LongPoll => Framing::Page(Vec::new()),
            Self::Stream => Framing::Stream(Box::default()),
            Self::Lines | Self::WebSocket => Framing::Lines(Vec::new()),
        }
    }
}

// === impl Framing ===

impl Framing {
    fn feed(&mut self, data: &[u8], reader: &mut Reader) {
        match self {
            Self::Page(page) => page.extend_from_slice(data),
            Self::Stream(parser) => parser
                .feed(data, |item| match item {
                    Item::Event(event) => {
                        assert_eq!(event.event, "");
                        let mark = match serde_json::from_str::<Value>(&event.data) {
                            Ok(object) => object["mark"].as_str().unwrap().to_owned(),
                            Err(_) => event.data.lines().next().unwrap().to_owned(),
                        };
                        reader.see(&event.id, mark);
                    }
                    Item::Id(id) => reader.cursor = Some(id),
                    Item::Retry(_) | Item::Comment => {}
                })
                .unwrap(),
            Self::Lines(rest) => {
                rest.extend_from_slice(data);
                while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    if line != b"\n" {
                        let event: Value = serde_json::from_slice(&line).unwrap();
                        assert_eq!(event["gap"], Value::Null);
                        reader.see_object(&event);
                    }
                }
            }
        }
    }
}

/// The place of an event in the log, which its id ends with.
pub(super) fn sequence(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}
