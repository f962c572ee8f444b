//! Numbers as people read them.

/// What is less is as good as nothing.
const LEAST: f64 = 1e-6;

/// Three digits that count, in groups: `0.123`, `12.3`, `1,230`, `45,600`.
pub(crate) fn short(number: f64) -> String {
    if !number.is_finite() {
        return "–".into();
    }
    let size = number.abs();
    if size < LEAST {
        return "0".into();
    }
    if size >= 99.95 {
        let power = 10f64.powi((size.log10().floor() as i32 - 2).max(0));
        return grouped((number / power).round() * power);
    }
    let places = if size >= 9.995 {
        1
    } else if size >= 0.9995 {
        2
    } else {
        2 + (-size.log10()).ceil().max(1.0) as usize
    };
    let text = format!("{number:.places$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// So many clients: `one client`, `100 clients`.
pub(crate) fn crowd(clients: usize) -> String {
    if clients == 1 { "one client".into() } else { format!("{clients} clients") }
}

/// Bytes in the unit that suits them: `0`, `512 B`, `9.14 KB`, `1.2 MB`.
pub(crate) fn bytes(number: f64) -> String {
    match number.abs() {
        size if size >= 1e6 => format!("{} MB", short(number / 1e6)),
        size if size >= 1e4 => format!("{} KB", short(number / 1e3)),
        _ => format!("{} B", short(number.round())),
    }
}

/// Milliseconds in the unit that suits them: `0.31 ms`, `12 ms`, `2.5 s`.
pub(crate) fn millis(number: f64) -> String {
    if number.abs() >= 1e3 { format!("{} s", short(number / 1e3)) } else { format!("{} ms", short(number)) }
}

/// Microseconds in the unit that suits them.
pub(crate) fn micros(number: f64) -> String {
    if number.abs() >= 1e3 { millis(number / 1e3) } else { format!("{} µs", short(number)) }
}

/// A whole number in groups of three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        for (number, text) in [
            (0.0, "0"),
            (1e-7, "0"),
            (0.0001, "0.0001"),
            (0.01234, "0.0123"),
            (0.1234, "0.123"),
            (0.5, "0.5"),
            (1.0, "1"),
            (4.25499, "4.25"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (1_234.0, "1,230"),
            (45_678.0, "45,700"),
            (-1_234_567.0, "-1,230,000"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn units_suit_the_number() {
        assert_eq!(
            [bytes(0.0), bytes(512.2), bytes(9_140.0), bytes(12_300.0), bytes(1_250_000.0)],
            ["0 B", "512 B", "9,140 B", "12.3 KB", "1.25 MB"]
        );
        assert_eq!([millis(0.31), millis(12.0), millis(2_500.0)], ["0.31 ms", "12 ms", "2.5 s"]);
        assert_eq!([micros(6.2), micros(1_900.0)], ["6.2 µs", "1.9 ms"]);
    }
}
