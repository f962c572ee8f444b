//! What a parser hands out.

/// One thing that a stream said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A blank line ended a block that had data.
    Event(Event),
    /// A blank line ended a block *without* data, and the last event id, given here, is not what it was
    /// before. `EventSource` takes such an id too, but tells nobody; whoever keeps a cursor must know.
    Id(String),
    /// The reconnection time, in milliseconds, told as soon as its line is complete. A number that does not
    /// fit is [`u64::MAX`].
    Retry(u64),
    /// A comment line: a sign of life, told as soon as the line is complete. Its text is dropped.
    Comment,
}

/// A dispatched event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Event {
    /// The event type. Empty where the stream gave none, which `EventSource` dispatches as `message`.
    pub event: String,
    /// The data: its lines with an LF between each two, and none at the end.
    pub data: String,
    /// The last event id at dispatch, whether this block or an earlier one set it. Empty if none has, or
    /// if it was reset.
    pub id: String,
    /// The fields that the standard does not know, as name and value, in order. `EventSource` ignores them.
    pub fields: Vec<(String, String)>,
}

impl Event {
    /// The value of the last field of that name among [`fields`](Self::fields).
    ///
    /// ```
    /// # use tidings_event_stream::{Item, Parser};
    /// let mut topic = None;
    /// Parser::new().feed(b"topic: orders\ndata: 1\n\n", |item| {
    ///     if let Item::Event(event) = item {
    ///         topic = event.field("topic").map(str::to_owned);
    ///     }
    /// })?;
    /// assert_eq!(topic.as_deref(), Some("orders"));
    /// # Ok::<(), tidings_event_stream::Error>(())
    /// ```
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_field_of_a_name_counts() {
        let fields = [("a", "1"), ("b", "2"), ("a", "3")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let event = Event { fields, ..Event::default() };
        assert_eq!(event.field("a"), Some("3"));
        assert_eq!(event.field("b"), Some("2"));
        assert_eq!(event.field("A"), None);
    }
}
