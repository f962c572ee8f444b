//! What reading costs, as a function of how often something happens.
//!
//! Two things are measured: what a client costs while nothing happens, and what each event adds. At a rate so low that it cannot be
//! waited for, the one and the other together are what it costs there.

use std::ops::{Add, Mul, Sub};

use serde::Serialize;

/// What something takes. Of one client: while it waits, for each second; or of an event, for each client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Cost {
    pub(crate) requests: f64,
    pub(crate) bytes_received: f64,
    pub(crate) bytes_sent: f64,
    /// Microseconds of the hub; `None` where its process is not known.
    pub(crate) hub_us: Option<f64>,
    /// Microseconds of this program's client.
    pub(crate) client_us: Option<f64>,
}

/// What is looked at of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Measure {
    Requests,
    Bytes,
    HubCpu,
    ClientCpu,
}

/// What a client costs at every rate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    /// Each second, while nothing happens.
    pub(crate) idle: Cost,
    /// What each event adds at some rates, which grow.
    pub(crate) events: Vec<(f64, Cost)>,
}

// === impl Cost ===

impl Cost {
    pub(crate) fn bytes(self) -> f64 {
        self.bytes_received + self.bytes_sent
    }

    pub(crate) fn of(self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Requests => Some(self.requests),
            Measure::Bytes => Some(self.bytes()),
            Measure::HubCpu => self.hub_us,
            Measure::ClientCpu => self.client_us,
        }
    }

    /// Nothing takes less than nothing: what was measured twice may differ by a little.
    pub(crate) fn at_least_nothing(self) -> Self {
        Self {
            requests: self.requests.max(0.0),
            bytes_received: self.bytes_received.max(0.0),
            bytes_sent: self.bytes_sent.max(0.0),
            hub_us: self.hub_us.map(|micros| micros.max(0.0)),
            client_us: self.client_us.map(|micros| micros.max(0.0)),
        }
    }

    fn with(self, other: Self, of: impl Fn(f64, f64) -> f64) -> Self {
        let both = |a: Option<f64>, b: Option<f64>| Some(of(a?, b?));
        Self {
            requests: of(self.requests, other.requests),
            bytes_received: of(self.bytes_received, other.bytes_received),
            bytes_sent: of(self.bytes_sent, other.bytes_sent),
            hub_us: both(self.hub_us, other.hub_us),
            client_us: both(self.client_us, other.client_us),
        }
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }
}

impl Sub for Cost {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }
}

impl Mul<f64> for Cost {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        self.with(self, |a, _| a * factor)
    }
}

// === impl Curve ===

impl Curve {
    /// What each event adds at a rate; `None` where no rate so high was measured.
    pub(crate) fn event(&self, rate: f64) -> Option<Cost> {
        let (first, last) = (self.events.first()?, self.events.last()?);
        if rate <= first.0 {
            return Some(first.1);
        }
        if rate > last.0 * (1.0 + 1e-9) {
            return None;
        }
        let above = self.events.iter().position(|(at, _)| *at >= rate).unwrap_or(self.events.len() - 1);
        let ((low, from), (high, to)) = (self.events[above.saturating_sub(1)], self.events[above]);
        let share = if high > low { (rate / low).ln() / (high / low).ln() } else { 1.0 };
        Some(from * (1.0 - share) + to * share)
    }

    /// What a client costs each second at a rate.
    pub(crate) fn second(&self, rate: f64) -> Option<Cost> {
        Some(self.idle + self.event(rate)? * rate)
    }

    /// What it costs for each event.
    pub(crate) fn each(&self, rate: f64) -> Option<Cost> {
        Some(self.second(rate)? * (1.0 / rate))
    }

    /// The highest rate that something is known of.
    pub(crate) fn most(&self) -> Option<f64> {
        Some(self.events.last()?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(bytes: f64) -> Cost {
        Cost { requests: bytes / 100.0, bytes_received: bytes, ..Cost::default() }
    }

    #[test]
    fn waiting_and_events_together_are_what_a_rate_costs() {
        let curve = Curve { idle: cost(20.0), events: vec![(10.0, cost(400.0)), (1_000.0, cost(200.0))] };
        // An event a minute: mostly the waiting.
        let rare = curve.each(1.0 / 60.0).unwrap();
        assert!((rare.bytes() - (20.0 * 60.0 + 400.0)).abs() < 1e-6, "{rare:?}");
        assert!((curve.each(10.0).unwrap().bytes() - 402.0).abs() < 1e-6);
        // Half-way between, as rates are.
        assert!((curve.event(100.0).unwrap().bytes() - 300.0).abs() < 1e-6);
        assert!((curve.each(1_000.0).unwrap().bytes() - 200.02).abs() < 1e-6);
        assert_eq!(curve.each(1_001.0), None);
        assert_eq!(curve.each(1.0).unwrap().hub_us, None);
    }

    #[test]
    fn what_was_not_measured_is_not_made_up() {
        let curve = Curve { idle: cost(1.0), events: Vec::new() };
        assert_eq!((curve.each(1.0), curve.most()), (None, None));
        let one = Curve { idle: cost(0.0), events: vec![(10.0, cost(5.0))] };
        assert_eq!(one.event(10.0), Some(cost(5.0)));
        assert_eq!(one.event(11.0), None);
    }
}
