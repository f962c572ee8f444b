//! What came of a comparison, as it stands here for machines.

use std::time::Duration;

use serde::Serialize;

use super::cost::{Cost, Curve};
use super::intermediaries::Findings;
use super::lane::{Lane, Rate, Transport, Wire};
use super::measurement::{Delivering, Waiting};

/// The whole account of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) url: String,
    /// The hub was one of this program's own, on this machine.
    pub(crate) own_hub: bool,
    /// Of the data of each event.
    pub(crate) size: usize,
    /// What stands between the client and the hub.
    pub(crate) intermediaries: Findings,
    pub(crate) lanes: Vec<Measured>,
    /// In words, what follows from the figures.
    pub(crate) conclusions: Vec<String>,
}

/// What was measured of one transport to read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    pub(crate) lane: Lane,
    /// False for polls at an interval that was not measured: their figures are computed from those of another interval.
    pub(crate) measured: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting: Option<Waiting>,
    pub(crate) delivering: Vec<Delivering>,
    /// What was not measured, and why.
    pub(crate) omitted: Vec<Omitted>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Omitted {
    /// Absent where it is so for the whole lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clients: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Rate>,
    pub(crate) reason: String,
}

/// What is said of one rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) rate: Rate,
    /// Whether it was measured at this rate, and is not computed from what was measured at others.
    pub(crate) measured: bool,
    /// In milliseconds.
    pub(crate) delay_p50: f64,
    pub(crate) delay_p99: f64,
    /// Of an event, for each client.
    pub(crate) each: Cost,
    /// Hub, network and client kept up with it.
    pub(crate) kept_up: bool,
    /// What the publisher came to, which may be what did not keep up.
    pub(crate) reached: f64,
}

// === impl Outcome ===

impl Outcome {
    pub(crate) fn wires(&self) -> Vec<Wire> {
        let mut wires: Vec<Wire> = Vec::new();
        for measured in &self.lanes {
            if !wires.contains(&measured.lane.wire) {
                wires.push(measured.lane.wire);
            }
        }
        wires
    }

    pub(crate) fn over(&self, wire: Wire) -> impl Iterator<Item = &Measured> {
        self.lanes.iter().filter(move |measured| measured.lane.wire == wire)
    }

    /// The numbers of clients that something was measured with, over one wire.
    pub(crate) fn crowds(&self, wire: Wire) -> Vec<usize> {
        let mut crowds: Vec<_> =
            self.over(wire).flat_map(|lane| &lane.delivering).map(|cell| cell.clients).collect();
        crowds.sort_unstable();
        crowds.dedup();
        crowds
    }

    /// The number of clients with which most was measured, and of several the largest.
    pub(crate) fn best_crowd(&self, wire: Wire) -> Option<usize> {
        let cells = |clients: usize| {
            let kept = |lane: &Measured| lane.kept(clients).count();
            (self.over(wire).map(kept).sum::<usize>(), clients)
        };
        self.crowds(wire).into_iter().max_by_key(|clients| cells(*clients))
    }

    /// The rates that are told of: those that were measured, and some below them.
    pub(crate) fn rates(&self, wire: Wire) -> Vec<Rate> {
        let cells = self.over(wire).filter(|lane| lane.measured).flat_map(|lane| &lane.delivering);
        let mut rates: Vec<_> = cells.map(|cell| cell.rate).collect();
        rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        rates.dedup();
        let Some(least) = rates.first().copied() else { return rates };
        let below = [Rate::LEAST, Rate(1.0)].into_iter().filter(|rate| rate.0 < 0.99 * least.0);
        below.chain(rates.iter().copied()).collect()
    }
}

// === impl Row ===

impl Row {
    /// What was wrong, where something was.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.kept_up {
            None
        } else if self.reached < 0.9 * self.rate.0 {
            Some(format!("only {} a second could be published", super::numbers::short(self.reached)))
        } else {
            Some("could not keep up".into())
        }
    }
}

// === impl Measured ===

impl Measured {
    /// What a client costs each second while nothing happens.
    pub(crate) fn idle(&self) -> Option<Cost> {
        Some(idle(self.lane.transport, self.waiting.as_ref()?))
    }

    fn kept(&self, clients: usize) -> impl Iterator<Item = &Delivering> {
        self.delivering.iter().filter(move |cell| cell.clients == clients && cell.kept_up())
    }

    pub(crate) fn curve(&self, clients: usize) -> Option<Curve> {
        let mut events: Vec<_> = self.kept(clients).map(|cell| (cell.rate.0, cell.event)).collect();
        events.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Some(Curve { idle: self.idle()?, events }).filter(|curve| !curve.events.is_empty())
    }

