//! The stages of a run, one after the other.

use std::error::Error;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::thread::{self, ScopedJoinHandle, sleep};
use std::time::Duration;

use super::call::{CallError, call};
use super::clock::{Clock, nanos, seconds};
use super::crowd::{self, Outcome};
use super::dialect::StartFrom;
use super::disk::bare_syncs;
use super::latency::Latencies;
use super::plan::{Mode, Plan, Transport};
use super::process::Process;
use super::progress::Progress;
use super::publishers::{self, Published};
use super::report::{Delivery, Disk, Publish, Report, SubscribersTraffic};
use super::run_state::{RunState, Traffic};
use super::tally::Completeness;
use super::watch::Watch;

type Failure = Box<dyn Error + Send + Sync>;
type Crowd<'scope> = ScopedJoinHandle<'scope, Result<Outcome, Failure>>;

/// How long the server may take to accept one more subscriber, or to deliver one more event.
const PATIENCE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);
/// How often the server is asked what it holds: seldom, as that is work for it.
const LOOK: Duration = Duration::from_millis(200);
/// How often the server's memory is looked at.
const WATCH_NANOS: u64 = 250_000_000;
/// How long it is waited for deliveries that should not come.
const ECHO: Duration = Duration::from_millis(200);

struct Run<'a> {
    plan: &'a Plan,
    shared: &'a RunState,
    progress: Progress,
    watch: Option<Watch>,
    watched: u64,
}

/// Ends the threads of a run, however the run ends.
struct Over<'a>(&'a RunState);

/// Does what the plan says.
pub(crate) fn run(plan: &Plan, url: &str) -> Result<Report, Box<dyn Error>> {
    let shared = RunState::new(Clock::start());
    let mut syncs = Latencies::new()?;
    sync(plan, &mut syncs)?;
    let places = places(plan)?;
    let mut run = Run { plan, shared: &shared, progress: Progress::new(plan.json), watch: None, watched: 0 };
    let mut report = run.stages(&places).map_err(|error| -> Box<dyn Error> { error })?;
    url.clone_into(&mut report.url);
    // Disks have moods: what they take is measured on both sides of the run.
    sync(plan, &mut syncs)?;
    report.disk = syncs.percentiles().map(|fdatasync_ms| {
        let publish = report.publish.as_ref().and_then(|publish| publish.latency_ms);
        Disk { fdatasync_ms, publish_ratio: publish.map(|publish| publish.p50 / fdatasync_ms.p50) }
    });
    report.blame(shared.faults());
    Ok(report)
}

fn sync(plan: &Plan, syncs: &mut Latencies) -> Result<(), String> {
    let Some(folder) = &plan.fsync_dir else { return Ok(()) };
    bare_syncs(folder, plan.size, plan.pids.first().copied(), syncs)
        .map_err(|error| format!("failed to measure the disk in {}: {error}", folder.display()))
}

/// Where the subscribers of each topic begin. Topics that must be are created.
fn places(plan: &Plan) -> Result<Vec<StartFrom>, CallError> {
    let mut request = Vec::new();
    let mut places = Vec::with_capacity(plan.topics);
    for topic in 0..plan.topics {
        request.clear();
        if plan.dialect.create(topic, &mut request) {
            call(&plan.server, &request)?;
        }
        request.clear();
        places.push(if !plan.placed && !matches!(plan.mode, Mode::Return { .. }) {
            StartFrom::Now
        } else if plan.dialect.ask_place(topic, &mut request) {
            let page = call(&plan.server, &request)?;
            plan.dialect.place_in_page(&page).map_or(StartFrom::Now, |(place, _)| place)
        } else {
            StartFrom::Beginning
        });
    }
    Ok(places)
}

// === impl Run ===

