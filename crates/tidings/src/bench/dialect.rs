//! What to say to each kind of server, so that one program can compare them.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use memchr::memmem;

use super::browser::Client;
use super::head::Head;
use super::payload::Payload;
use super::plan::Transport;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// A Tidings hub
    Tidings,
    /// nginx with nchan: publishers at /pub?id=, subscribers at /sub?id= (and at /return?id=, from the oldest)
    Nchan,
    /// A durable-streams server: streams below /v1/stream
    DurableStreams,
    /// The bare program in bench/floor, which only sends
    Floor,
}

/// Where a subscriber reads from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StartFrom {
    /// What comes after now.
    Now,
    /// Everything that was published in this run.
    Beginning,
    /// After what the server has called this.
    After(String),
    /// The same in nchan's words.
    Tagged { etag: String, modified: String },
}

/// Speaks to one server.
pub(crate) struct Dialect {
    target: Target,
    client: Client,
    prefix: String,
    /// The header fields that every request has.
    fields: String,
    /// Keeps the topics of this run apart from those of others.
    run: String,
}

/// What asks for a WebSocket. The key is the example of RFC 6455: nothing is cached here that it could protect.
const UPGRADE: &[u8] = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidings.v1\r\n\r\n";

/// How a subscriber asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    pub(crate) transport: Transport,
    /// How long a poll asks to be held.
    pub(crate) wait: Duration,
    /// What a stream wishes for as the interval of heartbeats.
    pub(crate) heartbeat: Option<Duration>,
}

// === impl Target ===

impl Target {
    pub(crate) fn takes_batches(self) -> bool {
        matches!(self, Self::Tidings | Self::DurableStreams)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tidings => "tidings",
            Self::Nchan => "nchan",
            Self::DurableStreams => "durable-streams",
            Self::Floor => "floor",
        })
    }
}

fn fields(host: &str, client: Client, token: Option<&str>) -> String {
    format!("Host: {host}\r\n{}", client.fields(token))
}

// === impl Dialect ===

