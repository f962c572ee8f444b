use std::fmt;
use std::str::FromStr;

/// The place of an event in a log, from 1. 0 is before everything.
pub type Sequence = u64;

/// Which log a cursor belongs to (§1): 6 to 16 characters of `[a-z0-9]`, drawn at random when a log is created
/// and anew whenever it may have lost events that it had acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    bytes: [u8; Epoch::MAX],
    length: u8,
}

/// Everything up to and including one event is seen (§1), written `<epoch>-<sequence>`. An event's id is the
/// cursor just after it.
///
/// A hub may append a further part to the cursors that it hands out; it is accepted and left out here.
///
/// ```
/// use tidings_protocol::Cursor;
/// let cursor: Cursor = "q7m2x9-1042-anything".parse()?;
/// assert_eq!(cursor.to_string(), "q7m2x9-1042");
/// # Ok::<(), tidings_protocol::InvalidCursor>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The log that the sequence counts in.
    pub epoch: Epoch,
    /// The last sequence number that is seen.
    pub sequence: Sequence,
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cursor is an epoch of 6 to 16 characters of a-z and 0-9, a `-`, and a sequence number, like `q7m2x9-1042`"
)]
pub struct InvalidCursor;

// === impl Epoch ===

impl Epoch {
    const MIN: usize = 6;
    const MAX: usize = 16;
    const ALPHABET: &'static [u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

    /// An epoch of eight characters, made from 40 random bits. Characters that are easily confused are left
    /// out.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        let mut bytes = [0; Self::MAX];
        for (place, byte) in bytes.iter_mut().take(8).enumerate() {
            let index = (bits >> (5 * place)) & 31;
            *byte = Self::ALPHABET[usize::try_from(index).unwrap_or(0)];
        }
        Self { bytes, length: 8 }
    }

    /// The characters of the epoch.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl FromStr for Epoch {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let fits = (Self::MIN..=Self::MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fits {
            return Err(InvalidCursor);
        }
        let mut bytes = [0; Self::MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { bytes, length: u8::try_from(text.len()).map_err(|_| InvalidCursor)? })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

// === impl Cursor ===

impl Cursor {
    /// The cursor after the event `sequence` of the log `epoch`.
    #[must_use]
    pub fn new(epoch: Epoch, sequence: Sequence) -> Self {
        Self { epoch, sequence }
    }

    /// Appends the text of the cursor to `out`, without an intermediate string.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.epoch.as_str().as_bytes());
        out.push(b'-');
        write_decimal(self.sequence, out);
    }
}

fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let mut parts = text.splitn(3, '-');
        let epoch = parts.next().ok_or(InvalidCursor)?.parse()?;
        let digits = parts.next().ok_or(InvalidCursor)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidCursor);
        }
        // No hub appends a colon: `999999-01-01T00:00:00Z` is a time that cannot be, and no cursor.
        if parts.next().is_some_and(|more| more.contains(':')) {
            return Err(InvalidCursor);
        }
        Ok(Self { epoch, sequence: digits.parse().map_err(|_| InvalidCursor)? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_a_cursor_is_refused() {
        for text in [
            "",
            "-",
            "q7m2x9",
            "q7m2x9-",
            "q7m2x9-x",
            "q7m2x9-+1",
            "999999-01-01T00:00:00Z",
            "q7m2x9--1",
            "Q7M2X9-1",
            "abc-1",
            "ümlaut-1",
            "12345678901234567-1",
            "q7m2x9-18446744073709551616",
            " q7m2x9-1",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn cursors_are_read_as_they_are_written(bits: u64, sequence: u64) {
            let cursor = Cursor::new(Epoch::from_random(bits), sequence);
            let mut bytes = Vec::new();
            cursor.write(&mut bytes);
            let text = cursor.to_string();
            prop_assert_eq!(text.as_bytes(), bytes.as_slice());
            prop_assert_eq!(text.parse::<Cursor>().unwrap(), cursor);
            prop_assert_eq!(format!("{text}-more-parts").parse::<Cursor>().unwrap(), cursor);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = text.parse::<Cursor>();
        }
    }
}
