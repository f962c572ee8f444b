//! The thread that publishes: at a rate, or as fast as it is answered.

use std::error::Error;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventFlags};

use super::clock::nanos;
use super::latency::Latencies;
use super::link::Buffers;
use super::plan::{Mode, Plan};
use super::publisher::{BUFFER_BYTES, News, Pending, Publisher};
use super::run_state::RunState;

/// What came of publishing.
#[derive(Debug)]
pub(crate) struct Published {
    /// From sending to the acknowledgement.
    pub(crate) latencies: Latencies,
    /// How much later than the rate asks the publications left.
    pub(crate) delays: Latencies,
    pub(crate) events: u64,
    pub(crate) requests: u64,
    pub(crate) first: u64,
    /// When the last acknowledgement came.
    pub(crate) last: u64,
    /// The events acknowledged, by topic and publisher.
    pub(crate) acknowledged: Vec<Vec<u64>>,
}

/// When and what to publish next.
#[derive(Debug)]
struct Schedule {
    start: u64,
    end: u64,
    /// Nanoseconds between two publications, over all publishers.
    period: Option<f64>,
    /// How many publications have been given out.
    given: u64,
    /// Events that may still be published.
    left: u64,
    /// Deliveries that were asked for.
    asked: u64,
}

/// How long an acknowledgement may take once publishing has ended.
const PATIENCE_NANOS: u64 = 10_000_000_000;
const TICK_NANOS: u64 = 20_000_000;
/// How often it is looked at whether deliveries have come far enough to publish more.
const WINDOW_NANOS: u64 = 500_000;

/// Publishes until the time is over or the number is reached, and all is acknowledged.
pub(crate) fn run(plan: &Plan, shared: &RunState) -> Result<Published, Box<dyn Error + Send + Sync>> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut publishers = Vec::with_capacity(plan.publishers);
    for number in 0..plan.publishers {
        publishers.push(Publisher::open(plan, number, epoll.as_fd())?);
    }
    let mut buffers = Buffers::new(BUFFER_BYTES);
    gather(&mut publishers, shared, &epoll, &mut buffers)?;
    let start = shared.clock.now();
    let mut press = Press {
        plan,
        shared,
        epoll,
        buffers,
        schedule: Schedule::new(plan, start),
        published: Published {
            latencies: Latencies::new()?,
            delays: Latencies::new()?,
            events: 0,
            requests: 0,
            first: start,
            last: start,
            acknowledged: vec![vec![0; plan.publishers]; plan.topics],
        },
    };
    press.run(&mut publishers)?;
    Ok(press.published)
}

/// Waits until all of them are connected: what is measured begins after that.
fn gather(
    publishers: &mut [Publisher],
    shared: &RunState,
    epoll: &OwnedFd,
    buffers: &mut Buffers,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let deadline = shared.clock.now() + PATIENCE_NANOS;
    let mut missing = publishers.len();
    while missing > 0 {
        if shared.clock.now() > deadline {
            return Err(format!("{missing} publishers were not accepted").into());
        }
        for (key, flags) in ready(epoll, TICK_NANOS as i64, publishers.len())? {
            if publishers[key].turn(flags, epoll.as_fd(), buffers)? == News::Ready {
                missing -= 1;
            }
        }
    }
    Ok(())
}

/// The sockets that something is to be done with.
fn ready(epoll: &OwnedFd, nanos: i64, most: usize) -> rustix::io::Result<Vec<(usize, EventFlags)>> {
    let mut events = Vec::with_capacity(most);
    let patience = Timespec { tv_sec: 0, tv_nsec: nanos };
    match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error),
    }
    Ok(events.iter().map(|event: &Event| (event.data.u64() as usize, event.flags)).collect())
}

struct Press<'a> {
    plan: &'a Plan,
    shared: &'a RunState,
    epoll: OwnedFd,
    buffers: Buffers,
    schedule: Schedule,
    published: Published,
}

// === impl Press ===

