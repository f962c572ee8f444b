use std::time::Duration;

/// The text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a duration is a number of seconds, or a number with one of the units ms, s, m, h, d, like `25`, `2.5` or `500ms`"
)]
pub struct InvalidDuration;

/// Reads a duration as requests and settings write it (§3): `25`, `2.5`, `25s`, `500ms`, `15m`, `24h`, `7d`. A
/// number alone counts seconds. One of more than a thousand years is a thousand years: whoever writes it means for ever.
///
/// # Errors
/// [`InvalidDuration`] where the text is none, or is negative.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(tidings_protocol::parse_duration("2.5"), Ok(Duration::from_millis(2_500)));
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_per_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(InvalidDuration),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(InvalidDuration);
    }
    let number: f64 = digits.parse().map_err(|_| InvalidDuration)?;
    let millis = (number * seconds_per_unit * 1_000.0).min(MAX_MILLIS);
    Duration::try_from_secs_f64(millis.round() / 1_000.0).map_err(|_| InvalidDuration)
}

/// A thousand years: beyond every clock that the result is added to, and far from any overflow.
const MAX_MILLIS: f64 = 1_000.0 * 366.0 * 86_400_000.0;

/// Writes a duration the way [`parse_duration`] reads it, in the largest unit that it has several of
/// and that leaves no rest: `60s`, `24h`, `7d`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis.is_multiple_of(length) && (millis / length > 1 || unit == "s" && millis > 0) {
            return format!("{}{unit}", millis / length);
        }
    }
    if millis == 0 { "0s".into() } else { format!("{millis}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_perhaps_a_unit() {
        for (text, millis) in [
            ("25", 25_000),
            ("2.5", 2_500),
            ("25s", 25_000),
            ("500ms", 500),
            ("15m", 900_000),
            ("0", 0),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "1e3", "1 s", "1w", "1..2", "inf", "NaN", "ms", "1é"] {
            assert_eq!(parse_duration(text), Err(InvalidDuration), "{text}");
        }
    }

    #[test]
    fn for_ever_is_a_thousand_years() {
        let longest = parse_duration("366000d");
        assert!(longest.is_ok());
        let digits = "9".repeat(400);
        for text in ["366001d", "999999999d", "9999999999999999d", &digits, &format!("{digits}ms")] {
            assert_eq!(parse_duration(text), longest, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_they_are_written() {
        for millis in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 86_400_000, 604_800_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