    /// What there is to say of a rate; `None` where nothing is known of one so high.
    pub(crate) fn row(&self, clients: usize, rate: Rate) -> Option<Row> {
        let cell = self.delivering.iter().find(|cell| cell.clients == clients && cell.rate == rate);
        if let Some(cell) = cell.filter(|cell| !cell.kept_up()) {
            let idle = self.idle()? * (1.0 / rate.0);
            let (delay_p50, delay_p99) = (cell.delay_p50, cell.delay_p99);
            let measured = self.measured;
            return Some(Row {
                rate,
                measured,
                delay_p50,
                delay_p99,
                each: idle + cell.event,
                kept_up: false,
                reached: if cell.was_delivered() { cell.reached } else { rate.0 },
            });
        }
        let each = self.curve(clients)?.each(rate.0)?;
        // Delays below the rates that were measured are those at the lowest of them.
        let nearest = cell.or_else(|| self.kept(clients).min_by(|a, b| a.rate.0.total_cmp(&b.rate.0)))?;
        Some(Row {
            rate,
            measured: self.measured && cell.is_some(),
            delay_p50: nearest.delay_p50,
            delay_p99: nearest.delay_p99,
            each,
            kept_up: true,
            reached: rate.0,
        })
    }

    /// The same polls at another interval, computed.
    pub(crate) fn at_interval(&self, interval: Duration) -> Option<Self> {
        let Transport::Poll(own) = self.lane.transport else { return None };
        let more = interval.as_secs_f64() - own.as_secs_f64();
        let delivering = self.delivering.iter().filter(|cell| cell.kept_up()).map(|cell| Delivering {
            // An event comes at any moment between two polls.
            delay_p50: (cell.delay_p50 + 0.5 * more * 1e3).max(0.0),
            delay_p99: (cell.delay_p99 + 0.99 * more * 1e3).max(0.0),
            ..cell.clone()
        });
        Some(Self {
            lane: Lane { transport: Transport::Poll(interval), ..self.lane },
            measured: false,
            waiting: self.waiting.clone(),
            delivering: delivering.collect(),
            omitted: Vec::new(),
        })
    }
}

/// What a client costs each second while nothing happens.
pub(crate) fn idle(transport: Transport, waiting: &Waiting) -> Cost {
    waiting.each_beat * (1.0 / transport.rhythm().as_secs_f64())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn cost(requests: f64, bytes: f64, hub_us: f64) -> Cost {
        Cost {
            requests,
            bytes_received: bytes,
            bytes_sent: 0.0,
            hub_us: Some(hub_us),
            client_us: Some(hub_us),
        }
    }

    fn delivering(rate: f64, delay_p50: f64, delivered: f64, event: Cost) -> Delivering {
        Delivering {
            clients: 100,
            rate: Rate(rate),
            reached: rate,
            events: 100,
            delivered,
            delay_p50,
            delay_p99: 2.0 * delay_p50,
            reconnections: 0,
            event,
        }
    }

    /// As a lane would be of which the cost of a beat and of an event are known.
    pub(crate) fn measured(transport: Transport, beat: Cost, event: Cost, delay_p50: f64) -> Measured {
        Measured {
            lane: Lane { transport, wire: Wire { tls: false, http2: false } },
            measured: true,
            waiting: Some(Waiting { clients: 100, each_beat: beat, memory: Some(1_000.0) }),
            delivering: [10.0, 1_000.0].map(|rate| delivering(rate, delay_p50, 1.0, event)).into(),
            omitted: Vec::new(),
        }
    }

    #[test]
    fn a_rate_that_was_not_measured_is_computed_and_says_so() {
        let lane = measured(Transport::Sse, cost(0.0, 60.0, 15.0), cost(0.0, 200.0, 6.0), 1.0);
        let row = lane.row(100, Rate::LEAST).unwrap();
        // Four heartbeats a minute, and the event.
        assert!((row.each.bytes() - 440.0).abs() < 1e-6, "{row:?}");
        assert!(!row.measured && row.kept_up && row.delay_p50 == 1.0);
        assert!(lane.row(100, Rate(10.0)).unwrap().measured);
        assert!(lane.row(100, Rate(2_000.0)).is_none());
        assert!(lane.row(1, Rate(10.0)).is_none());
    }

    #[test]
    fn polls_at_another_interval_are_later_and_fewer() {
        let transport = Transport::Poll(Duration::from_secs(1));
        let lane = measured(transport, cost(1.0, 400.0, 30.0), cost(0.0, 150.0, 1.0), 500.0);
        let slow = lane.at_interval(Duration::from_secs(30)).unwrap();
        let row = slow.row(100, Rate(10.0)).unwrap();
        assert!((row.delay_p50 - 15_000.0).abs() < 1e-6 && !row.measured, "{row:?}");
        assert!((row.each.requests - 1.0 / 300.0).abs() < 1e-9, "{row:?}");
        assert!((slow.idle().unwrap().bytes() - 400.0 / 30.0).abs() < 1e-9);
    }

    #[test]
    fn what_did_not_keep_up_is_no_basis_for_anything() {
        let mut lane = measured(Transport::Sse, cost(0.0, 60.0, 15.0), cost(0.0, 200.0, 6.0), 1.0);
        lane.delivering[1].delivered = 0.4;
        assert!(!lane.row(100, Rate(1_000.0)).unwrap().kept_up);
        assert_eq!(lane.curve(100).unwrap().most(), Some(10.0));
        assert!(lane.row(100, Rate(100.0)).is_none());
    }
}
