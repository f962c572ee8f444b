use std::time::Duration;

use tidings_event_stream::Encoder;
use tidings_hub::Framing;
use tidings_protocol::{Cursor, Gap, write_end_line, write_gap_line};

use crate::api::accept::Form;

/// How a stream says what it says, as `text/event-stream` (§3.2) or as lines of JSON (§3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Frames {
    framing: Framing,
}

// === impl Frames ===

impl Frames {
    pub(crate) fn new(form: Form, topic: bool, envelope: bool) -> Self {
        let framing = if form == Form::Lines { Framing::Line } else { Framing::Stream { topic, envelope } };
        Self { framing }
    }

    /// How the events are framed.
    pub(crate) fn framing(self) -> Framing {
        self.framing
    }

    fn is_lines(self) -> bool {
        self.framing == Framing::Line
    }

    /// The first block. Where a gap is about to be told, it sets no id: a client that is cut off before the gap
    /// comes back with the cursor that it had, and is told again.
    pub(crate) fn opening(self, retry: Duration, cursor: Option<Cursor>, out: &mut Vec<u8>) {
        if self.is_lines() {
            return;
        }
        let mut encoder = Encoder::new(out);
        encoder.retry(millis(retry));
        if let Some(cursor) = cursor {
            encoder.id(&cursor.to_string());
        }
        encoder.end();
    }

    pub(crate) fn gap(self, gap: &Gap, out: &mut Vec<u8>) {
        if self.is_lines() {
            return write_gap_line(gap, out);
        }
        let data = serde_json::to_vec(gap).unwrap_or_default();
        Encoder::new(out).event("tidings.gap").id(&gap.resumed).data(&data).end();
    }

    pub(crate) fn end(self, cursor: Cursor, out: &mut Vec<u8>) {
        if self.is_lines() {
            return write_end_line(cursor.epoch, cursor.sequence, out);
        }
        Encoder::new(out).event("tidings.end").id(&cursor.to_string()).data(b"{}").end();
    }

    /// A sign of life; with the cursor where it has moved since the reader last heard of it.
    pub(crate) fn heartbeat(self, moved: Option<Cursor>, out: &mut Vec<u8>) {
        if self.is_lines() {
            return out.push(b'\n');
        }
        let mut encoder = Encoder::new(out);
        encoder.comment("");
        if let Some(cursor) = moved {
            encoder.id(&cursor.to_string());
        }
        encoder.end();
    }

    /// All that a stream says which cannot begin now: why, and when to ask again.
    pub(crate) fn put_off(self, why: &str, delay: Duration, out: &mut Vec<u8>) {
        if !self.is_lines() {
            Encoder::new(out).retry(millis(delay)).comment(why).end();
        }
    }

    /// The last block of a stream that ends because the hub does: a delay of its own for each client, so that
    /// they do not all return together.
    pub(crate) fn farewell(self, most: Duration, out: &mut Vec<u8>) {
        if !self.is_lines() {
            Encoder::new(out).retry(fastrand::u64(0..=millis(most))).end();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
