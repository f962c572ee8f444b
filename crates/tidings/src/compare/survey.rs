//! Which measurements are made, in which order, and which are left out.

use std::error::Error;
use std::time::Duration;

use super::cost::Cost;
use super::lane::{Lane, Rate, Transport, Wire};
use super::measurement::{Delivering, Measurements, Waiting};
use super::outcome::{Measured, Omitted, idle};
use super::own_hub::{OwnHub, Room};
use super::progress::Progress;
use super::site::Site;

/// What shall be measured.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    pub(crate) transports: Vec<Transport>,
    /// What is read over. All of it is measured over the first, and one rate with some clients over the others.
    pub(crate) wires: Vec<Wire>,
    /// From low to high.
    pub(crate) rates: Vec<Rate>,
    /// From few to many.
    pub(crate) clients: Vec<usize>,
    /// From short to long: the first is measured, the others are computed from it.
    pub(crate) intervals: Vec<Duration>,
    pub(crate) size: usize,
    pub(crate) duration: Duration,
    /// Ways that would not get through, and why.
    pub(crate) blocked: Vec<(Transport, String)>,
}

/// Where it is measured.
pub(crate) enum HubSource<'a> {
    /// At a hub that is there.
    Site(&'a Site),
    /// At hubs that are started for it: a fresh one for each lane, so that its memory tells what the lane takes.
    Own { room: &'a Room, site: Site },
}

/// The most deliveries a second that are tried: more is a matter for `tidings bench`.
const MOST_DELIVERIES: f64 = 150_000.0;
/// How long measurements take beside what they measure for, as a guess.
const WAITING_TAKES: f64 = 3.2;
const EACH_TAKES: f64 = 0.5;

// === impl Survey ===

impl Survey {
    /// About how long it will take.
    pub(crate) fn estimate(&self) -> Duration {
        let duration = self.duration.as_secs_f64();
        let mut seconds = 0.0;
        for wire in &self.wires {
            let cells = self.cells(*wire);
            seconds += self.rates_of(&cells).len() as f64 * (duration + EACH_TAKES);
            let lanes =
                self.transports.iter().filter(|transport| self.blocked_by(**transport, *wire).is_none());
            for transport in lanes {
                // The last poll comes when publishing has ended.
                let poll =
                    if let Transport::Poll(interval) = transport { interval.as_secs_f64() } else { 0.0 };
                seconds += WAITING_TAKES + cells.len() as f64 * (duration + poll + EACH_TAKES);
            }
        }
        Duration::from_secs_f64(seconds)
    }

    pub(crate) fn run(
        &self,
        source: &mut HubSource<'_>,
        progress: &mut Progress,
    ) -> Result<Vec<Measured>, Box<dyn Error>> {
        let mut lanes = Vec::new();
        for wire in &self.wires {
            let publishing = self.publishing(*wire, source, progress)?;
            for transport in &self.transports {
                let lane = Lane { transport: *transport, wire: *wire };
                if let Some(reason) = self.blocked_by(*transport, *wire) {
                    lanes.push(Measured::nothing(lane, reason));
                    continue;
                }
                let measured = source.at(|site| Ok(self.lane(lane, site, &publishing, progress)))?;
                let others =
                    self.intervals.iter().skip(1).filter_map(|interval| measured.at_interval(*interval));
                let others: Vec<_> = others.collect();
                lanes.push(measured);
                lanes.extend(others);
            }
        }
        Ok(lanes)
    }

    /// What the hub takes to have an event published that nobody reads, at each rate.
    fn publishing(
        &self,
        wire: Wire,
        source: &mut HubSource<'_>,
        progress: &mut Progress,
    ) -> Result<Vec<(Rate, f64)>, Box<dyn Error>> {
        if !matches!(source, HubSource::Own { .. }) {
            return Ok(Vec::new());
        }
        let rates = self.rates_of(&self.cells(wire));
        source.at(|site| {
            let mut publishing = Vec::new();
            for rate in rates {
                progress.step(format_args!("publishing alone over {wire}, {rate}"));
                let lane = Lane { transport: Transport::Sse, wire };
                publishing.extend(self.at(site).publish(lane, rate)?.map(|micros| (rate, micros)));
            }
            Ok(publishing)
        })
    }

    fn lane(&self, lane: Lane, site: &Site, publishing: &[(Rate, f64)], progress: &mut Progress) -> Measured {
        let mut measured = Measured::nothing(lane, String::new());
        measured.omitted.clear();
        let most = self.clients.last().copied().unwrap_or(1);
        progress.lane(lane);
        progress.step(format_args!("{lane}: {most} clients wait"));
        let waiting = match self.at(site).wait(lane, most) {
            Ok(waiting) => waiting,
            Err(error) => {
                measured.omitted.push(Omitted { clients: None, rate: None, reason: error.to_string() });
                return measured;
            }
        };
        let idle = idle_while_measured(lane.transport, &waiting);
        measured.waiting = Some(waiting);
        for (clients, rate) in self.cells(lane.wire) {
            if let Some(reason) = measured.reason_against(clients, rate) {
                measured.omitted.push(Omitted { clients: Some(clients), rate: Some(rate), reason });
                continue;
            }
            progress.step(format_args!("{lane}: {}, {rate}", super::numbers::crowd(clients)));
            let micros = publishing.iter().find(|(at, _)| *at == rate).map(|(_, micros)| *micros);
            match self.at(site).deliver(lane, clients, rate, idle, micros) {
                Ok(cell) => measured.delivering.push(cell),
                Err(error) => {
                    let reason = error.to_string();
                    measured.omitted.push(Omitted { clients: Some(clients), rate: Some(rate), reason });
                }
            }
        }
        measured
    }

    fn at<'a>(&self, site: &'a Site) -> Measurements<'a> {
        Measurements { site, size: self.size, duration: self.duration }
    }

    /// What is measured over a wire.
    fn cells(&self, wire: Wire) -> Vec<(usize, Rate)> {
        let is_first = self.wires.first() == Some(&wire);
        if !is_first {
            let clients = self.clients.get(self.clients.len() / 2).copied();
            return clients.zip(self.rates.first().copied()).into_iter().collect();
        }
        let all = self.clients.iter().flat_map(|clients| self.rates.iter().map(|rate| (*clients, *rate)));
        all.collect()
    }

    fn rates_of(&self, cells: &[(usize, Rate)]) -> Vec<Rate> {
        self.rates.iter().copied().filter(|rate| cells.iter().any(|(_, at)| at == rate)).collect()
    }

    fn blocked_by(&self, transport: Transport, wire: Wire) -> Option<String> {
        if transport == Transport::WebSocket && wire.http2 {
            // There is no `Upgrade` that could be in the way.
            return None;
        }
        self.blocked.iter().find(|(blocked, _)| *blocked == transport).map(|(_, reason)| reason.clone())
    }
}