impl Run<'_> {
    fn stages(&mut self, places: &[StartFrom]) -> Result<Report, Failure> {
        let (plan, shared) = (self.plan, self.shared);
        let mut published = None;
        if let Mode::Return { .. } = plan.mode {
            published = Some(self.publish()?);
        }
        if !plan.pids.is_empty() {
            let watch = Watch::new(&plan.pids)
                .map_err(|error| format!("failed to look at the process {:?}: {error}", plan.pids))?;
            self.watch = Some(watch);
        }
        let begun = shared.clock.now();
        let (mut connected, mut started, mut ended) = (begun, begun, begun);
        let own = Process::own();
        let mut own_cpu = own.cpu()?;
        let (mut traffic, mut repeated) = (Traffic::default(), None);
        let mut crowd_busy = None;
        let outcomes = thread::scope(|scope| -> Result<Vec<Outcome>, Failure> {
            let over = Over(shared);
            let crowd: Vec<Crowd<'_>> = shares(plan.connections(), plan.threads)
                .map(|share| scope.spawn(move || crowd::run(plan, shared, places, share)))
                .collect();
            self.gather(&crowd)?;
            self.settle_polls();
            connected = shared.clock.now();
            self.wait(plan.settle, "settling");
            if let Some(watch) = &mut self.watch {
                watch.idle()?;
            }
            traffic = shared.traffic();
            crowd_busy = shared.crowd_busy();
            repeated = self.repeated_polls();
            own_cpu = own.cpu()?;
            started = shared.clock.now();
            RunState::set(&shared.go);
            match plan.mode {
                Mode::Idle => self.wait(plan.duration, "holding"),
                Mode::Publish => published = Some(self.publish()?),
                Mode::Deliver => {
                    published = Some(self.publish()?);
                    self.drain(&crowd);
                }
                Mode::Return { .. } => self.drain(&crowd),
            }
            self.look()?;
            ended = shared.clock.now();
            own_cpu = own.cpu()?.since(own_cpu);
            traffic = shared.traffic().since(traffic);
            crowd_busy = shared.crowd_busy().zip(crowd_busy).map(|(after, before)| after - before);
            repeated =
                self.repeated_polls().zip(repeated).map(|(after, before)| after.saturating_sub(before));
            if let Some(watch) = &mut self.watch {
                sleep(plan.settle);
                watch.served()?;
            }
            drop(over);
            crowd.into_iter().map(join).collect()
        })?;
        if let Some(watch) = &mut self.watch {
            sleep(plan.settle);
            watch.after()?;
        }
        let subscribers_traffic = SubscribersTraffic {
            seconds: seconds(ended - started),
            requests: traffic.requests,
            reads: traffic.reads,
            connections: traffic.connections,
            bytes_received: traffic.received,
            bytes_sent: traffic.sent,
            cpu_seconds: crowd_busy,
        };
        if let (Mode::Deliver, Some(published)) = (plan.mode, &published) {
            started = published.first;
        }
        let mut delivery = matches!(plan.mode, Mode::Deliver | Mode::Return { .. })
            .then(|| self.delivery(&outcomes, published.as_ref(), started, traffic))
            .transpose()?;
        if let Some(delivery) = &mut delivery {
            delivery.repeated_polls = repeated;
        }
        let works = delivery.as_ref().map(|delivery| delivery.deliveries);
        let works = works.or(published.as_ref().map(|published| published.events)).unwrap_or(0);
        Ok(Report {
            target: plan.dialect.target().to_string(),
            url: String::new(),
            mode: plan.mode.name(),
            transport: plan.transport.name(),
            http: plan.server.http(),
            tls: shared.tls.get().cloned(),
            streams_per_connection: plan.streams,
            subscribers: plan.subscribers,
            topics: plan.topics,
            publishers: plan.publishers,
            rate: plan.rate,
            size: plan.size,
            batch: plan.batch,
            connect_seconds: (plan.subscribers > 0).then(|| seconds(connected - begun)),
            publish: published.as_ref().map(Published::report),
            delivery,
            subscribers_traffic,
            resources: self
                .watch
                .as_ref()
                .map(|watch| watch.resources(plan.subscribers, plan.connections(), works)),
            disk: None,
            generator_load: own_cpu.total() / seconds(ended - started).max(1e-9),
            faults: 0,
            messages: Vec::new(),
        })
    }

    /// How many held polls the hub has known by their bytes; nothing where it does not say so.
    fn repeated_polls(&self) -> Option<u64> {
        self.metric("tidings_repeated_polls_total ")
    }

    /// Waits until the hub holds the polls that were sent: one that begins with what comes next would miss what is
    /// published before.
    fn settle_polls(&self) {
        let deadline = self.shared.clock.now() + nanos(PATIENCE);
        let all = self.plan.subscribers as u64;
        while self.metric("tidings_subscribers{transport=\"long-poll\"} ").is_some_and(|held| held < all)
            && self.shared.clock.now() < deadline
        {
            sleep(LOOK);
        }
    }

    fn metric(&self, name: &str) -> Option<u64> {
        let mut request = Vec::new();
        if self.plan.placed
            || self.plan.transport != Transport::LongPoll
            || !self.plan.dialect.metrics(&mut request)
        {
            return None;
        }
        let metrics = String::from_utf8(call(&self.plan.server, &request).ok()?).ok()?;
        metrics.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
    }

    /// Waits until every subscriber is there.
    fn gather(&mut self, crowd: &[Crowd<'_>]) -> Result<(), Failure> {
        let (mut ready, mut since) = (0, self.shared.clock.now());
        loop {
            let now = self.shared.clock.now();
            let all = self.shared.ready.load(Ordering::Relaxed);
            if all >= self.plan.subscribers || crowd.iter().any(ScopedJoinHandle::is_finished) {
                break;
            }
            if all > ready {
                (ready, since) = (all, now);
            } else if now > since + nanos(PATIENCE + self.plan.interval) {
                return Err(
                    format!("only {ready} of {} subscribers were accepted", self.plan.subscribers).into()
                );
            }
            self.progress.show("connecting", self.shared);
            sleep(TICK);
        }
        // With none of them there is nothing to measure.
        let faults = self.shared.faults();
        if faults.count >= self.plan.subscribers as u64 && self.plan.subscribers > 0 {
            return Err(faults.messages.join("; ").into());
        }
        Ok(())
    }

    /// Publishes in a thread of its own, and looks on.
    fn publish(&mut self) -> Result<Published, Failure> {
        let (plan, shared) = (self.plan, self.shared);
        thread::scope(|scope| {
            let publishing = scope.spawn(move || publishers::run(plan, shared));
            while !publishing.is_finished() {
                self.tick("publishing");
            }
            join(publishing)
        })
    }

    /// Waits until everything has been delivered, or nothing comes any more.
    fn drain(&mut self, crowd: &[Crowd<'_>]) {
        let (mut delivered, mut since) = (self.shared.delivered(), self.shared.clock.now());
        let deadline = self.plan.patience.map(|patience| since + nanos(patience));
        while !crowd.iter().any(ScopedJoinHandle::is_finished) {
            let (now, all) = (self.shared.clock.now(), self.shared.delivered());
            // Whoever bounds the time looks at what is missing.
            if all >= self.shared.expected() || deadline.is_some_and(|deadline| now > deadline) {
                break;
            }
            if all > delivered {
                (delivered, since) = (all, now);
            } else if now > since + nanos(PATIENCE + self.plan.interval) {
                self.shared.fault("deliveries stopped before all had come");
                break;
            }
            self.tick("draining");
        }
        sleep(ECHO);
    }

    fn wait(&mut self, span: Duration, stage: &str) {
        let end = self.shared.clock.now() + nanos(span);
        while self.shared.clock.now() < end {
            self.tick(stage);
        }
    }

    fn tick(&mut self, stage: &str) {
        let now = self.shared.clock.now();
        if now >= self.watched + WATCH_NANOS {
            self.watched = now;
            if let Err(error) = self.look() {
                self.shared.fault(format!("failed to look at the server's process: {error}"));
            }
        }
        self.progress.show(stage, self.shared);
        sleep(TICK);
    }

    fn look(&mut self) -> std::io::Result<()> {
        self.watch.as_mut().map_or(Ok(()), Watch::busy)
    }

    fn delivery(
        &self,
        outcomes: &[Outcome],
        published: Option<&Published>,
        started: u64,
        traffic: Traffic,
    ) -> Result<Delivery, Failure> {
        let mut latencies = Latencies::new()?;
        let mut completeness = Completeness::default();
        for outcome in outcomes {
            latencies.add(&outcome.latencies);
            if let Some(published) = published {
                completeness += outcome.completeness(&published.acknowledged);
            }
        }
        let deliveries = self.shared.delivered();
        let end = self.shared.last_delivery.load(Ordering::Relaxed).max(started);
        let span = seconds(end - started);
        let each = |count: u64| count as f64 / deliveries.max(1) as f64;
        Ok(Delivery {
            deliveries,
            expected: self.shared.expected(),
            seconds: span,
            deliveries_per_second: deliveries as f64 / span.max(1e-9),
            latency_ms: (self.plan.mode == Mode::Deliver).then(|| latencies.percentiles()).flatten(),
            repeated_polls: None,
            returns: self.plan.stay.map(|_| self.shared.returns.load(Ordering::Relaxed)),
            bytes_received: traffic.received,
            bytes_received_each: each(traffic.received),
            bytes_sent_each: each(traffic.sent),
            reads_each: each(traffic.reads),
            completeness,
        })
    }
}

// === impl Over ===

impl Drop for Over<'_> {
    fn drop(&mut self) {
        RunState::set(&self.0.enough);
        RunState::set(&self.0.over);
    }
}

// === impl Published ===

impl Published {
    fn report(&self) -> Publish {
        let span = seconds(self.last - self.first);
        Publish {
            events: self.events,
            requests: self.requests,
            seconds: span,
            events_per_second: self.events as f64 / span.max(1e-9),
            latency_ms: self.latencies.percentiles(),
            delay_ms: self.delays.percentiles(),
        }
    }
}

// === impl Mode ===

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Idle => "idle",
            Self::Publish => "publish",
            Self::Return { .. } => "return",
        }
    }
}

// === impl Transport ===

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::LongPoll => "long-poll",
            Self::Poll => "poll",
            Self::WebSocket => "websocket",
        }
    }
}

/// Which of the subscribers' connections each thread has.
fn shares(connections: usize, threads: usize) -> impl Iterator<Item = Range<usize>> {
    let threads = if connections == 0 { 0 } else { threads };
    (0..threads).map(move |thread| connections * thread / threads..connections * (thread + 1) / threads)
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    thread.join().unwrap_or_else(|_| Err("a thread of the load generator panicked".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_is_in_one_share() {
        let all: Vec<usize> = shares(10, 3).flatten().collect();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(shares(0, 3).count(), 0);
    }
}