impl Dialect {
    /// The requests of one run, whose topics no other run has.
    pub(crate) fn new(target: Target, client: Client, host: &str, prefix: &str, token: Option<&str>) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let run = format!("bench-{:x}-{:x}", now.as_millis(), std::process::id());
        Self { target, client, prefix: prefix.to_owned(), fields: fields(host, client, token), run }
    }

    /// The same, with topics below `name`.
    pub(crate) fn below(mut self, name: &str) -> Self {
        self.run = self.run.replacen("bench-", &format!("{name}/"), 1);
        self
    }

    /// What the topics of this run begin with.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// The same run at another server.
    pub(crate) fn at(&self, host: &str, prefix: &str, token: Option<&str>) -> Self {
        let (target, client, run) = (self.target, self.client, self.run.clone());
        Self { target, client, prefix: prefix.to_owned(), fields: fields(host, client, token), run }
    }

    /// The request for what a hub counts; false where it counts nothing that is of use.
    pub(crate) fn metrics(&self, out: &mut Vec<u8>) -> bool {
        if self.target == Target::Tidings {
            self.head(out, "GET", format_args!("/metrics"));
            out.extend_from_slice(b"\r\n");
        }
        self.target == Target::Tidings
    }

    pub(crate) fn target(&self) -> Target {
        self.target
    }

    /// The request that creates a topic, where topics must be.
    pub(crate) fn create(&self, topic: usize, out: &mut Vec<u8>) -> bool {
        if self.target != Target::DurableStreams {
            return false;
        }
        self.head(out, "PUT", format_args!("/v1/stream/{}-{topic}", self.run));
        out.extend_from_slice(b"Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n");
        true
    }

    /// The request that tells the [place](Self::place_in_page) that everything still to come is after.
    pub(crate) fn ask_place(&self, topic: usize, out: &mut Vec<u8>) -> bool {
        if self.target != Target::Tidings {
            return false;
        }
        self.head(out, "GET", format_args!("/topics/{}/{topic}?since=latest", self.run));
        out.extend_from_slice(b"\r\n");
        true
    }

    /// The request of a subscriber. A first poll that is not held only asks for the place.
    pub(crate) fn subscribe(&self, asking: Asking, topic: usize, place: &StartFrom, out: &mut Vec<u8>) {
        let run = &self.run;
        let Asking { transport, wait, heartbeat } = asking;
        let wait = wait.as_secs();
        match self.target {
            Target::Tidings => match (transport, place) {
                (Transport::Sse, _) => match heartbeat.map(|heartbeat| heartbeat.as_secs()) {
                    None => self.head(out, "GET", format_args!("/topics/{run}/{topic}")),
                    Some(wish) => {
                        self.head(out, "GET", format_args!("/topics/{run}/{topic}?heartbeat={wish}"));
                    }
                },
                (Transport::WebSocket, place) => {
                    let since = match place {
                        StartFrom::After(cursor) => cursor,
                        _ => "latest",
                    };
                    let wish = heartbeat.map(|heartbeat| format!("&heartbeat={}", heartbeat.as_secs()));
                    let wish = wish.unwrap_or_default();
                    self.head(out, "GET", format_args!("/topics/{run}/{topic}?since={since}{wish}"));
                }
                (Transport::Poll, StartFrom::Now) => {
                    self.head(out, "GET", format_args!("/topics/{run}/{topic}?since=latest"));
                }
                // As clients begin.
                (_, StartFrom::Now) => {
                    let target = format_args!("/topics/{run}/{topic}?since=latest&wait={wait}&limit=10000");
                    self.head(out, "GET", target);
                }
                (_, place) => {
                    let wait = if transport == Transport::LongPoll { wait } else { 0 };
                    let since = place.text();
                    self.head(
                        out,
                        "GET",
                        format_args!("/topics/{run}/{topic}?since={since}&wait={wait}&limit=10000"),
                    );
                }
            },
            Target::Floor => self.head(out, "GET", format_args!("/")),
            Target::Nchan => {
                let location = if *place == StartFrom::Beginning { "return" } else { "sub" };
                self.head(out, "GET", format_args!("/{location}?id={run}-{topic}"));
                if let StartFrom::Tagged { etag, modified } = place {
                    // Writing to a Vec does not fail.
                    drop(write!(out, "If-None-Match: {etag}\r\nIf-Modified-Since: {modified}\r\n"));
                }
            }
            Target::DurableStreams => {
                let live = if transport == Transport::Sse { "sse" } else { "long-poll" };
                let offset = place.text();
                self.head(out, "GET", format_args!("/v1/stream/{run}-{topic}?offset={offset}&live={live}"));
            }
        }
        match (transport, self.target, place) {
            (Transport::Sse, Target::Floor, StartFrom::Beginning) => {
                out.extend_from_slice(b"Last-Event-ID: floor0-0\r\n");
            }
            (Transport::Sse, Target::Tidings, StartFrom::After(id)) => {
                drop(write!(out, "Last-Event-ID: {id}\r\n"));
            }
            _ => {}
        }
        out.extend_from_slice(match transport {
            Transport::Sse => b"Accept: text/event-stream\r\n\r\n",
            Transport::WebSocket => UPGRADE,
            _ => b"Accept: */*\r\n\r\n",
        });
    }

    /// The request that publishes some payloads to one topic. `body` is a space to work in.
    pub(crate) fn publish(
        &self,
        topic: usize,
        payloads: impl ExactSizeIterator<Item = Payload>,
        size: usize,
        body: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        body.clear();
        let lines = self.target == Target::Tidings && payloads.len() > 1;
        for payload in payloads {
            if lines {
                body.extend_from_slice(b"{\"data\":\"");
                payload.write(size, body);
                body.extend_from_slice(b"\"}\n");
            } else {
                payload.write(size, body);
            }
        }
        let run = &self.run;
        match self.target {
            Target::Tidings => self.head(out, "POST", format_args!("/topics/{run}/{topic}")),
            Target::Nchan => self.head(out, "POST", format_args!("/pub?id={run}-{topic}")),
            Target::DurableStreams => self.head(out, "POST", format_args!("/v1/stream/{run}-{topic}")),
            Target::Floor => self.head(out, "POST", format_args!("/")),
        }
        let content_type = if lines { "application/x-ndjson" } else { "text/plain" };
        drop(write!(out, "Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", body.len()));
        out.extend_from_slice(body);
    }

    /// The place that the head of a poll's answer names.
    pub(crate) fn place_in_head(&self, head: &Head<'_>) -> Option<StartFrom> {
        match self.target {
            Target::Nchan => Some(StartFrom::Tagged {
                etag: head.etag?.to_owned(),
                modified: head.last_modified?.to_owned(),
            }),
            Target::DurableStreams => head.next_offset.map(|offset| StartFrom::After(offset.to_owned())),
            Target::Tidings | Target::Floor => None,
        }
    }

    /// The place that a page of Tidings names, and whether there is more to ask for at once.
    pub(crate) fn place_in_page(&self, page: &[u8]) -> Option<(StartFrom, bool)> {
        const NEXT: &[u8] = b"],\"next\":\"";
        if self.target != Target::Tidings {
            return None;
        }
        let rest = &page[memmem::rfind(page, NEXT)? + NEXT.len()..];
        let (cursor, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
        let more = memmem::find(rest, b"\"more\":true").is_some();
        Some((StartFrom::After(str::from_utf8(cursor).ok()?.to_owned()), more))
    }

    /// Whether the server says that events are missing.
    pub(crate) fn is_gap(&self, event_type: &[u8]) -> bool {
        self.target == Target::Tidings && event_type == b"tidings.gap"
    }

    fn head(&self, out: &mut Vec<u8>, method: &str, path: fmt::Arguments<'_>) {
        drop(write!(out, "{method} {}{path} HTTP/1.1\r\n{}", self.prefix, self.fields));
    }
}

