use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tidings_protocol::{InvalidStart, Start, Timestamp, format_duration};

/// Where a subscription begins.
///
/// ```
/// use tidings_client::Since;
/// assert_eq!("-10".parse(), Ok(Since::Last(10)));
/// assert_eq!(Since::Ago(std::time::Duration::from_secs(900)).to_string(), "15m");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Since {
    /// Before the earliest event that the hub holds.
    Earliest,
    /// After the latest event: only what is published from now on.
    #[default]
    Latest,
    /// Before the last so many matching events, from 1 to 10,000.
    Last(usize),
    /// Before the first event at or after a moment.
    At(Timestamp),
    /// Before the first event that is no older than this.
    Ago(Duration),
    /// After a cursor: the id of an event, or what [`Subscription::cursor`](crate::Subscription::cursor) gave.
    /// One that the hub does not know is answered with a gap.
    Cursor(String),
}

// === impl Since ===

impl FromStr for Since {
    type Err = InvalidStart;
    fn from_str(text: &str) -> Result<Self, InvalidStart> {
        Ok(match Start::from_since(text)? {
            Start::Earliest => Self::Earliest,
            Start::Latest => Self::Latest,
            Start::Last(count) => Self::Last(count),
            Start::Time(moment) => Self::At(moment),
            Start::Age(age) => Self::Ago(age),
            Start::Cursor(_) | Start::Foreign(_) => Self::Cursor(text.to_owned()),
        })
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Last(count) => write!(f, "-{count}"),
            Self::At(moment) => moment.fmt(f),
            Self::Ago(age) => f.write_str(&format_duration(*age)),
            Self::Cursor(cursor) => f.write_str(cursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_to_begin_is_read_as_it_is_written() {
        for text in ["earliest", "latest", "-10", "15m", "500ms", "2026-11-22T05:46:19.000Z", "q7m2x9-7-part"]
        {
            assert_eq!(text.parse::<Since>().unwrap().to_string(), text);
        }
        assert!("yesterday".parse::<Since>().is_err());
    }
}
