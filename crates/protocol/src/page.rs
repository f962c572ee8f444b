use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
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
    /// Why it has ended, where that was no clean end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A word of the hub to a client that polls a busy topic again and again. Whatever else a later hub may put there
    /// counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "advice_or_none")]
    pub advice: Option<Advice>,
}

/// What a hub advises whoever polls (§3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What would suit better: `stream`.
    pub transport: String,
    /// Why, in words.
    #[serde(default)]
    pub detail: String,
}

/// Advice is no part of what was asked for: a page is good without it, whatever is in its place.
fn advice_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Advice>, D::Error> {
    let value = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(value.get()).ok())
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
        assert!(page.gap.is_none() && !page.closed && page.advice.is_none());
    }

    #[test]
    fn a_page_is_good_whatever_its_advice() {
        for (advice, transport) in [
            (r#"{"transport": "stream", "detail": "12 events came"}"#, Some("stream")),
            (r#"{"transport": "stream"}"#, Some("stream")),
            (r#"{"transport": "pigeon", "more": 1}"#, Some("pigeon")),
            (r#"{"transport": 1}"#, None),
            (r#""stream""#, None),
            ("null", None),
        ] {
            let page =
                format!(r#"{{"events": [], "next": "q7m2x9-1043", "more": false, "advice": {advice}}}"#);
            let page: Page = serde_json::from_str(&page).unwrap();
            assert_eq!(page.advice.as_ref().map(|advice| &*advice.transport), transport, "{advice}");
        }
    }
}
