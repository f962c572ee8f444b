//! The outcome as one page that needs nothing else.

use std::fmt::Write as _;

use super::cost::Measure;
use super::intermediaries::Verdict;
use super::lane::{Rate, Wire};
use super::numbers::{bytes, micros, millis, short};
use super::outcome::{Measured, Outcome};
use super::plot::{Series, bars, escaped, lines};
use super::table::{HEADER, cells, each_of, omitted, optional, reading};

/// How its colours and its columns follow whoever looks at it.
const STYLE: &str = include_str!("page.css");
/// How finely lines are drawn.
const POINTS: usize = 60;
/// So many colours there are.
const COLOURS: usize = 8;

/// Writes the page.
pub(crate) fn page(outcome: &Outcome) -> String {
    let at =
        if outcome.own_hub { "a hub of its own on this machine".to_owned() } else { outcome.url.clone() };
    let mut body = format!(
        "<h1>Which transport?</h1><p>Compared by <code>tidings compare</code> at {}.</p>",
        escaped(&at)
    );
    if !outcome.conclusions.is_empty() {
        body.push_str("<h2>What follows here</h2>");
        list(&mut body, &outcome.conclusions);
    }
    between(&mut body, outcome);
    if let Some(wire) = outcome.wires().first().copied()
        && let Some(clients) = outcome.best_crowd(wire)
    {
        plots(&mut body, outcome, wire, clients);
    }
    for wire in outcome.wires() {
        waiting(&mut body, outcome, wire);
        delivering(&mut body, outcome, wire);
    }
    left_out(&mut body, outcome);
    body.push_str("<h2>How to read it</h2>");
    list(&mut body, &reading(outcome));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Which transport?</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <style>\n{STYLE}</style></head>\n<body><main>{body}</main></body></html>\n"
    )
}

fn between(body: &mut String, outcome: &Outcome) {
    body.push_str("<h2>What stands between</h2><dl>");
    for finding in outcome.intermediaries.lines() {
        let (class, mark) = match finding.verdict {
            Verdict::Good => ("good", "✓"),
            Verdict::Note => ("note", "·"),
            Verdict::Bad => ("bad", "✗"),
        };
        let (about, text) = (escaped(finding.about), marked_up(&finding.text));
        put(body, format_args!("<dt class=\"{class}\"><b>{mark}</b> {about}</dt><dd>{text}</dd>"));
    }
    body.push_str("</dl>");
}

fn plots(body: &mut String, outcome: &Outcome, wire: Wire, clients: usize) {
    let known: Vec<(usize, &Measured)> =
        outcome.over(wire).enumerate().filter(|(_, lane)| lane.curve(clients).is_some()).collect();
    put(body, format_args!("<h2>For {}, over {wire}</h2><ul class=\"legend\">", each_of(clients)));
    for (colour, lane) in &known {
        put(
            body,
            format_args!(
                "<li><i class=\"s{}\"></i>{}</li>",
                colour % COLOURS,
                escaped(&lane.lane.transport.to_string())
            ),
        );
    }
    body.push_str("</ul><div class=\"plots\">");
    let delays: Vec<_> = known
        .iter()
        .map(|(colour, lane)| {
            let of = |rate: Rate| lane.row(clients, rate).filter(|row| row.kept_up);
            let all = outcome.rates(wire).into_iter().filter_map(of);
            let (line, points): (Vec<_>, Vec<_>) =
                all.map(|row| ((row.rate.0, row.delay_p50), row.measured)).unzip();
            let points =
                line.iter().zip(points).filter(|(_, measured)| *measured).map(|(point, _)| *point).collect();
            Series { colour: colour % COLOURS, name: lane.lane.transport.to_string(), line, points }
        })
        .collect();
    figure(body, "Delay of an event, median", lines("Delay", &delays, rate_label, millis_label));
    for (title, measure, show) in [
        ("Bytes for each event", Measure::Bytes, bytes as fn(f64) -> String),
        ("Requests for each event", Measure::Requests, short),
        ("CPU of the hub for each event", Measure::HubCpu, micros),
        ("CPU of the client for each event", Measure::ClientCpu, micros),
    ] {
        let series: Vec<_> =
            known.iter().map(|(colour, lane)| series(*colour, lane, clients, measure)).collect();
        figure(body, title, lines(title, &series, rate_label, show));
    }
    let all = |of: &dyn Fn(&Measured) -> Option<f64>| -> Vec<(String, usize, f64)> {
        let one = |(colour, lane): &(usize, &Measured)| {
            Some((lane.lane.transport.to_string(), colour % COLOURS, of(lane)?))
        };
        known.iter().filter_map(one).collect()
    };
    let minute = all(&|lane| Some(lane.idle()?.bytes() * 60.0));
    figure(body, "Bytes of a minute in which nothing happens", bars("Idle minute", &minute, bytes));
    let memory = all(&|lane| lane.waiting.as_ref()?.memory.filter(|_| lane.measured));
    figure(body, "Memory of the hub for a client that waits", bars("Memory", &memory, bytes));
    body.push_str("</div>");
}

