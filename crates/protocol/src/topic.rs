use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits;

/// A name that events are published under, for example `orders/42` (§1): UTF-8, 1 to 512 bytes, no control
/// characters, no `/` at either end, and no segment that is `*` or `**`.
///
/// Cloning is cheap: clones share the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// Why a text is not a topic or a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    /// The text is empty.
    #[error("a topic needs at least 1 byte")]
    Empty,
    /// The text is longer than [`limits::TOPIC_BYTES`].
    #[error("a topic has at most {} bytes, this one has {length}", limits::TOPIC_BYTES)]
    TooLong {
        /// How many bytes it has.
        length: usize,
    },
    /// The text holds a control character.
    #[error("a topic holds no control characters, this one has U+{code:04X} at byte {at}", code = u32::from(*character))]
    Control {
        /// Which one.
        character: char,
        /// Where it stands, in bytes from the start.
        at: usize,
    },
    /// The text begins or ends with a slash.
    #[error("a topic neither begins nor ends with `/`")]
    EdgeSlash,
    /// A segment is `*` or `**`, which only a selector may have.
    #[error("`*` and `**` stand for segments in a selector; a topic to publish to has none")]
    Wildcard,
}

// === impl Topic ===

impl Topic {
    /// Checks a text and takes it as a topic.
    ///
    /// # Errors
    /// [`InvalidTopic`] says which rule of §1 the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidTopic> {
        check(text)?;
        if text.split('/').any(|segment| segment == "*" || segment == "**") {
            return Err(InvalidTopic::Wildcard);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The text of the topic.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The rules that topics and selectors share.
pub(crate) fn check(text: &str) -> Result<(), InvalidTopic> {
    if text.is_empty() {
        return Err(InvalidTopic::Empty);
    }
    if text.len() > limits::TOPIC_BYTES {
        return Err(InvalidTopic::TooLong { length: text.len() });
    }
    if let Some((at, character)) = text.char_indices().find(|(_, c)| c.is_control()) {
        return Err(InvalidTopic::Control { character, at });
    }
    if text.starts_with('/') || text.ends_with('/') {
        return Err(InvalidTopic::EdgeSlash);
    }
    Ok(())
}

impl FromStr for Topic {
    type Err = InvalidTopic;
    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        Self::new(text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_topics() {
        for text in ["a", "orders/42", "a//b", "größe/α", "a*b/c**", ".", "..", "%2e", &"x".repeat(512)] {
            assert_eq!(Topic::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn each_rule_has_its_own_refusal() {
        assert_eq!(Topic::new(""), Err(InvalidTopic::Empty));
        assert_eq!(Topic::new(&"x".repeat(513)), Err(InvalidTopic::TooLong { length: 513 }));
        assert_eq!(Topic::new("a\u{7}"), Err(InvalidTopic::Control { character: '\u{7}', at: 1 }));
        assert_eq!(Topic::new("a\u{85}"), Err(InvalidTopic::Control { character: '\u{85}', at: 1 }));
        assert_eq!(Topic::new("/a"), Err(InvalidTopic::EdgeSlash));
        assert_eq!(Topic::new("a/"), Err(InvalidTopic::EdgeSlash));
        assert_eq!(Topic::new("/"), Err(InvalidTopic::EdgeSlash));
        assert_eq!(Topic::new("a/*/b"), Err(InvalidTopic::Wildcard));
        assert_eq!(Topic::new("**"), Err(InvalidTopic::Wildcard));
    }
}
