use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Gap, object_or_null, objects};

/// The answer to a poll (§3.1), as a client reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    /// The events, in order.
    #[serde(deserialize_with = "objects")]
    pub events: Vec<EventObject>,
    /// The cursor to ask with next.
    pub next: String,
    /// Whether more is ready now.
    #[serde(default)]
    pub more: bool,
    /// Where something may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object_or_null")]
    pub gap: Option<Gap>,
    /// Whether the topic has ended and this page reaches its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

/// An event as a JSON object (§3.1), as a client reads it. The data stays as it came, so that no number loses
/// precision and nothing is parsed that nobody asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventObject {
    /// The event's id: the cursor just after it.
    pub id: String,
    /// What it was published under.
    pub topic: String,
    /// The event type, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// When the hub took it, as in RFC 3339.
    pub time: String,
    /// `base64` where `data` is bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// The data as a JSON value: any value for JSON events, a string for text and for bytes.
    pub data: Box<RawValue>,
}

// === impl EventObject ===

impl EventObject {
    /// The data as bytes, the way it was published: a JSON string is taken as text, base64 is decoded, and any
    /// other JSON value is given as its JSON text.
    ///
    /// A JSON event whose value is a string cannot be told from a text event; both give the string.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        let json = self.data.get();
        let Ok(text) = serde_json::from_str::<Cow<'_, str>>(json) else {
            return Cow::Borrowed(json.as_bytes());
        };
        if self.encoding.as_deref() == Some("base64")
            && let Ok(bytes) = STANDARD.decode(text.as_bytes())
        {
            return Cow::Owned(bytes);
        }
        Cow::Owned(text.into_owned().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_the_protocol_shows_it() {
        let page: Page = serde_json::from_str(
            r#"{"events": [
              {"id": "q7m2x9-1042", "topic": "orders/42", "event": "shipped", "time": "2026-11-22T05:46:19.123Z", "data": {"carrier": "X"}},
              {"id": "q7m2x9-1043", "topic": "orders/42", "time": "2026-11-22T05:46:19.123Z", "encoding": "base64", "data": "/wA="}],
             "next": "q7m2x9-1043", "more": false}"#,
        )
        .unwrap();
        assert_eq!(page.events[0].bytes().as_ref(), br#"{"carrier": "X"}"#);
        assert_eq!(page.events[1].bytes().as_ref(), b"\xff\x00");
        assert!(page.gap.is_none() && !page.closed);
    }
}
