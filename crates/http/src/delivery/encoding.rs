//! How an event is written to a reader, whatever carries it.

use std::borrow::Cow;
use std::fmt;

use tidings_hub::{Entry, Framing};
use tidings_websocket::{Deflate, Opcode, encode_compressed, head, store};

use crate::defaults;

/// How an event is written to a reader. Readers with the same get the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// As the hub keeps it.
    Framed(Framing),
    /// As a message of a WebSocket: the JSON line (§3.3) in a frame.
    Message {
        /// The subscription, which is told where it has a name.
        name: SubscriptionName,
        /// How it may be compressed.
        deflate: Option<Deflate>,
    },
}

/// The name of a subscription of a WebSocket. It is a part of what each of its events is written as, so it is short.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SubscriptionName {
    length: u8,
    bytes: [u8; defaults::SUBSCRIPTION_NAME_BYTES],
}

// === impl Encoding ===

impl Encoding {
    /// Appends an event.
    pub(crate) fn write(self, entry: &Entry, out: &mut Vec<u8>) {
        match self {
            Self::Framed(framing) => out.extend_from_slice(&entry.frame(framing)),
            Self::Message { name, deflate } => write_message(name, deflate, entry, out),
        }
    }

    /// An event as its reader gets it.
    pub(crate) fn frame(self, entry: &Entry) -> Cow<'_, [u8]> {
        match self {
            Self::Framed(framing) => entry.frame(framing),
            Self::Message { .. } => {
                let mut out = Vec::new();
                self.write(entry, &mut out);
                Cow::Owned(out)
            }
        }
    }
}

impl From<Framing> for Encoding {
    fn from(framing: Framing) -> Self {
        Self::Framed(framing)
    }
}

/// The event is encoded, and compressed, once for everybody. What is before it differs by subscription, and is never more
/// than a few bytes: they are not compressed, but stand before the event in a block of their own.
fn write_message(name: SubscriptionName, deflate: Option<Deflate>, entry: &Entry, out: &mut Vec<u8>) {
    let line = entry.frame(Framing::Line);
    let tail = line.get(1..line.len().saturating_sub(1)).unwrap_or_default();
    let mut before = Vec::new();
    name.begin(&mut before);
    let length = before.len() + tail.len();
    if deflate.is_some_and(|deflate| deflate.takes(length)) {
        let packed = entry.frame(Framing::Packed);
        if !packed.is_empty() {
            let mut payload = Vec::with_capacity(before.len() + packed.len() + 8);
            store(&before, &mut payload);
            payload.extend_from_slice(&packed);
            return encode_compressed(Opcode::Text, &payload, out);
        }
    }
    out.extend_from_slice(&head(Opcode::Text, false, length));
    out.extend_from_slice(&before);
    out.extend_from_slice(tail);
}

// === impl SubscriptionName ===

impl SubscriptionName {
    /// The name of the subscription that the URL of a WebSocket asks for.
    pub(crate) const FIRST: Self = Self { length: 0, bytes: [0; defaults::SUBSCRIPTION_NAME_BYTES] };

    /// `None` where it is too long.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut name = Self::FIRST;
        name.bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        name.length = u8::try_from(text.len()).ok()?;
        Some(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        // It was copied from text.
        std::str::from_utf8(&self.bytes[..self.length.into()]).unwrap_or_default()
    }

    /// Appends what each of its messages begins with.
    pub(crate) fn begin(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if self.length > 0 {
            out.extend_from_slice(b"\"sub\":");
            // Text always serializes, and a Vec takes all that is written to it.
            drop(serde_json::to_writer(&mut *out, self.as_str()));
            out.push(b',');
        }
    }
}

impl fmt::Debug for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tidings_protocol::{Closing, Epoch, Event, Format, Timestamp, Topic};
    use tidings_websocket::{Decoder, Inflater, Message, Opening};

    use super::*;

    fn entry(data: &str) -> Entry {
        let event = Event {
            sequence: 7,
            time: Timestamp::from_millis(0),
            topic: Topic::new("a").unwrap(),
            event_type: None,
            format: Format::Json,
            data: Bytes::copy_from_slice(data.as_bytes()),
            closing: Closing::No,
            expires: None,
        };
        Entry::new(Arc::new(event), Epoch::from_random(0))
    }

    fn deflate() -> Deflate {
        let mut headers = http::HeaderMap::new();
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ] {
            headers.insert(name, http::HeaderValue::from_static(value));
        }
        let opening = Opening::check(&http::Method::GET, http::Version::HTTP_11, &headers, false).unwrap();
        opening.deflate().unwrap()
    }

    fn read(frames: &[u8]) -> String {
        let mut decoder = Decoder::client(1 << 20, true);
        match decoder.receive(&mut &*frames, &mut Inflater::default()).unwrap() {
            Some(Message::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    /// Whatever the name, and compressed or not, it is the JSON line with `sub` before all else.
    #[test]
    fn a_message_is_the_line_and_its_subscription() {
        let data = format!("{{\"text\": \"{}\",\n\"n\":1}}", "all work and no play ".repeat(20));
        let entry = entry(&data);
        let line = String::from_utf8(entry.frame(Framing::Line).into_owned()).unwrap();
        let line = line.trim_end();
        for name in ["", "a", "with \"quotes\" and \\", "ü"] {
            let own = SubscriptionName::new(name).unwrap();
            let mut plain = Vec::new();
            Encoding::Message { name: own, deflate: None }.write(&entry, &mut plain);
            let packed = Encoding::Message { name: own, deflate: Some(deflate()) }.frame(&entry).into_owned();
            assert!(packed.len() * 2 < plain.len(), "{} {}", packed.len(), plain.len());
            assert_eq!(read(&plain), read(&packed));
            let mut object: serde_json::Map<_, _> = serde_json::from_str(&read(&plain)).unwrap();
            let sub = object.remove("sub");
            assert_eq!(sub, (!name.is_empty()).then(|| name.into()));
            assert_eq!(
                serde_json::Value::Object(object),
                serde_json::from_str::<serde_json::Value>(line).unwrap()
            );
        }
    }

    #[test]
    fn a_name_has_its_bounds() {
        let longest = "n".repeat(defaults::SUBSCRIPTION_NAME_BYTES);
        assert_eq!(SubscriptionName::new(&longest).unwrap().as_str(), longest);
        assert_eq!(SubscriptionName::new(&format!("{longest}n")), None);
        assert_eq!(SubscriptionName::new("").unwrap(), SubscriptionName::FIRST);
    }
}
