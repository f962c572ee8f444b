use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tidings_protocol::{EventType, Format};

use crate::PublishError;

/// An event to publish: its data and, perhaps, its type.
///
/// ```
/// use tidings_client::Message;
/// let text = Message::text("hello").event_type("greeting");
/// let json = Message::json(&[1, 2, 3])?;
/// let bytes = Message::bytes(vec![0xff, 0x00]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Message {
    event_type: Option<String>,
    format: Format,
    data: Bytes,
}

/// How an item of a batch is written (§2).
#[derive(Serialize)]
struct BatchItem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    data: Box<RawValue>,
}

// === impl Message ===

impl Message {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Format::Text, Bytes::from(text.into()))
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// Where the value cannot be written as JSON.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(|data| Self::new(Format::Json, Bytes::from(data)))
    }

    /// JSON that is written already. The hub keeps it byte for byte, and readers get it as
    /// [`Event::bytes`](crate::Event::bytes) says; it is checked before it is sent.
    pub fn json_text(json: impl Into<Bytes>) -> Self {
        Self::new(Format::Json, json.into())
    }

    /// Any bytes. Readers get them as base64.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Format::Binary, bytes.into())
    }

    /// Gives it an event type.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.event_type = Some(event_type.into());
        self
    }

    fn new(format: Format, data: Bytes) -> Self {
        Self { event_type: None, format, data }
    }

    /// Whether a hub may take it, as far as that can be told here. It is asked before anything is sent.
    ///
    /// # Errors
    /// [`PublishError::EventType`] and [`PublishError::Data`].
    pub fn check(&self) -> Result<(), PublishError> {
        if let Some(event_type) = &self.event_type {
            EventType::new(event_type)?;
        }
        Ok(self.format.check(&self.data)?)
    }

    pub(crate) fn data(&self) -> &Bytes {
        &self.data
    }

    pub(crate) fn event_type_name(&self) -> Option<&str> {
        self.event_type.as_deref()
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self.format {
            Format::Text => "text/plain; charset=utf-8",
            Format::Json => "application/json",
            Format::Binary => "application/octet-stream",
        }
    }

    /// Appends the message as a line of a batch. A JSON message that is one string becomes a text there, which
    /// readers cannot tell from it.
    pub(crate) fn write_line(&self, topic: Option<&str>, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let data = match self.format {
            // Line breaks stand only between the tokens of JSON.
            Format::Json => RawValue::from_string(self.as_text().replace(['\n', '\r'], " "))?,
            _ => self.raw()?,
        };
        serde_json::to_writer(&mut *out, &self.as_item(topic, None, data))?;
        out.push(b'\n');
        Ok(())
    }

    /// The message as what is published through a WebSocket under a key; `None` where a request with the same key would not
    /// publish the same: JSON that is one string, or has something around it.
    pub(crate) fn item(&self, topic: &str, key: &str) -> Option<String> {
        let is_whole = match self.format {
            Format::Json => {
                let text = self.as_text();
                text.trim() == text && !text.starts_with('"')
            }
            _ => true,
        };
        let data = self.raw().ok().filter(|_| is_whole)?;
        serde_json::to_string(&self.as_item(Some(topic), Some(key), data)).ok()
    }

    fn as_item<'a>(
        &'a self,
        topic: Option<&'a str>,
        key: Option<&'a str>,
        data: Box<RawValue>,
    ) -> BatchItem<'a> {
        let encoding = (self.format == Format::Binary).then_some("base64");
        BatchItem { topic, event: self.event_type.as_deref(), encoding, key, data }
    }

    fn as_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.data)
    }

    fn raw(&self) -> Result<Box<RawValue>, serde_json::Error> {
        match self.format {
            Format::Text => serde_json::value::to_raw_value(&self.as_text()),
            Format::Binary => serde_json::value::to_raw_value(&STANDARD.encode(&self.data)),
            Format::Json => RawValue::from_string(self.as_text().into_owned()),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &Message, topic: Option<&str>) -> String {
        let mut out = Vec::new();
        message.write_line(topic, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_kind_has_its_line_in_a_batch() {
        assert_eq!(line(&"a\n\"b\"".into(), None), "{\"data\":\"a\\n\\\"b\\\"\"}\n");
        assert_eq!(
            line(&Message::json_text("{\"n\":\r\n1.0}").event_type("t"), Some("x/y")),
            "{\"topic\":\"x/y\",\"event\":\"t\",\"data\":{\"n\":  1.0}}\n"
        );
        assert_eq!(
            line(&Message::bytes(vec![255, 0]), None),
            "{\"encoding\":\"base64\",\"data\":\"/wA=\"}\n"
        );
    }

    #[test]
    fn what_is_published_through_a_socket_is_what_a_request_publishes() {
        assert_eq!(
            Message::json_text("{\n}").event_type("t").item("x/y", "k").unwrap(),
            "{\"topic\":\"x/y\",\"event\":\"t\",\"key\":\"k\",\"data\":{\n}}"
        );
        assert_eq!(
            Message::bytes(vec![255, 0]).item("x", "k").unwrap(),
            "{\"topic\":\"x\",\"encoding\":\"base64\",\"key\":\"k\",\"data\":\"/wA=\"}"
        );
        for json in ["\"text\"", " {}", "{}\n"] {
            assert_eq!(Message::json_text(json).item("x", "k"), None, "{json}");
        }
    }

    #[test]
    fn what_a_hub_would_refuse_is_refused_before() {
        assert!(matches!(Message::json_text("{").check(), Err(PublishError::Data(_))));
        assert!(matches!(
            Message::text("x").event_type("tidings.x").check(),
            Err(PublishError::EventType(_))
        ));
        assert!(Message::text("x").event_type("ok").check().is_ok());
    }
}