fn series(colour: usize, lane: &Measured, clients: usize, measure: Measure) -> Series {
    let name = lane.lane.transport.to_string();
    let (mut line, mut points) = (Vec::new(), Vec::new());
    if let Some(curve) = lane.curve(clients)
        && let Some(most) = curve.most()
    {
        let value = |rate: f64| Some((rate, curve.each(rate)?.of(measure)?));
        let at =
            |point: usize| Rate::LEAST.0 * (most / Rate::LEAST.0).powf(point as f64 / (POINTS - 1) as f64);
        line = (0..POINTS).filter_map(|point| value(at(point).min(most))).collect();
        if lane.measured {
            points = curve.events.iter().filter_map(|(rate, _)| value(*rate)).collect();
        }
    }
    Series { colour: colour % COLOURS, name, line, points }
}

fn waiting(body: &mut String, outcome: &Outcome, wire: Wire) {
    let rows: Vec<_> = outcome
        .over(wire)
        .filter_map(|lane| {
            let minute = lane.idle()? * 60.0;
            let memory = lane.waiting.as_ref()?.memory;
            Some(vec![
                lane.lane.transport.to_string(),
                short(minute.requests),
                bytes(minute.bytes()),
                optional(minute.hub_us, micros),
                optional(minute.client_us, micros),
                optional(memory, bytes),
            ])
        })
        .collect();
    let head = ["", "requests", "bytes", "hub’s CPU", "client’s CPU", "hub’s memory"];
    table(body, &format!("A minute in which nothing happens, over {wire}"), &head, &rows);
}

fn delivering(body: &mut String, outcome: &Outcome, wire: Wire) {
    let Some(clients) = outcome.best_crowd(wire) else { return };
    let mut rows = Vec::new();
    for rate in outcome.rates(wire) {
        let known = outcome.over(wire).filter_map(|lane| Some(cells(lane, lane.row(clients, rate)?)));
        rows.extend(known);
    }
    let title = format!("Events of {} bytes to {}, over {wire}", outcome.size, each_of(clients));
    table(body, &title, &HEADER, &rows);
}

fn left_out(body: &mut String, outcome: &Outcome) {
    let texts = omitted(outcome);
    if !texts.is_empty() {
        body.push_str("<h2>Not measured</h2>");
        list(body, &texts);
    }
}

fn table(body: &mut String, title: &str, head: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    put(body, format_args!("<h2>{}</h2><div class=\"wide\"><table><tr>", escaped(title)));
    head.iter().for_each(|name| put(body, format_args!("<th>{}</th>", escaped(name))));
    body.push_str("</tr>");
    for row in rows {
        body.push_str("<tr>");
        row.iter().for_each(|cell| put(body, format_args!("<td>{}</td>", escaped(cell))));
        body.push_str("</tr>");
    }
    body.push_str("</table></div>");
}

fn figure(body: &mut String, title: &str, svg: Option<String>) {
    if let Some(svg) = svg {
        put(body, format_args!("<figure><figcaption>{}</figcaption>{svg}</figure>", escaped(title)));
    }
}

fn list(body: &mut String, texts: &[String]) {
    body.push_str("<ul>");
    texts.iter().for_each(|text| put(body, format_args!("<li>{}</li>", marked_up(text))));
    body.push_str("</ul>");
}

/// Text in which backticks stand around code.
fn marked_up(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let part = |(place, part): (usize, &str)| {
        if place % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) }
    };
    parts.map(part).collect()
}

fn rate_label(rate: f64) -> String {
    Rate(rate).to_string()
}

fn millis_label(number: f64) -> String {
    millis(number)
}

/// A string takes all that is written to it.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::super::intermediaries::Findings;
    use super::super::lane::Transport;
    use super::super::outcome::tests::{cost, measured};
    use super::*;

    #[test]
    fn a_page_has_everything_and_needs_nothing() {
        let stream = measured(Transport::Sse, cost(0.0, 60.0, 15.0), cost(0.0, 100.0, 6.0), 1.0);
        let long = measured(Transport::LongPoll, cost(1.0, 100.0, 25.0), cost(1.0, 600.0, 9.0), 1.0);
        let outcome = Outcome {
            url: "http://hub/<script>".into(),
            own_hub: false,
            size: 100,
            intermediaries: Findings { troubles: vec!["a <b> `c`".into()], ..Findings::default() },
            lanes: vec![long, stream],
            conclusions: vec!["Above 3 events a second, `x` & y.".into()],
        };
        let html = page(&outcome);
        for part in [
            "<svg",
            "Above 3 events a second, <code>x</code> &amp; y.",
            "http://hub/&lt;script&gt;",
            "a &lt;b&gt; <code>c</code>",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
        for outside in ["src=", "href=", "url(", "<script", "@import"] {
            assert!(!html.contains(outside), "{outside}\n{html}");
        }
        for tag in ["ul", "table", "figure", "svg", "dl", "div", "main", "h2"] {
            let (begun, ended) =
                (html.matches(&format!("<{tag}")).count(), html.matches(&format!("</{tag}>")).count());
            assert_eq!(begun, ended, "{tag}");
        }
    }
}
