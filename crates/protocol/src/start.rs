use std::time::Duration;

use crate::{Cursor, InvalidCursor, Timestamp, limits, parse_duration};

/// Where a reader wants to begin: the `since` parameter (§3), or a cursor in `Last-Event-ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Before the earliest event that is kept.
    Earliest,
    /// After the latest event: only what is still to come.
    Latest,
    /// Before the last so many matching events, from 1 to [`limits::PAGE_EVENTS`].
    Last(usize),
    /// Before the first event at or after a moment.
    Time(Timestamp),
    /// Before the first event that is no older than this.
    Age(Duration),
    /// After a cursor.
    Cursor(Cursor),
    /// After something that was meant as a cursor and is none: a gap, never an error (§3.2).
    Foreign(String),
}

/// The text is no place to begin at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`since` is a cursor, `earliest`, `latest`, `-N` with N from 1 to {}, a time as in RFC 3339 like `2026-11-22T05:46:19Z`, or an age like `15m`; `{text}` is none of these",
    limits::PAGE_EVENTS
)]
pub struct InvalidStart {
    /// What was given, cut off after 64 characters.
    pub text: String,
}

// === impl Start ===

impl Start {
    /// Reads the `since` parameter.
    ///
    /// # Errors
    /// [`InvalidStart`] where the text is none of the forms of §3.
    pub fn from_since(text: &str) -> Result<Self, InvalidStart> {
        let invalid = || InvalidStart { text: text.chars().take(64).collect() };
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            _ => {}
        }
        if let Some(count) = text.strip_prefix('-') {
            let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
            return match count.parse() {
                Ok(count) if digits && (1..=limits::PAGE_EVENTS).contains(&count) => Ok(Self::Last(count)),
                _ => Err(invalid()),
            };
        }
        if let Ok(cursor) = text.parse() {
            return Ok(Self::Cursor(cursor));
        }
        if text.ends_with(|c: char| c.is_ascii_alphabetic())
            && let Ok(age) = parse_duration(text)
        {
            return Ok(Self::Age(age));
        }
        // A `+` that was not percent-encoded arrives as a space.
        text.replace(' ', "+").parse().map(Self::Time).map_err(|_| invalid())
    }

    /// Reads a `Last-Event-ID`, which is never an error.
    #[must_use]
    pub fn from_last_event_id(text: &str) -> Self {
        text.parse().map_or_else(|InvalidCursor| Self::Foreign(text.to_owned()), Self::Cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_since_is_read() {
        assert_eq!(Start::from_since("earliest"), Ok(Start::Earliest));
        assert_eq!(Start::from_since("latest"), Ok(Start::Latest));
        assert_eq!(Start::from_since("-10"), Ok(Start::Last(10)));
        assert_eq!(Start::from_since("15m"), Ok(Start::Age(Duration::from_secs(900))));
        assert_eq!(Start::from_since("500ms"), Ok(Start::Age(Duration::from_millis(500))));
        assert_eq!(Start::from_since("q7m2x9-7"), Ok(Start::Cursor("q7m2x9-7".parse().unwrap())));
        assert!(matches!(Start::from_since("999999999d"), Ok(Start::Age(_))));
        let moment = "2026-11-22T05:46:19Z".parse().unwrap();
        assert_eq!(Start::from_since("2026-11-22T05:46:19Z"), Ok(Start::Time(moment)));
        assert_eq!(Start::from_since("2026-11-22T07:46:19 02:00"), Ok(Start::Time(moment)));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "-", "-0", "-10001", "-+5", "15", "now", "q7m2x9-", "2026-11-22", "--1"] {
            assert!(Start::from_since(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_last_event_id_is_a_cursor_or_foreign() {
        assert_eq!(Start::from_last_event_id("17"), Start::Foreign("17".into()));
        assert_eq!(Start::from_last_event_id(""), Start::Foreign(String::new()));
        assert!(matches!(Start::from_last_event_id("q7m2x9-7-x"), Start::Cursor(_)));
    }
}
