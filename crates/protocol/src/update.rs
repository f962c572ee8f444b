use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Event, Format};

/// An update of Mercure that says more than an event does: further topics, an id that its publisher chose, a time to reconnect, or that
/// it is private. It is kept as an event of JSON, below one of [`ROOTS`](Self::ROOTS); what it says is written in `docs/mercure.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update<'a> {
    /// The canonical topic, and those that it is published under beside.
    #[serde(borrow)]
    pub topics: Vec<Cow<'a, str>>,
    /// Whether only those may read it who have the right to one of its topics.
    #[serde(default)]
    pub private: bool,
    /// The id that its publisher chose.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// The type of the event.
    #[serde(borrow, rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Cow<'a, str>>,
    /// After how many milliseconds a reader that was cut off comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<u64>,
    /// The data.
    #[serde(borrow, default)]
    pub data: Cow<'a, str>,
}

// === impl Update ===

impl<'a> Update<'a> {
    /// Above public ones with one topic, whose name follows.
    pub const PUBLIC: &'static str = "mercure.public/";
    /// Above private ones with one topic, whose name follows.
    pub const PRIVATE: &'static str = "mercure.private/";
    /// Above public ones whose topics are several, or too long for a name.
    pub const PUBLIC_MORE: &'static str = "mercure.public-more/";
    /// Above private ones whose topics are several, or too long for a name.
    pub const PRIVATE_MORE: &'static str = "mercure.private-more/";
    /// All of them.
    pub const ROOTS: [&'static str; 4] = [Self::PUBLIC, Self::PRIVATE, Self::PUBLIC_MORE, Self::PRIVATE_MORE];

    /// The update that an event is; `None` where it is any other event. Whoever publishes may write what they like, so what
    /// would break a line of an event stream makes it none.
    #[must_use]
    pub fn of(event: &'a Event) -> Option<Self> {
        let name = event.topic.as_str();
        if event.format != Format::Json || !Self::ROOTS.iter().any(|root| name.starts_with(root)) {
            return None;
        }
        let update: Self = serde_json::from_slice(&event.data).ok()?;
        let lines = [update.id.as_deref(), update.event_type.as_deref()];
        let is_line = |text: &&str| !text.contains(['\r', '\n', '\0']);
        (!update.topics.is_empty() && lines.iter().flatten().all(is_line)).then_some(update)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Closing, Timestamp, Topic};

    fn event(topic: &str, format: Format, data: &str) -> Event {
        Event {
            sequence: 1,
            time: Timestamp::default(),
            topic: Topic::new(topic).unwrap(),
            event_type: None,
            format,
            data: Bytes::copy_from_slice(data.as_bytes()),
            closing: Closing::No,
            expires: None,
        }
    }

    #[test]
    fn an_update_says_the_same_once_it_was_kept() {
        let update = Update {
            topics: vec!["https://a.example/1".into(), "/\"2\"".into()],
            private: true,
            id: Some("i d\u{e9}".into()),
            event_type: Some("t".into()),
            retry: Some(5),
            data: "a\nb".into(),
        };
        let text = serde_json::to_string(&update).unwrap();
        let event = event("mercure.private-more/x", Format::Json, &text);
        assert_eq!(Update::of(&event), Some(update));
    }

    #[test]
    fn any_other_event_is_none() {
        let whole = r#"{"topics":["a"],"data":"x"}"#;
        assert!(Update::of(&event("mercure.public/a", Format::Json, whole)).is_some());
        for (topic, format, data) in [
            ("a", Format::Json, whole),
            ("mercure.publicly/a", Format::Json, whole),
            ("mercure.public/a", Format::Text, whole),
            ("mercure.public/a", Format::Json, r#"{"topics":[],"data":"x"}"#),
            ("mercure.public/a", Format::Json, r#"{"topics":["a"],"id":"x\nid: y"}"#),
            ("mercure.public/a", Format::Json, r#"{"topics":["a"],"type":"x\rid: y"}"#),
            ("mercure.public/a", Format::Json, "[1]"),
        ] {
            assert_eq!(Update::of(&event(topic, format, data)), None, "{topic} {data}");
        }
    }
}
