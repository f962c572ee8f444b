//! One thing that is measured after the other, by the load generator of `tidings bench`.

use std::error::Error;
use std::time::Duration;

use serde::Serialize;

use super::cost::Cost;
use super::lane::{Lane, Rate, Transport};
use super::site::Site;
use crate::bench::plan::{Mode, Plan};
use crate::bench::report::Report;
use crate::bench::run;

/// What clients cost that wait while nothing happens.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Waiting {
    pub(crate) clients: usize,
    /// Of one client, for each poll or heartbeat.
    pub(crate) each_beat: Cost,
    /// Of the hub's memory for each client, in bytes; sockets are the kernel's, and are not in it.
    pub(crate) memory: Option<f64>,
}

/// Events on their way at one rate to so many clients.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Delivering {
    pub(crate) clients: usize,
    pub(crate) rate: Rate,
    /// What the rate was in fact: a publisher may be slower than it is asked to be.
    pub(crate) reached: f64,
    pub(crate) events: u64,
    /// Of all deliveries, the share that came in time.
    pub(crate) delivered: f64,
    /// From sending an event to having it, in milliseconds.
    pub(crate) delay_p50: f64,
    pub(crate) delay_p99: f64,
    /// Connections that were made beside those that were there.
    pub(crate) reconnections: u64,
    /// What an event adds for each client, beyond what waiting costs.
    pub(crate) event: Cost,
}

/// Measures at one hub.
#[derive(Debug)]
pub(crate) struct Measurements<'a> {
    pub(crate) site: &'a Site,
    pub(crate) size: usize,
    pub(crate) duration: Duration,
}

/// How often something is made to happen while nothing does, so that its cost is seen soon.
const BEAT: Duration = Duration::from_secs(1);
/// How long everything may come to rest.
const SETTLE: Duration = Duration::from_millis(100);
/// How long deliveries may take once publishing has ended, beside the interval of polls.
const PATIENCE: Duration = Duration::from_secs(3);
/// Beats that are waited for, and some time for those that are late.
const BEATS: f64 = 2.3;
const BEATS_IN_A_HURRY: f64 = 1.3;
/// With fewer clients what a hub's memory grows by says more of the hub than of them.
const CLIENTS_TO_WEIGH: usize = 50;
/// How many events a second one connection is trusted to publish, each after the last was acknowledged: over a network, that takes a while.
const RATE_OF_PUBLISHER: f64 = 25.0;
const MAX_PUBLISHERS: usize = 64;

// === impl Measurements ===

