use std::time::Duration;

use serde::de::DeserializeOwned;
use tidings_event_stream as sse;
use tidings_protocol::{EventObject, Gap, Object, Page};

use crate::{Event, Interruption};

/// What a hub told, whichever transport it came by, in the order in which it counts.
#[derive(Debug)]
pub(crate) enum Received {
    /// An event; the cursor moves to its id.
    Event(Event),
    /// A gap; the cursor moves to where the hub resumed.
    Gap(Gap),
    /// The cursor has moved, with no event.
    Cursor(String),
    /// How long to rest before a reconnect.
    Retry(Duration),
    /// The topic has ended, at this cursor if one was told, and why, where that was no clean end.
    End { cursor: Option<String>, reason: Option<String> },
}

// === impl Received ===

impl Received {
    /// Whether it says where in the log the reader is.
    pub(crate) fn shows_place(&self) -> bool {
        !matches!(self, Self::Retry(_) | Self::End { cursor: None, .. })
    }

    /// What an item of a stream tells. The stream is one with `envelope=true`.
    pub(crate) fn from_stream(item: sse::Item) -> Result<Option<Self>, Interruption> {
        Ok(match item {
            sse::Item::Comment => None,
            sse::Item::Retry(millis) => Some(Self::Retry(Duration::from_millis(millis))),
            sse::Item::Id(id) => cursor(id).map(Self::Cursor),
            sse::Item::Event(event) => match event.event.as_str() {
                "tidings.gap" => Some(Self::Gap(parse(&event.data)?)),
                "tidings.end" => {
                    Some(Self::End { reason: end_reason(&event.data), cursor: cursor(event.id) })
                }
                // An event of the hub's own that a later version may have; no published one has such a type.
                reserved if reserved.starts_with("tidings.") => cursor(event.id).map(Self::Cursor),
                _ => Some(Self::Event(parse::<EventObject>(&event.data)?.into())),
            },
        })
    }

    /// What the answer to a poll tells.
    pub(crate) fn from_page(page: Page) -> impl Iterator<Item = Self> {
        let Page { events, next, gap, closed, reason, .. } = page;
        let last = if closed { Self::End { cursor: Some(next), reason } } else { Self::Cursor(next) };
        let events = events.into_iter().map(|object| Self::Event(object.into()));
        gap.map(Self::Gap).into_iter().chain(events).chain([last])
    }
}

/// The reason of an end. Whatever else its data may say one day, the topic has ended.
fn end_reason(data: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct End {
        reason: Option<String>,
    }
    serde_json::from_str::<End>(data).ok()?.reason
}

fn cursor(id: String) -> Option<String> {
    (!id.is_empty()).then_some(id)
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Interruption> {
    let Object(value) =
        serde_json::from_str(json).map_err(|error| Interruption::Malformed(error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stream: &str) -> Vec<Result<Option<Received>, Interruption>> {
        let mut told = Vec::new();
        sse::Parser::new().feed(stream.as_bytes(), |item| told.push(Received::from_stream(item))).unwrap();
        told
    }

    #[test]
    fn a_stream_tells_cursors_events_gaps_and_the_end() {
        let told = told(concat!(
            "retry: 2000\nid: q7m2x9-1\n\n",
            "event: tidings.gap\nid: q7m2x9-4\n",
            "data: {\"reason\":\"expired\",\"since\":\"q7m2x9-1\",\"resumed\":\"q7m2x9-4\"}\n\n",
            "id: q7m2x9-5\nevent: tidy\ndata: {\"id\":\"q7m2x9-5\",\"topic\":\"a\",\"event\":\"tidy\",\n",
            "data: \"time\":\"2026-11-22T05:46:19.123Z\",\"data\":{\"x\":1}}\n\n",
            ":\nid: q7m2x9-9\n\n",
            "event: tidings.later\nid: q7m2x9-10\ndata: {}\n\n",
            "event: tidings.end\nid: q7m2x9-11\ndata: {}\n\n",
        ));
        let told: Vec<Received> = told.into_iter().filter_map(|told| told.unwrap()).collect();
        let [
            Received::Retry(retry),
            Received::Cursor(first),
            Received::Gap(gap),
            Received::Event(event),
            Received::Cursor(quiet),
            Received::Cursor(later),
            Received::End { cursor: Some(end), reason: None },
        ] = told.as_slice()
        else {
            panic!("{told:?}")
        };
        assert_eq!(*retry, Duration::from_secs(2));
        assert_eq!(gap.resumed, "q7m2x9-4");
        assert_eq!((event.id(), event.topic(), event.event_type()), ("q7m2x9-5", "a", Some("tidy")));
        assert_eq!(event.text(), "{\"x\":1}");
        assert_eq!([first, quiet, later, end], ["q7m2x9-1", "q7m2x9-9", "q7m2x9-10", "q7m2x9-11"]);
    }

    #[test]
    fn an_end_says_why() {
        for (data, expected) in [
            (r#"{"reason":"aborted"}"#, Some("aborted")),
            (r#"{"reason":null,"later":1}"#, None),
            (r#"{"reason":5}"#, None),
            ("what a later version may say", None),
        ] {
            let told = told(&format!("event: tidings.end\nid: q7m2x9-11\ndata: {data}\n\n"));
            let [Ok(Some(Received::End { cursor: Some(_), reason }))] = told.as_slice() else {
                panic!("{told:?}")
            };
            assert_eq!(reason.as_deref(), expected);
        }
        let page =
            serde_json::from_str(r#"{"events":[],"next":"q7m2x9-8","closed":true,"reason":"stopped"}"#);
        let told: Vec<Received> = Received::from_page(page.unwrap()).collect();
        let [Received::End { reason, .. }] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(reason.as_deref(), Some("stopped"));
    }

    #[test]
    fn an_event_that_cannot_be_read_is_never_passed_over() {
        for stream in
            ["data: hello\n\n", "data: {\"id\":\"q7m2x9-1\"}\n\n", "event: tidings.gap\ndata: {}\n\n"]
        {
            assert!(matches!(told(stream).as_slice(), [Err(Interruption::Malformed(_))]), "{stream}");
        }
    }

    #[test]
    fn a_page_tells_its_gap_first_and_its_cursor_last() {
        let page = serde_json::from_str(
            r#"{"events":[{"id":"q7m2x9-5","topic":"a","time":"t","data":1}],"next":"q7m2x9-8","closed":true,
                "gap":{"reason":"unknown","since":"x","resumed":"q7m2x9-4"}}"#,
        )
        .unwrap();
        let told: Vec<Received> = Received::from_page(page).collect();
        assert!(
            matches!(
                told.as_slice(),
                [Received::Gap(_), Received::Event(_), Received::End { cursor: Some(_), reason: None }]
            ),
            "{told:?}"
        );
    }
}
