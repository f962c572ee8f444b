use std::sync::Arc;
use std::time::Duration;

use tidings_event_stream::Encoder;
use tidings_hub::Framing;
use tidings_protocol::{Cursor, EndReason, Gap, write_end_line, write_gap_line};
use tidings_websocket::{Deflate, Opcode, encode};

use crate::delivery::encoding::{Encoding, SubscriptionName};

/// The form of an answer to a reader (§3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `application/json`: a poll.
    Page,
    /// `text/event-stream`.
    Stream,
    /// `application/x-ndjson`.
    Lines,
}

/// How a stream says what it says, as `text/event-stream` (§3.2), as lines of JSON (§3.3), or as messages of a WebSocket (§3.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Frames {
    encoding: Encoding,
    /// For clients that know nothing of Tidings (§3.2): events alone.
    plain: Option<Plain>,
}

/// A stream with nothing in it but events and comments. What is no event is a comment of one line: clients that take a
/// blank line for the end of an event are not given one for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Plain {
    /// The data of the event that tells of a clean end.
    end: Option<Arc<str>>,
}

// === impl Form ===

impl Form {
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Stream | Self::Lines)
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Page => "application/json",
            Self::Stream => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        }
    }
}

// === impl Frames ===

impl Frames {
    pub(crate) fn new(form: Form, topic: bool, envelope: bool) -> Self {
        let framing = if form == Form::Lines { Framing::Line } else { Framing::Stream { topic, envelope } };
        Self { encoding: framing.into(), plain: None }
    }

    /// Those of a subscriber of Mercure: updates and comments alone.
    pub(crate) fn mercure() -> Self {
        Self { encoding: Framing::Mercure.into(), plain: Some(Plain { end: None }) }
    }

    /// The same with nothing but events and comments, where it is `text/event-stream`. `end` is the data of an event that
    /// tells of a clean end.
    pub(crate) fn plain(self, end: Option<Arc<str>>) -> Self {
        match self.encoding {
            Encoding::Framed(Framing::Stream { envelope, .. }) => Self {
                encoding: Framing::Stream { topic: false, envelope }.into(),
                plain: Some(Plain { end }),
            },
            Encoding::Framed(_) | Encoding::Message { .. } => self,
        }
    }

    /// Those of a subscription of a WebSocket.
    pub(crate) fn messages(name: SubscriptionName, deflate: Option<Deflate>) -> Self {
        Self { encoding: Encoding::Message { name, deflate }, plain: None }
    }

    /// How the events are written.
    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The name of the subscription, where it is one of a WebSocket.
    pub(crate) fn name(&self) -> Option<SubscriptionName> {
        match self.encoding {
            Encoding::Message { name, .. } => Some(name),
            Encoding::Framed(_) => None,
        }
    }

    fn is_lines(&self) -> bool {
        self.encoding == Encoding::Framed(Framing::Line)
    }

    /// Says something of a subscription, in a message of its own: an object, as it stands in a line.
    fn message(name: SubscriptionName, object: &[u8], out: &mut Vec<u8>) {
        let mut message = Vec::new();
        name.begin(&mut message);
        message.extend_from_slice(object.get(1..).unwrap_or_default().trim_ascii_end());
        encode(Opcode::Text, &message, out);
    }

    /// The first block. Where a gap is about to be told, it sets no id: a client that is cut off before the gap
    /// comes back with the cursor that it had, and is told again.
    pub(crate) fn opening(&self, retry: Duration, cursor: Option<Cursor>, out: &mut Vec<u8>) {
        if self.is_lines() || self.name().is_some() {
            return;
        }
        if self.plain.is_some() {
            // So that something leaves at once.
            return comment("", out);
        }
        let mut encoder = Encoder::new(out);
        encoder.retry(millis(retry));
        if let Some(cursor) = cursor {
            encoder.id(&cursor.to_string());
        }
        encoder.end();
    }

    pub(crate) fn gap(&self, gap: &Gap, out: &mut Vec<u8>) {
        if let Some(name) = self.name() {
            let mut line = Vec::new();
            write_gap_line(gap, &mut line);
            return Self::message(name, &line, out);
        }
        if self.is_lines() {
            return write_gap_line(gap, out);
        }
        let data = serde_json::to_vec(gap).unwrap_or_default();
        if self.plain.is_some() {
            return comment(&format!("gap {}", String::from_utf8_lossy(&data)), out);
        }
        Encoder::new(out).event("tidings.gap").id(&gap.resumed).data(&data).end();
    }

    /// The end of the topic, and why, where that is no clean end.
    pub(crate) fn end(&self, cursor: Cursor, reason: Option<&EndReason>, out: &mut Vec<u8>) {
        if let Some(name) = self.name() {
            let mut line = Vec::new();
            write_end_line(cursor, reason, &mut line);
            return Self::message(name, &line, out);
        }
        if self.is_lines() {
            return write_end_line(cursor, reason, out);
        }
        match (&self.plain, reason) {
            (Some(Plain { end: Some(text) }), None) => {
                Encoder::new(out).id(&cursor.to_string()).data(text.as_bytes()).end();
                return;
            }
            (Some(_), Some(reason)) => return comment(&format!("end {reason}"), out),
            (Some(_), None) => return comment("end", out),
            (None, _) => {}
        }
        let data = reason.map_or_else(|| "{}".to_owned(), |reason| format!("{{\"reason\":\"{reason}\"}}"));
        Encoder::new(out).event("tidings.end").id(&cursor.to_string()).data(data.as_bytes()).end();
    }

    /// A sign of life; with the cursor where it has moved since the reader last heard of it. In a WebSocket it is there
    /// in any case.
    pub(crate) fn heartbeat(&self, cursor: Cursor, has_moved: bool, out: &mut Vec<u8>) {
        if let Some(name) = self.name() {
            return Self::message(name, format!("{{\"next\":\"{cursor}\"}}").as_bytes(), out);
        }
        if self.is_lines() {
            return out.push(b'\n');
        }
        if self.plain.is_some() {
            return comment("", out);
        }
        let mut encoder = Encoder::new(out);
        encoder.comment("");
        if has_moved {
            encoder.id(&cursor.to_string());
        }
        encoder.end();
    }

    /// All that a stream says which cannot begin now: why, and when to ask again.
    pub(crate) fn put_off(&self, why: &str, delay: Duration, out: &mut Vec<u8>) {
        if self.plain.is_some() {
            comment(why, out);
        } else if !self.is_lines() {
            Encoder::new(out).retry(millis(delay)).comment(why).end();
        }
    }

    /// The last block of a stream that ends because the hub does: a delay of its own for each client, so that
    /// they do not all return together.
    pub(crate) fn farewell(&self, most: Duration, out: &mut Vec<u8>) {
        if self.plain.is_some() {
            comment("the hub is shutting down", out);
        } else if !self.is_lines() && self.name().is_none() {
            Encoder::new(out).retry(fastrand::u64(0..=millis(most))).end();
        }
    }
}

/// A comment, with no blank line behind it.
fn comment(text: &str, out: &mut Vec<u8>) {
    Encoder::new(out).comment(text);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
