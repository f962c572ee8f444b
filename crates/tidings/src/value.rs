//! The kinds of values that settings have, each with one way to be written.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use tidings_protocol::{InvalidDuration, format_duration, parse_duration};

/// A length of time, like `15s`, `500ms`, `24h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A number of bytes, like `1GiB`, `64MiB`, `500KB` or `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// Which log a hub is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogPlace {
    Disk(PathBuf),
    Memory,
    Engine(EngineUrl),
}

/// The address of an engine, as it was given. It may hold a password, so it is shown only in part.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EngineUrl(String);

/// The text is not a number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a size is a number of bytes, perhaps with KiB, MiB, GiB, TiB, KB, MB, GB or TB, like `64MiB`, and less than 16777216TiB"
)]
pub(crate) struct InvalidSize;

/// The text names no log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log is `disk:FOLDER`, `memory:`, or the address of an engine, like `nats://HOST:PORT/STREAM`")]
pub(crate) struct InvalidLogPlace;

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

// === impl Span ===

impl FromStr for Span {
    type Err = InvalidDuration;
    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        parse_duration(text).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

// === impl Size ===

impl FromStr for Size {
    type Err = InvalidSize;
    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &text[digits.len()..];
        let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let factor = if unit.is_empty() { 1 } else { known.ok_or(InvalidSize)?.1 };
        let number: u64 = digits.trim_end().parse().map_err(|_| InvalidSize)?;
        number.checked_mul(factor).map(Self).ok_or(InvalidSize)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
        for (name, factor) in binary {
            if self.0 > 0 && self.0.is_multiple_of(*factor) {
                return write!(f, "{}{name}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

// === impl LogPlace ===

impl FromStr for LogPlace {
    type Err = InvalidLogPlace;
    fn from_str(text: &str) -> Result<Self, InvalidLogPlace> {
        if let Some(url) = EngineUrl::new(text) {
            return Ok(Self::Engine(url));
        }
        match text.split_once(':') {
            Some(("disk", folder)) if !folder.is_empty() => Ok(Self::Disk(PathBuf::from(folder))),
            Some(("memory", "")) => Ok(Self::Memory),
            _ => Err(InvalidLogPlace),
        }
    }
}

#[cfg(feature = "serve")]
impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(folder) => write!(f, "disk:{}", folder.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Engine(url) => url.fmt(f),
        }
    }
}

// === impl EngineUrl ===

impl EngineUrl {
    /// Takes a text that names an engine, right or wrong, or may hold a password: what is wrong is said without showing
    /// it, and so not by whoever reads flags and files.
    fn new(text: &str) -> Option<Self> {
        let is_one = text.contains("://") || text.contains('@') && !text.starts_with("disk:");
        is_one.then(|| Self(text.to_owned()))
    }

    #[cfg(feature = "serve")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineUrl(…)")
    }
}

/// Reads a value from a string, or from a bare number where that has a meaning.
struct Text<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error| E::custom(format!("`{text}`: {error}")))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! deserialize_from_text {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Text::<Self>(std::marker::PhantomData))
            }
        }
    )*};
}

deserialize_from_text!(Span, Size, LogPlace);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_number_and_perhaps_a_unit() {
        for (text, bytes) in
            [("1GiB", 1 << 30), ("64MiB", 64 << 20), ("500KB", 500_000), ("7", 7), ("1 mib", 1 << 20)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1XB", "99999999999TiB"] {
            assert_eq!(text.parse::<Size>(), Err(InvalidSize), "{text}");
        }
        assert_eq!(Size(1 << 30).to_string(), "1GiB");
        assert_eq!(Size(1_500).to_string(), "1500");
    }

    #[test]
    fn a_log_is_on_disk_or_in_memory() {
        assert_eq!("disk:./a:b".parse(), Ok(LogPlace::Disk("./a:b".into())));
        assert_eq!("memory:".parse(), Ok(LogPlace::Memory));
        for text in ["disk:", "memory", "memory:x", "./data", ""] {
            assert_eq!(text.parse::<LogPlace>(), Err(InvalidLogPlace), "{text}");
        }
    }
}