impl Press<'_> {
    fn run(&mut self, publishers: &mut [Publisher]) -> rustix::io::Result<()> {
        let mut free: Vec<usize> = (0..publishers.len()).rev().collect();
        let mut failed = 0;
        loop {
            let mut now = self.shared.clock.now();
            let done = self.schedule.is_done(now) || RunState::is(&self.shared.enough);
            if done && (free.len() + failed == publishers.len() || now > self.schedule.end + PATIENCE_NANOS) {
                break;
            }
            while !done
                && !free.is_empty()
                && self.schedule.due(now) <= now
                && self.schedule.asked.saturating_sub(self.shared.delivered()) < self.window()
            {
                let Some(number) = free.pop() else { break };
                self.publish(&mut publishers[number], now);
                if publishers[number].is_free() {
                    free.push(number);
                }
                now = self.shared.clock.now();
            }
            for (key, flags) in ready(&self.epoll, self.patience(now, !free.is_empty()), publishers.len())? {
                match publishers[key].turn(flags, self.epoll.as_fd(), &mut self.buffers) {
                    Ok(News::None | News::Ready) => {}
                    Ok(News::Acknowledged(pending)) => {
                        self.acknowledge(key, pending);
                        free.push(key);
                    }
                    // One that has failed is never free again; the run ends without it.
                    Err(error) => {
                        failed += 1;
                        self.shared.fault(error.to_string());
                        RunState::set(&self.shared.enough);
                        self.schedule.end = self.schedule.end.min(now);
                    }
                }
            }
        }
        let missing = publishers.len() - free.len() - failed;
        if missing > 0 {
            self.shared.fault(format!("{missing} publications were never acknowledged"));
        }
        Ok(())
    }

    fn publish(&mut self, publisher: &mut Publisher, now: u64) {
        let (given, due) = (self.schedule.given as usize, self.schedule.due(now));
        let (topic, events) = if let Mode::Return { events } = self.plan.mode {
            // Each topic gets its number, one topic after the other.
            let topic = (0..self.plan.topics).find(|topic| publisher.sent(*topic) < events).unwrap_or(0);
            (topic, (self.plan.batch as u64).min(events - publisher.sent(topic)))
        } else {
            (given % self.plan.topics, (self.plan.batch as u64).min(self.schedule.left))
        };
        self.schedule.given += 1;
        self.schedule.left -= events;
        self.schedule.asked += events * self.plan.subscribers_of(topic);
        if self.plan.rate.is_some() {
            self.published.delays.record(now.saturating_sub(due));
        }
        if let Err(error) =
            publisher.publish(self.plan, (self.epoll.as_fd(), &mut self.buffers), topic, events, now)
        {
            self.shared.fault(error.to_string());
            RunState::set(&self.shared.enough);
        }
    }

    fn acknowledge(&mut self, publisher: usize, pending: Pending) {
        let now = self.shared.clock.now();
        let published = &mut self.published;
        published.latencies.record(now.saturating_sub(pending.sent));
        published.events += pending.events;
        published.requests += 1;
        published.last = now;
        published.acknowledged[pending.topic][publisher] += pending.events;
        let deliveries = pending.events * self.plan.subscribers_of(pending.topic);
        self.shared.expected.fetch_add(deliveries, Ordering::Relaxed);
        self.shared.published.fetch_add(pending.events, Ordering::Relaxed);
    }

    /// How many deliveries may be on their way.
    fn window(&self) -> u64 {
        let flat_out = self.plan.mode == Mode::Deliver && self.plan.rate.is_none();
        let window = self.plan.window.filter(|_| flat_out);
        window.map_or(u64::MAX, |events| events * self.plan.subscribers_of(0))
    }

    fn patience(&self, now: u64, free: bool) -> i64 {
        let nanos = if !free || self.schedule.is_done(now) {
            TICK_NANOS
        } else if self.schedule.period.is_some() {
            self.schedule.due(now).saturating_sub(now).min(TICK_NANOS)
        } else {
            WINDOW_NANOS
        };
        i64::try_from(nanos).unwrap_or_default()
    }
}

// === impl Schedule ===

impl Schedule {
    fn new(plan: &Plan, start: u64) -> Self {
        let (left, duration) = match plan.mode {
            // However long it takes: what is measured comes after it.
            Mode::Return { events } => (events * plan.topics as u64, 20 * plan.duration),
            _ => (plan.events.unwrap_or(u64::MAX), plan.duration),
        };
        let rate = plan.rate.filter(|_| !matches!(plan.mode, Mode::Return { .. }));
        Self {
            start,
            end: start + nanos(duration),
            period: rate.map(|rate| 1e9 * plan.batch as f64 / rate),
            given: 0,
            left,
            asked: 0,
        }
    }

    /// When the next publication is to leave.
    fn due(&self, now: u64) -> u64 {
        self.period.map_or(now, |period| self.start + (period * self.given as f64) as u64)
    }

    fn is_done(&self, now: u64) -> bool {
        self.left == 0 || now >= self.end || self.due(now) >= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_the_whole_run() {
        let mut schedule =
            Schedule { start: 100, end: 1_100, period: Some(100.0), given: 0, left: u64::MAX, asked: 0 };
        let mut due = Vec::new();
        while !schedule.is_done(0) {
            due.push(schedule.due(0));
            schedule.given += 1;
        }
        assert_eq!(due, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]);
    }

    #[test]
    fn flat_out_is_always_due_until_the_end() {
        let schedule = Schedule { start: 0, end: 50, period: None, given: 7, left: 1, asked: 0 };
        assert_eq!(schedule.due(49), 49);
        assert!(!schedule.is_done(49));
        assert!(schedule.is_done(50));
    }
}
