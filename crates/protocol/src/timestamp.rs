use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::fmt::temporal::Pieces;

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z, written as RFC 3339 in UTC with three decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// The text is not a moment that a log could hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as in RFC 3339, like `2026-11-22T05:46:19Z`")]
pub struct InvalidTimestamp;

/// How many decimals of a second the library reads.
const DECIMALS: usize = 9;

// === impl Timestamp ===

impl Timestamp {
    /// The present moment by the system's clock.
    #[must_use]
    pub fn now() -> Self {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    /// The moment so many milliseconds after 1970 began.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 began.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment `age` before this one; the beginning of 1970 at the earliest.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The moment so long after this one.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago this was, by the system's clock; zero where it is still to come.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_millis(self.0))
    }

    /// How long ago this was at the moment `now`; zero where it is later.
    #[must_use]
    pub fn until(self, now: Self) -> Duration {
        Duration::from_millis(now.0.saturating_sub(self.0))
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let text = &*with_few_decimals(text);
        let Ok(parsed) = text.parse::<jiff::Timestamp>() else { return beyond(text).ok_or(InvalidTimestamp) };
        // "the first event at or after": a fraction of a millisecond rounds up.
        let nanos = u128::try_from(parsed.as_nanosecond()).unwrap_or(0);
        u64::try_from(nanos.div_ceil(1_000_000)).map(Self).map_err(|_| InvalidTimestamp)
    }
}

/// RFC 3339 knows any number of decimals, and the library nine. What is beyond them still rounds up.
fn with_few_decimals(text: &str) -> Cow<'_, str> {
    let Some(begin) = text.find(['.', ',']).map(|at| at + 1) else { return text.into() };
    let digits = text[begin..].bytes().take_while(u8::is_ascii_digit).count();
    if digits <= DECIMALS {
        return text.into();
    }
    let (kept, rest) = text[begin..begin + digits].split_at(DECIMALS);
    let is_more = kept.ends_with('0') && rest.bytes().any(|digit| digit != b'0');
    let kept = if is_more { format!("{}1", &kept[..DECIMALS - 1]) } else { kept.to_owned() };
    format!("{}{kept}{}", &text[..begin], &text[begin + digits..]).into()
}

/// A moment that is well written, in the years 0 to 9999, and beyond what the library counts: the end of 9999 is.
fn beyond(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok()?;
    let (date, time, offset) = (pieces.date(), pieces.time()?, pieces.to_numeric_offset()?);
    let is_beyond = offset.to_timestamp(date.to_datetime(time)).is_err();
    let millis = |moment: jiff::Timestamp| u64::try_from(moment.as_millisecond()).unwrap_or(0);
    is_beyond.then(|| Timestamp(if date.year() > 0 { millis(jiff::Timestamp::MAX) } else { 0 }))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        write!(f, "{:.3}", moment.unwrap_or(jiff::Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_with_three_decimals_in_utc() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_795_326_379_120).to_string(), "2026-11-22T05:46:19.120Z");
        assert!(!Timestamp::from_millis(u64::MAX).to_string().is_empty());
    }

    #[test]
    fn moments_are_read_with_any_offset() {
        let moment: Timestamp = "2026-11-22T07:46:19.12+02:00".parse().unwrap();
        assert_eq!(moment.as_millis(), 1_795_326_379_120);
        assert_eq!("1969-01-01T00:00:00Z".parse(), Ok(Timestamp::from_millis(0)));
        assert_eq!("1970-01-01T00:00:00.0001Z".parse(), Ok(Timestamp::from_millis(1)));
        for (text, millis) in [
            ("1970-01-01T00:00:00.0010000000000Z", 1),
            ("1970-01-01T00:00:00.001000000000001+00:00", 2),
            ("1970-01-01T00:00:00.001999999999999Z", 2),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp::from_millis(millis)), "{text}");
        }
        for text in [
            "yesterday",
            "1970-01-01T00:00:00.0000000000\u{e9}",
            "10000-01-01T00:00:00Z",
            "9999-12-31",
            "9999-12-31T23:59:59",
            "9999-13-31T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text}");
        }
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999-23:59"] {
            let last: Timestamp = text.parse().unwrap();
            assert!(last > moment, "{text}");
            assert!(last.to_string().starts_with("9999-12-30"), "{last}");
        }
        for text in ["0000-01-01T00:00:00Z", "0000-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z"] {
            assert_eq!(text.parse(), Ok(Timestamp::from_millis(0)), "{text}");
        }
    }
}
