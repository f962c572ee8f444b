use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tidings_protocol::{EventObject, Timestamp};

/// An event, as a subscription delivers it.
///
/// ```
/// # fn demo(event: &tidings_client::Event) -> Result<(), Box<dyn std::error::Error>> {
/// #[derive(serde::Deserialize)]
/// struct Shipped {
///     carrier: String,
/// }
/// if event.event_type() == Some("shipped") {
///     let shipped: Shipped = event.json()?;
///     println!("{} goes with {}", event.topic(), shipped.carrier);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Event(EventObject);

// === impl Event ===

impl Event {
    /// The id: the cursor just after this event.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What it was published under.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The event type, where it has one.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        self.0.event.as_deref()
    }

    /// When the hub took it, as it wrote it: as in RFC 3339.
    #[must_use]
    pub fn time(&self) -> &str {
        &self.0.time
    }

    /// When the hub took it, as a moment; `None` where the hub wrote something else.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.0.time.parse().ok()
    }

    /// The data, the same by every transport. Text and binary data are as they were published. JSON is its text, where
    /// each line break between two tokens is a space, and nothing stands around it; a JSON event that is one string
    /// cannot be told from text, and gives the string.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        self.0.bytes()
    }

    /// The data as text, with U+FFFD for what is not UTF-8 in binary data.
    #[must_use]
    pub fn text(&self) -> String {
        match self.0.bytes() {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Cow::Owned(bytes) => String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        }
    }

    /// The data, read as JSON. For a text event that is its JSON string, for a binary one the base64.
    ///
    /// # Errors
    /// Where the data is no such value.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.data.get())
    }

    /// Whether the data was published as bytes of no known kind.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.0.encoding.is_some()
    }

    /// The event as the JSON object of the protocol.
    #[must_use]
    pub fn object(&self) -> &EventObject {
        &self.0
    }

    /// The event as the JSON object of the protocol.
    #[must_use]
    pub fn into_object(self) -> EventObject {
        self.0
    }
}

impl From<EventObject> for Event {
    fn from(mut object: EventObject) -> Self {
        // Some transports cannot carry line breaks. They stand only between tokens: in a string they are escaped.
        if object.data.get().contains(['\n', '\r'])
            && let Ok(data) = RawValue::from_string(object.data.get().replace(['\n', '\r'], " "))
        {
            object.data = data;
        }
        Self(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> Event {
        let json = format!(r#"{{"id":"q7m2x9-1","topic":"t","time":"2026-11-22T05:46:19.123Z",{data}}}"#);
        serde_json::from_str::<EventObject>(&json).unwrap().into()
    }

    #[test]
    fn the_data_comes_back_as_it_was_published() {
        assert_eq!(event(r#""data":"a\nb""#).text(), "a\nb");
        assert_eq!(event(r#""data":{"n": 1.0}"#).text(), r#"{"n": 1.0}"#);
        assert_eq!(event("\"data\": \r\n{\"n\":\r\n1}\n ").text(), "{\"n\":  1}");
        assert_eq!(event(r#""data":[1,2]"#).json::<Vec<u8>>().unwrap(), [1, 2]);
        let binary = event(r#""encoding":"base64","data":"/wA=""#);
        assert!(binary.is_binary());
        assert_eq!(&*binary.bytes(), b"\xff\x00");
        assert_eq!(binary.text(), "\u{fffd}\0");
    }
}
