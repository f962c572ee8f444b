use std::time::Duration;

use bytes::Bytes;

use crate::{EndReason, EventType, Sequence, Timestamp, Topic};

/// What the data of an event is, and so how each framing writes it (§2, §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// UTF-8 text, written as a JSON string where a JSON object is asked for.
    Text,
    /// One JSON value, kept and written byte for byte.
    Json,
    /// Any bytes, written as base64.
    Binary,
}

/// Whether a topic ends with an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Closing {
    /// The topic goes on.
    #[default]
    No,
    /// This event is the topic's last one.
    After,
    /// The entry is no event: it only says that the topic has ended. Where that was no clean end, its data is the
    /// [reason](EndReason).
    Only,
    /// The entry is no event: its topic is deleted. No event of the topic before it is delivered again, and the name may be
    /// used anew.
    Deleted,
}

/// An entry of the log: an event, or the end of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the log.
    pub sequence: Sequence,
    /// When the hub took it; never earlier than that of the entry before.
    pub time: Timestamp,
    /// What it was published under.
    pub topic: Topic,
    /// The event type, where it has one.
    pub event_type: Option<EventType>,
    /// What `data` is.
    pub format: Format,
    /// The data, as it was published.
    pub data: Bytes,
    /// Whether the topic ends here.
    pub closing: Closing,
    /// From this moment on no read delivers the event; `None` where it has no such [lifetime](NewEvent::lasting).
    pub expires: Option<Timestamp>,
}

/// An event that is to be published. The log gives it its sequence number and time.
///
/// There is none whose data is not what its format says: readers of every log may rely on it.
///
/// ```
/// use tidings_protocol::{EventType, NewEvent, Topic};
///
/// let topic: Topic = "orders/42".parse()?;
/// let shipped = NewEvent::json(topic.clone(), r#"{"carrier":"X"}"#)?.typed(EventType::new("shipped")?);
/// assert_eq!(shipped.data(), r#"{"carrier":"X"}"#);
/// assert!(NewEvent::json(topic, "{").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What it is published under.
    pub topic: Topic,
    /// The event type, where it has one.
    pub event_type: Option<EventType>,
    format: Format,
    data: Bytes,
    ttl: Option<Duration>,
}

/// The data is not what its format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidData {
    /// Text or JSON that is not UTF-8.
    #[error(
        "the data is not UTF-8: byte {at} begins no character; send other bytes as application/octet-stream"
    )]
    NotUtf8 {
        /// The first byte that is none of UTF-8.
        at: usize,
    },
    /// JSON that does not parse.
    #[error("the data is not JSON: {reason}")]
    NotJson {
        /// What the parser says, with line and column.
        reason: String,
    },
}

// === impl Event ===

impl Event {
    /// Whether readers see it: `false` for the end of a topic that carries no event.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        !matches!(self.closing, Closing::Only | Closing::Deleted)
    }

    /// Whether its topic is deleted by this entry.
    #[must_use]
    pub fn deletes(&self) -> bool {
        self.closing == Closing::Deleted
    }

    /// Whether its lifetime has passed.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether the topic ends with this entry.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.closing != Closing::No
    }

    /// Why the topic ends with this entry, where it does and that is no clean end.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        match self.closing {
            Closing::Only => {}
            Closing::Deleted => return Some(EndReason::deleted()),
            Closing::No | Closing::After => return None,
        }
        std::str::from_utf8(&self.data).ok().and_then(|text| EndReason::new(text).ok())
    }
}

// === impl NewEvent ===

impl NewEvent {
    /// A text event without a type.
    pub fn text(topic: Topic, data: impl Into<String>) -> Self {
        Self { topic, event_type: None, format: Format::Text, data: Bytes::from(data.into()), ttl: None }
    }

    /// An event without a type, whose data is one JSON value.
    ///
    /// # Errors
    /// [`InvalidData`] where the data is something else.
    pub fn json(topic: Topic, data: impl Into<Bytes>) -> Result<Self, InvalidData> {
        Self::new(topic, None, Format::Json, data)
    }

