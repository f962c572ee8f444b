//! What follows from the figures, in words: from which rate on which transport to read is wasteful here.

use super::cost::{Curve, Measure};
use super::lane::{Rate, Transport, span};
use super::numbers::{millis, short};
use super::outcome::{Measured, Outcome};

/// Where one costs more than so many times the other, in rates.
#[derive(Debug, Clone, PartialEq)]
enum Beyond {
    Never {
        most: f64,
    },
    Always {
        least: f64,
        most: f64,
    },
    Above(f64),
    Below(f64),
    /// Between these, or several such.
    Between(Vec<(f64, f64)>),
}

/// So many times as much is wasteful.
const WASTEFUL: f64 = 2.0;
/// How finely rates are looked at.
const POINTS: usize = 400;

/// Compares every transport to read with streams, over the first wire and with the number of clients of which most is known.
pub(crate) fn conclusions(outcome: &Outcome) -> Vec<String> {
    let mut sentences = Vec::new();
    let Some(wire) = outcome.wires().first().copied() else { return sentences };
    let Some(clients) = outcome.best_crowd(wire) else { return sentences };
    let lanes: Vec<_> = outcome.over(wire).collect();
    let stream =
        lanes.iter().find(|lane| lane.lane.transport == Transport::Sse && lane.curve(clients).is_some());
    for lane in &lanes {
        if let (Transport::Poll(interval), Some(row)) =
            (lane.lane.transport, outcome.rates(wire).first().and_then(|rate| lane.row(clients, *rate)))
        {
            sentences.push(format!(
                "Of the events that a client reads by a poll every {}, half are older than {} when it has them.",
                span(interval),
                millis(row.delay_p50)
            ));
        }
    }
    if let Some(stream) = stream {
        for lane in lanes.iter().filter(|lane| lane.lane.transport != stream.lane.transport) {
            for measure in [Measure::Bytes, Measure::HubCpu] {
                sentences.extend(compared(lane, stream, measure, clients));
            }
        }
    }
    sentences
}

fn compared(lane: &Measured, stream: &Measured, measure: Measure, clients: usize) -> Option<String> {
    let (curve, basis) = (lane.curve(clients)?, stream.curve(clients)?);
    let beyond = beyond(&curve, &basis, measure)?;
    let (own, other) = (lane.lane.transport.with_article(), stream.lane.transport.with_article());
    let (name, what) = (capitalized(&own), words(measure));
    let (verb, twice) = match measure {
        Measure::Bytes => ("moves", format!("moves more than twice the bytes of {other}")),
        _ => ("takes", format!("takes more than twice as much of the {what} as {other}")),
    };
    Some(match beyond {
        Beyond::Never { most } if most < 1.0 => {
            format!("{name} {verb} less of the {what} than {other}, at every rate.")
        }
        Beyond::Never { most } => {
            format!("{name} {verb} at most {} times the {what} of {other}, at any rate.", short(most))
        }
        Beyond::Always { least, most } => {
            format!("At every rate {own} {twice}: {} to {} times as much.", short(least), short(most))
        }
        Beyond::Above(rate) => format!("Above {} {own} {twice}.", rate_in_words(rate)),
        Beyond::Below(rate) => format!("Below {} {own} {twice}.", rate_in_words(rate)),
        Beyond::Between(spans) => {
            let spans: Vec<_> = spans
                .iter()
                .map(|(low, high)| format!("between {} and {}", rate_in_words(*low), rate_in_words(*high)))
                .collect();
            format!("{} {own} {twice}.", capitalized(&spans.join(" and ")))
        }
    })
}

/// Where a curve is beyond twice another; `None` where one of them says nothing of it.
fn beyond(curve: &Curve, basis: &Curve, measure: Measure) -> Option<Beyond> {
    let (low, high) = (Rate::LEAST.0, curve.most()?.min(basis.most()?));
    let at = |point: usize| low * (high / low).powf(point as f64 / (POINTS - 1) as f64);
    let ratio = |rate: f64| {
        let (own, other) = (curve.second(rate)?.of(measure)?, basis.second(rate)?.of(measure)?);
        (other > 0.0).then(|| own / other)
    };
    let ratios = (0..POINTS).map(|point| ratio(at(point))).collect::<Option<Vec<f64>>>()?;
    let most = ratios.iter().copied().fold(0.0, f64::max);
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (point, ratio) in ratios.iter().enumerate().filter(|(_, ratio)| **ratio > WASTEFUL) {
        match spans.last_mut() {
            Some((_, end)) if *end + 1 == point => *end = point,
            _ => spans.push((point, point)),
        }
        debug_assert!(*ratio > WASTEFUL);
    }
    let last = POINTS - 1;
    Some(match spans.as_slice() {
        [] => Beyond::Never { most },
        [(0, end)] if *end == last => Beyond::Always { least, most },
        [(begin, end)] if *end == last => Beyond::Above(at(*begin)),
        [(0, end)] => Beyond::Below(at(*end)),
        spans => Beyond::Between(spans.iter().map(|(begin, end)| (at(*begin), at(*end))).collect()),
    })
}

