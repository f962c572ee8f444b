//! A thread's share of the subscribers, under one epoll loop.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags};
use tidings_websocket::Inflater;

use super::clock::nanos;
use super::dialect::StartFrom;
use super::latency::Latencies;
use super::link::Buffers;
use super::party::Party;
use super::plan::{Mode, Plan};
use super::run_state::RunState;
use super::subscriber::{Subscriber, SubscriberError};
use super::tally::{Completeness, Tally};

/// What the subscribers of a thread share.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) shared: &'a RunState,
    pub(crate) epoll: OwnedFd,
    /// Where every read goes.
    pub(crate) buffers: Buffers,
    /// Where requests are made.
    pub(crate) request: Vec<u8>,
    /// What the WebSockets of a connection are to be sent in return for what was read of them, by their slots.
    pub(crate) replies: Vec<(usize, Vec<u8>)>,
    pub(crate) inflater: Inflater,
    pub(crate) latencies: Latencies,
    pub(crate) counts: Counts,
    /// Subscribers that are on their way.
    pub(crate) opening: usize,
    /// The sign to ask has been given.
    pub(crate) gone: bool,
    /// Polls that are to be asked again, by when.
    resting: BinaryHeap<Reverse<(u64, usize)>>,
    /// Connections that are to end, by when.
    staying: BinaryHeap<Reverse<(u64, usize)>>,
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
    pub(crate) reads: u64,
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    /// Connections that ended for others.
    pub(crate) returns: u64,
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

/// Runs the subscribers of a share of the connections until the run is over. `places` is where those of each topic begin.
pub(crate) fn run(
    plan: &Plan,
    shared: &RunState,
    places: &[StartFrom],
    share: Range<usize>,
) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
    shared.crowd_thread();
    let mut desk = Desk {
        plan,
        shared,
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        buffers: Buffers::new(BUFFER_BYTES),
        request: Vec::new(),
        replies: Vec::new(),
        inflater: Inflater::default(),
        latencies: Latencies::new()?,
        counts: Counts::default(),
        opening: 0,
        gone: false,
        resting: BinaryHeap::new(),
        staying: BinaryHeap::new(),
        connections: 0,
        first: share.start,
    };
    let last = (share.end * plan.streams).min(plan.subscribers);
    let mut parties: Vec<_> = share
        .clone()
        .enumerate()
        .map(|(key, party)| {
            let members = party * plan.streams..last.min((party + 1) * plan.streams);
            let subscriber = |number: usize| {
                let topic = number % plan.topics;
                Subscriber::new(topic, plan.publishers, places[topic].clone())
            };
            Party::new(key, members.map(subscriber).collect())
        })
        .collect();
    let mut opened = 0;
    let mut events = Vec::with_capacity(EVENTS);
    while !RunState::is(&shared.over) {
        while opened < parties.len() && desk.opening < MAX_OPENING {
            let party = &mut parties[opened];
            desk.opening += party.members.len();
            settle(party.open(&mut desk), party, &mut desk);
            opened += 1;
        }
        if matches!(plan.mode, Mode::Return { .. }) && !desk.gone && RunState::is(&shared.go) {
            desk.gone = true;
            for party in &mut parties {
                settle(party.go_on(&mut desk), party, &mut desk);
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
            let Some(party) = parties.get_mut(key as usize) else { continue };
            settle(party.turn(flags, &mut desk), party, &mut desk);
        }
        let now = shared.clock.now();
        while let Some(&Reverse((due, key))) = desk.resting.peek()
            && due <= now
        {
            desk.resting.pop();
            let party = &mut parties[key / plan.streams];
            settle(party.wake(key % plan.streams, &mut desk), party, &mut desk);
        }
        while let Some(&Reverse((due, key))) = desk.staying.peek()
            && due <= now
            && RunState::is(&shared.go)
        {
            desk.staying.pop();
            let party = &mut parties[key];
            settle(party.leave(&mut desk), party, &mut desk);
        }
        desk.add_counts();
    }
    let members = parties.into_iter().flat_map(|party| party.members);
    let tallies = members.map(|subscriber| (subscriber.topic, subscriber.tally)).collect();
    Ok(Outcome { latencies: desk.latencies, tallies })
}

fn settle(result: Result<(), SubscriberError>, party: &mut Party, desk: &mut Desk<'_>) {
    if let Err(error) = result {
        party.members.iter().for_each(|_| desk.shared.fault(error.to_string()));
        party.end(desk);
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
        let first = !RunState::is(&self.shared.go);
        self.resting.push(Reverse((now + if first { spread } else { interval }, key)));
    }

    /// Has a connection end after its stay.
    pub(crate) fn stay(&mut self, party: usize) {
        let Some(stay) = self.plan.stay.map(nanos) else { return };
        // The first time they are spread over it: some have been there for long.
        let first = !RunState::is(&self.shared.go);
        let spread = stay / self.plan.connections() as u64 * (party as u64 + 1);
        self.staying.push(Reverse((self.shared.clock.now() + if first { spread } else { stay }, party)));
    }

    fn add_counts(&mut self) {
        self.counts.bytes_in += std::mem::take(&mut self.buffers.received);
        self.counts.reads += std::mem::take(&mut self.buffers.reads);
        self.counts.bytes_out += std::mem::take(&mut self.buffers.sent);
        self.counts.add_to(self.shared);
    }

    fn patience(&self) -> u64 {
        let most = if self.gone || RunState::is(&self.shared.go) { PATIENCE_NANOS } else { IMPATIENCE_NANOS };
        let now = self.shared.clock.now();
        let soonest = self.resting.peek().into_iter().chain(self.staying.peek());
        soonest.fold(most, |most, Reverse((due, _))| due.saturating_sub(now).min(most))
    }
}

// === impl Counts ===

impl Counts {
    fn add_to(&mut self, shared: &RunState) {
        let counts = std::mem::take(self);
        if counts.delivered > 0 {
            shared.last_delivery.fetch_max(counts.last_delivery, Ordering::Relaxed);
            shared.delivered.fetch_add(counts.delivered, Ordering::Relaxed);
        }
        shared.reads.fetch_add(counts.reads, Ordering::Relaxed);
        shared.requests.fetch_add(counts.requests, Ordering::Relaxed);
        shared.connections.fetch_add(counts.connections, Ordering::Relaxed);
        shared.returns.fetch_add(counts.returns, Ordering::Relaxed);
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