    /// An event without a type, whose data is any bytes.
    pub fn binary(topic: Topic, data: impl Into<Bytes>) -> Self {
        Self { topic, event_type: None, format: Format::Binary, data: data.into(), ttl: None }
    }

    /// An event.
    ///
    /// # Errors
    /// [`InvalidData`] where the data is not what the format says.
    pub fn new(
        topic: Topic,
        event_type: Option<EventType>,
        format: Format,
        data: impl Into<Bytes>,
    ) -> Result<Self, InvalidData> {
        let data = data.into();
        format.check(&data)?;
        Ok(Self { topic, event_type, format, data, ttl: None })
    }

    /// An event that was stored somewhere, where something else may have written as well: data that is not what its format
    /// says is taken for text, or else for bytes.
    #[must_use]
    pub fn restored(topic: Topic, event_type: Option<EventType>, format: Format, data: Bytes) -> Self {
        let fits = |format: &Format| format.check(&data).is_ok();
        let format = [format, Format::Text].into_iter().find(fits).unwrap_or(Format::Binary);
        Self { topic, event_type, format, data, ttl: None }
    }

    /// The same event with a type.
    #[must_use]
    pub fn typed(self, event_type: EventType) -> Self {
        Self { event_type: Some(event_type), ..self }
    }

    /// The same event with a lifetime (§2): so long after its time, no read delivers it any more. Those who waited have had
    /// it then.
    #[must_use]
    pub fn lasting(self, ttl: Option<Duration>) -> Self {
        Self { ttl, ..self }
    }

    /// Its lifetime, where it has one.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// What the data is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The entry that a log makes of it.
    #[must_use]
    pub fn at(self, sequence: Sequence, time: Timestamp, closing: Closing) -> Event {
        let Self { topic, event_type, format, data, ttl } = self;
        let expires = ttl.map(|ttl| time.after(ttl));
        Event { sequence, time, topic, event_type, format, data, closing, expires }
    }
}

// === impl Format ===

impl Format {
    /// Checks that `data` is what the format says: UTF-8 for text, one JSON value in UTF-8 for JSON.
    ///
    /// # Errors
    /// [`InvalidData`] says where it is not.
    pub fn check(self, data: &[u8]) -> Result<(), InvalidData> {
        if self == Self::Binary {
            return Ok(());
        }
        let text =
            std::str::from_utf8(data).map_err(|error| InvalidData::NotUtf8 { at: error.valid_up_to() })?;
        if self == Self::Json {
            serde_json::from_str::<serde::de::IgnoredAny>(text)
                .map_err(|error| InvalidData::NotJson { reason: error.to_string() })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_shown_as_what_it_is() {
        let topic = Topic::new("a").unwrap();
        let restored = |format, data: &'static [u8]| {
            NewEvent::restored(topic.clone(), None, format, Bytes::from_static(data)).format()
        };
        assert_eq!(restored(Format::Json, b"{}"), Format::Json);
        assert_eq!(restored(Format::Json, b"{"), Format::Text);
        assert_eq!(restored(Format::Json, b"\xff"), Format::Binary);
        assert_eq!(restored(Format::Text, b"\xff"), Format::Binary);
        assert_eq!(restored(Format::Binary, b"{}"), Format::Binary);
    }

    #[test]
    fn data_is_what_its_format_says() {
        assert!(Format::Binary.check(b"\xff").is_ok());
        assert_eq!(Format::Text.check(b"a\xff"), Err(InvalidData::NotUtf8 { at: 1 }));
        assert!(Format::Json.check(b" {\"a\":\n[1e999]} ").is_ok());
        assert!(Format::Json.check(b"\"\\ud800\"").is_ok());
        assert_eq!(Format::Json.check(b"\"\xff\""), Err(InvalidData::NotUtf8 { at: 1 }));
        for bad in ["", "{", "{}{}", "\u{feff}1", "nul", "[1,]"] {
            assert!(
                matches!(Format::Json.check(bad.as_bytes()), Err(InvalidData::NotJson { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn deep_json_is_checked_without_recursion() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(Format::Json.check(deep.as_bytes()).is_ok());
    }
}