impl fmt::Debug for Dialect {
    // Without the fields, which may have a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialect")
            .field("target", &self.target)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

// === impl StartFrom ===

impl StartFrom {
    /// After the event with this id.
    pub(crate) fn after(id: &[u8]) -> Self {
        Self::After(String::from_utf8_lossy(id).into_owned())
    }

    fn text(&self) -> &str {
        match self {
            Self::Now => "now",
            Self::Beginning | Self::Tagged { .. } => "-1",
            Self::After(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_where_to_read_on() {
        let dialect = Dialect::new(Target::Tidings, Client::Bare, "localhost", "", None);
        let page = br#"{"events":[{"id":"e-1","data":"],\"next\":\""}],"next":"e-7","more":true}"#;
        assert_eq!(dialect.place_in_page(page), Some((StartFrom::After("e-7".into()), true)));
        let page = br#"{"events":[],"next":"e-7","more":false}"#;
        assert_eq!(dialect.place_in_page(page), Some((StartFrom::After("e-7".into()), false)));
        assert_eq!(dialect.place_in_page(b"{}"), None);
    }

    #[test]
    fn a_run_has_the_same_topics_at_another_server() {
        let here = Dialect::new(Target::Tidings, Client::Bare, "here", "", None);
        let there = Dialect { run: "bench-of-a-moment-ago".into(), ..here };
        let there = there.at("there", "/push", None);
        assert_eq!((&*there.run, &*there.prefix), ("bench-of-a-moment-ago", "/push"));
    }

    #[test]
    fn a_publication_is_one_whole_request() {
        let dialect = Dialect::new(Target::Tidings, Client::Bare, "localhost", "/push", Some("t"));
        let payload = Payload { publisher: 0, topic: 3, number: 0, sent: 0 };
        let (mut body, mut out) = (Vec::new(), Vec::new());
        dialect.publish(3, [payload, payload].into_iter(), 40, &mut body, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /push/topics/bench-"), "{head}");
        assert!(head.contains("\r\nAuthorization: Bearer t\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        for line in body.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["data"].as_str().unwrap().len(), 40);
        }
    }
}