impl Measurements<'_> {
    /// What clients cost that wait. Beats are as frequent as can be, and their cost is told for each.
    pub(crate) fn wait(&self, lane: Lane, clients: usize) -> Result<Waiting, Box<dyn Error>> {
        let mut plan = self.plan(lane, Mode::Idle, clients)?;
        (plan.wait, plan.heartbeat, plan.interval) = (BEAT, Some(BEAT), BEAT);
        if self.site.pid.is_some() {
            // What the hub takes for its first clients, whoever they are, is not to be weighed with the others.
            let mut warm_up = self.plan(lane, Mode::Idle, clients.min(CLIENTS_TO_WEIGH))?;
            warm_up.duration = SETTLE;
            self.run(&warm_up)?;
        }
        let in_a_hurry = self.duration < BEAT;
        plan.duration = BEAT.mul_f64(if in_a_hurry { BEATS_IN_A_HURRY } else { BEATS });
        let report = self.run(&plan)?;
        report.verdict()?;
        let traffic = &report.subscribers_traffic;
        let beats = if lane.transport.is_stream() { traffic.reads } else { traffic.requests };
        if beats == 0 {
            return Err("nothing came while it waited, not even signs of life".into());
        }
        let each_beat = cost(&report, 0.0) * (1.0 / beats as f64);
        let memory = report.resources.as_ref().and_then(|resources| resources.memory.each_subscriber);
        let memory = memory.filter(|_| clients >= CLIENTS_TO_WEIGH);
        Ok(Waiting { clients, each_beat, memory: memory.map(|bytes| bytes.max(0.0)) })
    }

    /// What each event takes of the hub that nobody reads, in microseconds; `None` where its process is not known.
    pub(crate) fn publish(&self, lane: Lane, rate: Rate) -> Result<Option<f64>, Box<dyn Error>> {
        if self.site.pid.is_none() {
            return Ok(None);
        }
        let mut plan = self.plan(lane, Mode::Publish, 0)?;
        self.publishing(&mut plan, rate);
        let report = self.run(&plan)?;
        report.verdict()?;
        let events = report.publish.as_ref().map_or(0, |publish| publish.events);
        Ok(busy(&report).filter(|_| events > 0).map(|seconds| seconds * 1e6 / events as f64))
    }

    /// Publishes at a rate, and looks what comes. `waiting` is what a client costs each second while nothing happens, and `publishing`
    /// what publishing an event takes of the hub.
    pub(crate) fn deliver(
        &self,
        lane: Lane,
        clients: usize,
        rate: Rate,
        waiting: Cost,
        publishing: Option<f64>,
    ) -> Result<Delivering, Box<dyn Error>> {
        let mut plan = self.plan(lane, Mode::Deliver, clients)?;
        self.publishing(&mut plan, rate);
        if let Transport::Poll(interval) = lane.transport {
            plan.interval = interval;
        }
        plan.patience = Some(PATIENCE + plan.interval);
        let report = self.run(&plan)?;
        if report.faults > 0 {
            return Err(report.messages.join("; ").into());
        }
        let publish = report.publish.as_ref().ok_or("nothing was published")?;
        let delivery = report.delivery.as_ref().ok_or("nothing was delivered")?;
        if publish.events == 0 || delivery.expected == 0 {
            return Err("nothing was published in the time that there was".into());
        }
        if delivery.completeness.repeated + delivery.completeness.malformed > 0 {
            report.verdict()?;
        }
        let delay = delivery.latency_ms.ok_or("of what was published, nothing came in time")?;
        let events = publish.events as f64;
        let each = |cost: Cost| cost * (1.0 / clients as f64);
        let spent = each(cost(&report, publishing.unwrap_or_default() * events));
        let event = (spent - waiting * report.subscribers_traffic.seconds) * (1.0 / events);
        Ok(Delivering {
            clients,
            rate,
            // The last interval ends with the last publication.
            reached: (publish.events_per_second).min(rate.0),
            events: publish.events,
            delivered: delivery.deliveries as f64 / delivery.expected as f64,
            delay_p50: delay.p50,
            delay_p99: delay.p99,
            reconnections: report.subscribers_traffic.connections,
            event: event.at_least_nothing(),
        })
    }

    fn publishing(&self, plan: &mut Plan, rate: Rate) {
        plan.rate = Some(rate.0);
        plan.duration = self.duration;
        let publishers = (rate.0 / RATE_OF_PUBLISHER).ceil() as usize;
        plan.publishers = publishers.clamp(1, MAX_PUBLISHERS);
    }

    fn plan(&self, lane: Lane, mode: Mode, clients: usize) -> Result<Plan, Box<dyn Error>> {
        let (dialect, server) = (self.site.dialect(), self.site.server(lane.wire)?);
        let plan = Plan {
            mode,
            publish_dialect: dialect.at(&self.site.authority, &self.site.prefix, self.site.token()),
            dialect,
            publish_server: server.clone(),
            server,
            transport: lane.transport.of_plan(),
            subscribers: clients,
            streams: 1,
            threads: 1,
            topics: 1,
            publishers: 1,
            rate: None,
            size: self.size,
            batch: 1,
            events: None,
            window: None,
            duration: self.duration,
            interval: Duration::ZERO,
            wait: Duration::from_secs(60),
            heartbeat: None,
            placed: true,
            patience: None,
            settle: SETTLE,
            stay: None,
            pids: self.site.pid.into_iter().collect(),
            fsync_dir: None,
            // No line of its own.
            json: true,
        };
        plan.check()?;
        Ok(plan)
    }

    fn run(&self, plan: &Plan) -> Result<Report, Box<dyn Error>> {
        run::run(plan, &self.site.authority)
    }
}

// === impl Delivering ===

impl Delivering {
    /// Whether hub, network and client kept up.
    pub(crate) fn kept_up(&self) -> bool {
        self.was_delivered() && self.reached > 0.9 * self.rate.0
    }

    /// Whether what was published came in time, at whatever rate.
    pub(crate) fn was_delivered(&self) -> bool {
        self.delivered > 0.99
    }
}

/// What the clients of a run took together, and the hub for them, beside so many microseconds for something else.
fn cost(report: &Report, other_us: f64) -> Cost {
    let traffic = &report.subscribers_traffic;
    Cost {
        requests: traffic.requests as f64,
        bytes_received: traffic.bytes_received as f64,
        bytes_sent: traffic.bytes_sent as f64,
        hub_us: busy(report).map(|seconds| (seconds * 1e6 - other_us).max(0.0)),
        client_us: traffic.cpu_seconds.map(|seconds| seconds * 1e6),
    }
}

/// How long the hub was on a processor.
fn busy(report: &Report) -> Option<f64> {
    let resources = report.resources.as_ref()?;
    resources.busy_seconds.or(Some(resources.cpu_seconds))
}
