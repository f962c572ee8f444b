//! Plots as SVG, which take their colours from the page that they are in.

use std::fmt::Write as _;

/// A line over rates.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Which colour it has.
    pub(crate) colour: usize,
    pub(crate) name: String,
    pub(crate) line: Vec<(f64, f64)>,
    /// Where it was measured.
    pub(crate) points: Vec<(f64, f64)>,
}

/// How numbers are written.
type Show = fn(f64) -> String;

/// What a label on the axis of rates takes.
const MARK: f64 = 48.0;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 34.0;
const BAR: f64 = 24.0;
const NAME: f64 = 116.0;
const VALUE: f64 = 72.0;
/// More decades than this get a label at every other.
const MOST_LABELS: i32 = 7;

/// Lines over rates, both as powers of ten.
pub(crate) fn lines(title: &str, series: &[Series], x: Show, y: Show) -> Option<String> {
    // What is nothing has no place among powers of ten.
    let all = || series.iter().flat_map(|one| one.line.iter().chain(&one.points)).filter(|(_, y)| *y > 0.0);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) =
            all().map(of).fold((f64::INFINITY, 0.0f64), |(low, high), at| (low.min(at), high.max(at)));
        (high > 0.0).then_some((low, high))
    };
    let ((left, right), (low, high)) = (range(|point| point.0)?, range(|point| point.1)?);
    let (bottom, top) = (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0));
    let (begin, end) = (left.log10(), right.log10().max(left.log10() + 0.1));
    let across = |value: f64| LEFT + (value.log10() - begin) / (end - begin) * (WIDTH - LEFT - RIGHT);
    let up =
        |value: f64| HEIGHT - BOTTOM - (value.log10() - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
    let mut svg = open(title, WIDTH, HEIGHT);
    for power in bottom as i32..=top as i32 {
        let (value, height) = (10f64.powi(power), up(10f64.powi(power)));
        put(&mut svg, format_args!("<path class=\"grid\" d=\"M{LEFT} {height:.1}H{:.1}\"/>", WIDTH - RIGHT));
        if (top - bottom) as i32 <= MOST_LABELS || (power - bottom as i32) % 2 == 0 {
            let label = escaped(&y(value));
            put(
                &mut svg,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" class=\"end\">{label}</text>",
                    LEFT - 6.0,
                    height + 4.0
                ),
            );
        }
    }
    for power in begin.ceil() as i32..=end.floor() as i32 {
        let value = 10f64.powi(power);
        mark(&mut svg, across(value), &x(value));
    }
    // Few plots begin at a power of ten.
    if across(10f64.powf(begin.ceil())) - LEFT > 40.0 {
        mark(&mut svg, LEFT, &x(left));
    }
    for one in series {
        let mut path = String::new();
        for (place, (rate, value)) in one.line.iter().filter(|(_, value)| *value > 0.0).enumerate() {
            let to = if place == 0 { 'M' } else { 'L' };
            put(&mut path, format_args!("{to}{:.1} {:.1}", across(*rate), up(*value)));
        }
        let (colour, name) = (one.colour, escaped(&one.name));
        put(
            &mut svg,
            format_args!("<path class=\"line s{colour}\" d=\"{path}\"><title>{name}</title></path>"),
        );
        for (rate, value) in one.points.iter().filter(|(_, value)| *value > 0.0) {
            let told = escaped(&format!("{}: {} at {}", one.name, y(*value), x(*rate)));
            let (at, height) = (across(*rate), up(*value));
            put(
                &mut svg,
                format_args!(
                    "<circle class=\"dot s{colour}\" cx=\"{at:.1}\" cy=\"{height:.1}\" r=\"3.5\"><title>{told}</title></circle>"
                ),
            );
        }
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// A bar for each name.
pub(crate) fn bars(title: &str, bars: &[(String, usize, f64)], show: Show) -> Option<String> {
    let most = bars.iter().map(|(.., value)| *value).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let mut svg = open(title, WIDTH, bars.len() as f64 * BAR + 4.0);
    for (place, (name, colour, value)) in bars.iter().enumerate() {
        let (y, width) = (place as f64 * BAR, (value / most * (WIDTH - NAME - VALUE)).max(1.0));
        let (name, label) = (escaped(name), escaped(&show(*value)));
        put(
            &mut svg,
            format_args!("<text x=\"{:.1}\" y=\"{:.1}\" class=\"end\">{name}</text>", NAME - 8.0, y + 16.0),
        );
        put(
            &mut svg,
            format_args!(
                "<rect class=\"bar s{colour}\" x=\"{NAME}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"16\" rx=\"2\"/>",
                y + 4.0
            ),
        );
        put(
            &mut svg,
            format_args!("<text x=\"{:.1}\" y=\"{:.1}\">{label}</text>", NAME + width + 6.0, y + 16.0),
        );
    }
    svg.push_str("</svg>");
    Some(svg)
}

fn open(title: &str, width: f64, height: f64) -> String {
    let title = escaped(title);
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">")
}

/// A label on the axis of rates.
fn mark(svg: &mut String, at: f64, text: &str) {
    let (foot, text) = (HEIGHT - BOTTOM, escaped(text));
    put(svg, format_args!("<path class=\"grid\" d=\"M{at:.1} {TOP}V{foot}\"/>"));
    // The last one ends with the plot.
    let (at, class) = if at + MARK / 2.0 > WIDTH { (WIDTH, "end") } else { (at, "middle") };
    put(
        svg,
        format_args!(
            "<text x=\"{at:.1}\" y=\"{:.1}\" class=\"{class}\">{text}</text>",
            HEIGHT - BOTTOM + 18.0
        ),
    );
}

/// A string takes all that is written to it.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    _ = text.write_fmt(what);
}

/// Text in HTML and SVG.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(number: f64) -> String {
        number.to_string()
    }

    #[test]
    fn what_is_nothing_has_no_place() {
        let series = |y| Series {
            colour: 0,
            name: "a<b".into(),
            line: vec![(1.0, y), (10.0, y)],
            points: vec![(1.0, y)],
        };
        assert_eq!(lines("x", &[series(0.0)], shown, shown), None);
        let svg = lines("x", &[series(0.0), series(5.0)], shown, shown).unwrap();
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(bars("x", &[("a".into(), 0, 0.0)], shown), None);
    }

    #[test]
    fn the_last_label_is_whole() {
        let line = vec![(1.0 / 60.0, 5.0), (100.0, 5.0)];
        let one = Series { colour: 0, name: "a".into(), points: Vec::new(), line };
        let svg = lines("x", &[one], |rate| format!("{rate}/s"), shown).unwrap();
        assert!(svg.contains("class=\"end\">100/s</text>"), "{svg}");
    }

    #[test]
    fn one_point_is_a_plot() {
        let one =
            Series { colour: 0, name: "a".into(), line: vec![(10.0, 10.0)], points: vec![(10.0, 10.0)] };
        let svg = lines("x", &[one], shown, shown).unwrap();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
