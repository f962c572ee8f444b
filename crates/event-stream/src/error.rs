//! What can go wrong in a stream: only its size, for the format itself has no syntax errors.

use std::fmt;

/// The limit that a stream went over. The parser that told it stays failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// A line, with or without its end in sight, is longer than [`Limits::line`](crate::Limits::line).
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The fields of one event come to more than [`Limits::event`](crate::Limits::event).
    EventTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong { limit } => write!(f, "a line is longer than the limit of {limit} bytes"),
            Self::EventTooLarge { limit } => write!(f, "an event is larger than the limit of {limit} bytes"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_limit_and_its_value() {
        assert_eq!(
            Error::LineTooLong { limit: 10 }.to_string(),
            "a line is longer than the limit of 10 bytes"
        );
        assert_eq!(
            Error::EventTooLarge { limit: 20 }.to_string(),
            "an event is larger than the limit of 20 bytes"
        );
    }
}