/// What a client costs each second in a run in which events are delivered: there nobody hurries the heartbeats.
fn idle_while_measured(transport: Transport, waiting: &Waiting) -> Cost {
    match transport {
        Transport::Poll(_) => idle(transport, waiting),
        // Events come too often for anything else to happen.
        Transport::LongPoll | Transport::Sse | Transport::WebSocket => Cost {
            hub_us: waiting.each_beat.hub_us.map(|_| 0.0),
            client_us: waiting.each_beat.client_us.map(|_| 0.0),
            ..Cost::default()
        },
    }
}

// === impl Measured ===

impl Measured {
    fn nothing(lane: Lane, reason: String) -> Self {
        let omitted = vec![Omitted { clients: None, rate: None, reason }];
        Self { lane, measured: true, waiting: None, delivering: Vec::new(), omitted }
    }

    /// Why something is not worth a try.
    fn reason_against(&self, clients: usize, rate: Rate) -> Option<String> {
        let deliveries = clients as f64 * rate.0;
        if deliveries > MOST_DELIVERIES {
            let most = super::numbers::short(MOST_DELIVERIES);
            return Some(format!("more than {most} deliveries a second, which is for `tidings bench`"));
        }
        let beyond =
            |cell: &&Delivering| !cell.was_delivered() && clients >= cell.clients && rate >= cell.rate;
        let before = self.delivering.iter().find(beyond)?;
        Some(format!(
            "{} at {} could not be kept up with",
            super::numbers::crowd(before.clients),
            before.rate
        ))
    }
}

// === impl HubSource ===

impl HubSource<'_> {
    /// Does something at a hub.
    fn at<T>(&mut self, act: impl FnOnce(&Site) -> Result<T, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
        match self {
            Self::Site(site) => act(site),
            Self::Own { room, site } => {
                let hub = OwnHub::start(room, "measured")?;
                site.authority.clone_from(&hub.authority);
                site.pid = Some(hub.pid());
                act(site)
            }
        }
    }
}
