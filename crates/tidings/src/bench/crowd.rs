//! A thread's share of the subscribers, under one epoll loop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags};

use super::clock::nanos;
use super::dialect::Place;
use super::latency::Latencies;
use super::plan::{Mode, Plan};
use super::shared::Shared;
use super::subscriber::{Subscriber, SubscriberError};
use super::tally::{Completeness, Tally};

/// What the subscribers of a thread share.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) shared: &'a Shared,
    pub(crate) epoll: OwnedFd,
    /// Where every read goes.
    pub(crate) buffer: Vec<u8>,
    pub(crate) latencies: Latencies,
    pub(crate) counts: Counts,
    /// Subscribers that are on their way.
    pub(crate) opening: usize,
    /// The sign to ask has been given.
    pub(crate) gone: bool,
    /// Polls that are to be asked again, by when.
    resting: BinaryHeap<Reverse<(u64, usize)>>,
    /// Connections that were opened, in this thread's own share of the numbers.
    connections: usize,
    first: usize,
}

/// Counts that have not been added to those of the run.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ready: usize,
    pub(crate) delivered: u64,
    pub(crate) last_delivery: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// What came of a thread's subscribers.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) latencies: Latencies,
    /// The topic of each, and what it got.
    tallies: Vec<(usize, Tally)>,
}

/// Connections that are made at once: fewer than servers let wait to be accepted.
const MAX_OPENING: usize = 256;
/// The most that one read takes: a subscriber that is behind does not keep the others from being read.
const BUFFER_BYTES: usize = 256 << 10;
const EVENTS: usize = 1_024;
/// How soon the end of the run is noticed.
const PATIENCE_NANOS: u64 = 20_000_000;
const IMPATIENCE_NANOS: u64 = 1_000_000;

/// Runs subscribers until the run is over. `places` is where those of each topic begin.
pub(crate) fn run(
    plan: &Plan,
    shared: &Shared,
    places: &[Place],
    share: Range<usize>,
) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
    let mut desk = Desk {
        plan,
        shared,
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        buffer: vec![0; BUFFER_BYTES],
        latencies: Latencies::new()?,
        counts: Counts::default(),
        opening: 0,
        gone: false,
        resting: BinaryHeap::new(),
        connections: 0,
        first: share.start,
    };
    let mut subscribers: Vec<_> = share
        .clone()
        .enumerate()
        .map(|(key, number)| {
            let topic = number % plan.topics;
            Subscriber::new(key, topic, plan.publishers, places[topic].clone())
        })
        .collect();
    let mut opened = 0;
    let mut events = Vec::with_capacity(EVENTS);
    while !Shared::is(&shared.over) {
        while opened < subscribers.len() && desk.opening < MAX_OPENING {
            desk.opening += 1;
            let (subscriber, number) = (&mut subscribers[opened], desk.next_number());
            settle(subscriber.open(number, &mut desk), subscriber, &mut desk);
            opened += 1;
        }
        if matches!(plan.mode, Mode::Return { .. }) && !desk.gone && Shared::is(&shared.go) {
            desk.gone = true;
            for subscriber in subscribers.iter_mut().filter(|subscriber| subscriber.stands()) {
                settle(subscriber.ask(&mut desk), subscriber, &mut desk);
            }
        }
        events.clear();
        let patience = Timespec { tv_sec: 0, tv_nsec: desk.patience().try_into().unwrap_or_default() };
        match epoll::wait(&desk.epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (key, flags) = (event.data.u64(), event.flags);
            let Some(subscriber) = subscribers.get_mut(key as usize) else { continue };
            settle(subscriber.turn(flags, &mut desk), subscriber, &mut desk);
        }
        let now = shared.clock.now();
        while let Some(&Reverse((due, key))) = desk.resting.peek()
            && due <= now
        {
            desk.resting.pop();
            let subscriber = &mut subscribers[key];
            settle(subscriber.wake(&mut desk), subscriber, &mut desk);
        }
        desk.counts.add_to(shared);
    }
    let tallies = subscribers.into_iter().map(|subscriber| (subscriber.topic, subscriber.tally)).collect();
    Ok(Outcome { latencies: desk.latencies, tallies })
}

fn settle(result: Result<(), SubscriberError>, subscriber: &mut Subscriber, desk: &mut Desk<'_>) {
    if let Err(error) = result {
        desk.shared.fault(error.to_string());
        subscriber.end(desk);
    }
}

// === impl Desk ===

impl Desk<'_> {
    /// The number of the next connection, apart from those of the other threads.
    pub(crate) fn next_number(&mut self) -> usize {
        self.connections += 1;
        self.first + self.connections
    }

    /// Has a subscriber ask again after the interval.
    pub(crate) fn rest(&mut self, key: usize, now: u64) {
        let interval = nanos(self.plan.interval);
        // The first time they are spread over the interval, as those of many users would be.
        let spread = interval / (self.plan.subscribers as u64) * (key as u64);
        let first = !Shared::is(&self.shared.go);
        self.resting.push(Reverse((now + if first { spread } else { interval }, key)));
    }

    fn patience(&self) -> u64 {
        let most = if self.gone || Shared::is(&self.shared.go) { PATIENCE_NANOS } else { IMPATIENCE_NANOS };
        let now = self.shared.clock.now();
        self.resting.peek().map_or(most, |Reverse((due, _))| due.saturating_sub(now).min(most))
    }
}

// === impl Counts ===

impl Counts {
    fn add_to(&mut self, shared: &Shared) {
        let counts = std::mem::take(self);
        if counts.delivered > 0 {
            shared.last_delivery.fetch_max(counts.last_delivery, Ordering::Relaxed);
            shared.delivered.fetch_add(counts.delivered, Ordering::Relaxed);
        }
        shared.bytes_in.fetch_add(counts.bytes_in, Ordering::Relaxed);
        shared.bytes_out.fetch_add(counts.bytes_out, Ordering::Relaxed);
        shared.ready.fetch_add(counts.ready, Ordering::Relaxed);
    }
}

// === impl Outcome ===

impl Outcome {
    /// What is wrong with the deliveries, where `published` are the events acknowledged of each topic and
    /// publisher.
    pub(crate) fn completeness(&self, published: &[Vec<u64>]) -> Completeness {
        let mut sum = Completeness::default();
        for (topic, tally) in &self.tallies {
            sum += tally.finish(&published[*topic]);
        }
        sum
    }
}
