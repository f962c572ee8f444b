use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidings_event_stream::Encoder;
use tidings_protocol::{Cursor, Epoch, Event, Format, write_line, write_object};

/// How an event is written to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// A block of `text/event-stream` (§3.2).
    Stream {
        /// With a `topic:` field, where the reader may get several topics.
        topic: bool,
        /// With the JSON object of §3.1 as its data.
        envelope: bool,
    },
    /// A line of `application/x-ndjson` (§3.3).
    Line,
    /// An element of a page's `events` (§3.1).
    Object,
}

/// An entry of the log, and what has been made of it for readers: each framing is encoded when it is first
/// asked for, and then shared by all.
#[derive(Debug)]
pub struct Entry {
    event: Arc<Event>,
    epoch: Epoch,
    frames: [OnceLock<Box<[u8]>>; Framing::COUNT],
}

/// What the allocator takes beside the data of an entry, and what a frame has beside it.
const ALLOCATIONS: usize = 64;

// === impl Framing ===

impl Framing {
    const COUNT: usize = 6;

    fn index(self) -> usize {
        match self {
            Self::Stream { topic, envelope } => usize::from(topic) + 2 * usize::from(envelope),
            Self::Line => 4,
            Self::Object => 5,
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Takes an entry of the log `epoch`.
    #[must_use]
    pub fn new(event: Arc<Event>, epoch: Epoch) -> Self {
        Self { event, epoch, frames: Default::default() }
    }

    /// What the log has.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The cursor after this entry: the event's id.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch, self.event.sequence)
    }

    /// The entry as a reader gets it.
    pub fn frame(&self, framing: Framing) -> &[u8] {
        self.frames[framing.index()].get_or_init(|| {
            let mut out = Vec::new();
            self.encode(framing, &mut out);
            out.into_boxed_slice()
        })
    }

    /// How many bytes the entry holds, about, with one framing of it.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of::<Event>()
            + 2 * (self.event.data.len() + self.event.topic.as_str().len() + ALLOCATIONS)
    }

    fn encode(&self, framing: Framing, out: &mut Vec<u8>) {
        match framing {
            Framing::Line => write_line(&self.event, self.epoch, out),
            Framing::Object => write_object(&self.event, self.epoch, out),
            Framing::Stream { topic, envelope } => {
                let mut encoder = Encoder::new(out);
                encoder.id(&self.cursor().to_string());
                if let Some(event_type) = &self.event.event_type {
                    encoder.event(event_type.as_str());
                }
                if topic {
                    encoder.field("topic", self.event.topic.as_str());
                }
                if envelope {
                    let mut object = Vec::new();
                    write_line(&self.event, self.epoch, &mut object);
                    encoder.data(object.trim_ascii_end());
                } else if self.event.format == Format::Binary {
                    encoder.data(STANDARD.encode(&self.event.data).as_bytes());
                } else {
                    encoder.data(&self.event.data);
                }
                encoder.end();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tidings_protocol::{Closing, EventType, Timestamp, Topic};

    fn entry(format: Format, data: &'static [u8]) -> Entry {
        let event = Event {
            sequence: 7,
            time: Timestamp::from_millis(0),
            topic: Topic::new("a").unwrap(),
            event_type: Some(EventType::new("t").unwrap()),
            format,
            data: Bytes::from_static(data),
            closing: Closing::No,
        };
        Entry::new(Arc::new(event), "q7m2x9".parse().unwrap())
    }

    fn frame(entry: &Entry, framing: Framing) -> &str {
        std::str::from_utf8(entry.frame(framing)).unwrap()
    }

    #[test]
    fn a_stream_frame_has_a_data_line_for_each_line() {
        let entry = entry(Format::Text, b"x\ny\r\nz\r");
        let plain = Framing::Stream { topic: false, envelope: false };
        assert_eq!(frame(&entry, plain), "id: q7m2x9-7\nevent: t\ndata: x\ndata: y\ndata: z\ndata:\n\n");
        let topic = Framing::Stream { topic: true, envelope: false };
        assert_eq!(
            frame(&entry, topic),
            "id: q7m2x9-7\nevent: t\ntopic: a\ndata: x\ndata: y\ndata: z\ndata:\n\n"
        );
    }

    #[test]
    fn an_envelope_is_one_line() {
        let entry = entry(Format::Json, b"{\n}");
        let envelope = Framing::Stream { topic: false, envelope: true };
        assert_eq!(
            frame(&entry, envelope),
            "id: q7m2x9-7\nevent: t\ndata: {\"id\":\"q7m2x9-7\",\"topic\":\"a\",\"event\":\"t\",\"time\":\"1970-01-01T00:00:00.000Z\",\"data\":{ }}\n\n"
        );
    }

    #[test]
    fn bytes_are_base64_in_a_stream() {
        let entry = entry(Format::Binary, b"\xff\x00");
        let plain = Framing::Stream { topic: false, envelope: false };
        assert_eq!(frame(&entry, plain), "id: q7m2x9-7\nevent: t\ndata: /wA=\n\n");
    }
}
