use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::limits;

/// Why a topic ended, where that was no clean end (§2): 1 to 64 characters of `[a-z0-9-]`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndReason(Arc<str>);

/// A text is no reason for an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason is 1 to {} characters of `a` to `z`, `0` to `9` and `-`", limits::END_REASON_BYTES)]
pub struct InvalidEndReason;

// === impl EndReason ===

impl EndReason {
    /// Of a streaming publication that broke off.
    pub const ABORTED: &str = "aborted";

    /// Of a topic that was deleted.
    pub const DELETED: &str = "deleted";

    /// Checks a text and takes it as a reason.
    ///
    /// # Errors
    /// [`InvalidEndReason`] where it has another length, or other characters.
    pub fn new(text: &str) -> Result<Self, InvalidEndReason> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=limits::END_REASON_BYTES).contains(&text.len()) || !text.bytes().all(fits) {
            return Err(InvalidEndReason);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The reason of a streaming publication that broke off.
    #[must_use]
    pub fn aborted() -> Self {
        Self(Arc::from(Self::ABORTED))
    }

    /// The reason of a topic that was deleted.
    #[must_use]
    pub fn deleted() -> Self {
        Self(Arc::from(Self::DELETED))
    }

    /// The text of the reason.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndReason {
    type Err = InvalidEndReason;
    fn from_str(text: &str) -> Result<Self, InvalidEndReason> {
        Self::new(text)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for EndReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EndReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_short_word() {
        for good in ["aborted", "stopped", "x", "no-2", &"a".repeat(64)] {
            assert_eq!(EndReason::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "Stopped", "a b", "a_b", "ü", "a\n", &"a".repeat(65)] {
            assert_eq!(EndReason::new(bad), Err(InvalidEndReason), "{bad:?}");
        }
    }
}