fn words(measure: Measure) -> &'static str {
    match measure {
        Measure::Requests => "requests",
        Measure::Bytes => "bytes",
        Measure::HubCpu => "hub's CPU",
        Measure::ClientCpu => "client's CPU",
    }
}

/// A rate as a sentence has it.
pub(crate) fn rate_in_words(rate: f64) -> String {
    if rate >= 0.95 {
        return format!("{} events a second", short(rate));
    }
    let seconds = 1.0 / rate;
    if seconds >= 59.5 {
        "one event a minute".into()
    } else {
        format!("one event every {} s", short(seconds))
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::intermediaries::Findings;
    use super::super::outcome::tests::{cost, measured};
    use super::*;

    fn outcome(lanes: Vec<Measured>) -> Outcome {
        Outcome {
            url: String::new(),
            own_hub: true,
            size: 100,
            intermediaries: Findings::default(),
            lanes,
            conclusions: Vec::new(),
        }
    }

    #[test]
    fn it_is_said_from_which_rate_on_something_is_wasteful() {
        // A heartbeat of 60 bytes every 15 s is 4 bytes a second; an empty poll of 100 every 25 s as much.
        let stream = measured(Transport::Sse, cost(0.0, 60.0, 15.0), cost(0.0, 100.0, 6.0), 1.0);
        let long = measured(Transport::LongPoll, cost(1.0, 100.0, 25.0), cost(1.0, 600.0, 9.0), 1.0);
        let said = conclusions(&outcome(vec![long, stream]));
        // 4 + 600 r > 2 (4 + 100 r) where r > 0.01, which is below the lowest rate that is looked at.
        assert!(
            said.iter().any(|text| text
                .starts_with("At every rate a long poll moves more than twice the bytes of an SSE stream")),
            "{said:?}"
        );
        // 1 + 9 r, and 1 + 6 r: never.
        assert!(
            said.iter().any(|text| text.starts_with("A long poll takes at most 1.5 times the hub's CPU")),
            "{said:?}"
        );
    }

    #[test]
    fn polls_are_wasteful_where_little_happens() {
        let stream = measured(Transport::Sse, cost(0.0, 0.0, 15.0), cost(0.0, 100.0, 6.0), 1.0);
        let poll = measured(
            Transport::Poll(Duration::from_secs(1)),
            cost(1.0, 300.0, 30.0),
            cost(0.0, 100.0, 1.0),
            500.0,
        );
        let said = conclusions(&outcome(vec![poll, stream]));
        // 300 + 100 r > 2 * 100 r where r < 3.
        let below = said.iter().find(|text| text.contains("bytes")).unwrap();
        assert!(below.starts_with("Below 2.9") || below.starts_with("Below 3"), "{said:?}");
        assert!(
            below.ends_with("a poll every 1 s moves more than twice the bytes of an SSE stream."),
            "{said:?}"
        );
        assert!(said[0].contains("half are older than 500 ms"), "{said:?}");
    }

    #[test]
    fn where_a_curve_crosses_twice_another_is_found() {
        let flat = |each: f64, idle: f64| Curve {
            idle: cost(0.0, idle, 1.0),
            events: vec![(10.0, cost(0.0, each, 1.0)), (1_000.0, cost(0.0, each, 1.0))],
        };
        let (stream, dear) = (flat(100.0, 1_000.0), flat(400.0, 1_000.0));
        // 1000 + 400 r > 2 (1000 + 100 r) where r > 5.
        let Some(Beyond::Above(rate)) = beyond(&dear, &stream, Measure::Bytes) else { panic!() };
        assert!((rate / 5.0 - 1.0).abs() < 0.05, "{rate}");
        assert_eq!(beyond(&stream, &stream, Measure::Bytes), Some(Beyond::Never { most: 1.0 }));
        // Nothing is compared with nothing.
        assert_eq!(beyond(&dear, &stream, Measure::Requests), None);
    }

    #[test]
    fn rates_are_said_as_people_say_them() {
        let said = [3.2, 0.5, 1.0 / 60.0, 150.0].map(rate_in_words);
        assert_eq!(
            said,
            ["3.2 events a second", "one event every 2 s", "one event a minute", "150 events a second"]
        );
    }
}
