use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits;

/// The type of an event (§2): 1 to 128 bytes, no control characters, not beginning with `tidings.`, which the
/// hub keeps for its own events.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventType(Arc<str>);

/// Why a text is not an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventType {
    /// The length is 0, or over [`limits::EVENT_TYPE_BYTES`].
    #[error("an event type has 1 to {} bytes, this one has {length}", limits::EVENT_TYPE_BYTES)]
    Length {
        /// How many bytes it has.
        length: usize,
    },
    /// It holds a control character.
    #[error("an event type holds no control characters")]
    Control,
    /// It begins with `tidings.`.
    #[error("event types that begin with `tidings.` are the hub's own")]
    Reserved,
}

// === impl EventType ===

impl EventType {
    /// Checks a text and takes it as an event type.
    ///
    /// # Errors
    /// [`InvalidEventType`] says which rule of §2 the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidEventType> {
        if text.is_empty() || text.len() > limits::EVENT_TYPE_BYTES {
            return Err(InvalidEventType::Length { length: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidEventType::Control);
        }
        if text.starts_with("tidings.") {
            return Err(InvalidEventType::Reserved);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The text of the event type.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventType {
    type Err = InvalidEventType;
    fn from_str(text: &str) -> Result<Self, InvalidEventType> {
        Self::new(text)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_own_refusal() {
        assert!(EventType::new("order shipped").is_ok());
        assert_eq!(EventType::new(""), Err(InvalidEventType::Length { length: 0 }));
        assert_eq!(EventType::new(&"x".repeat(129)), Err(InvalidEventType::Length { length: 129 }));
        assert_eq!(EventType::new("a\nb"), Err(InvalidEventType::Control));
        assert_eq!(EventType::new("tidings.end"), Err(InvalidEventType::Reserved));
    }
}
