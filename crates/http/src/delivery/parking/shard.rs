//! A thread that owns parked connections.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use slab::Slab;
use tidings_http2::Settings;
use tidings_hub::{PullLimits, ReaderState as State};
use tidings_protocol::{Lineage, Sequence};
use tidings_websocket::Inflater;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use super::chunk::Chunk;
use super::group::{GroupSerial, Groups, PollResponse, Shape, narrow};
use super::http2::{Requests, settings};
use super::leases::Leases;
use super::mailbox::{Mailbox, Message};
use super::page::{Answer, PagePart};
use super::parked::{Key, Parked};
use super::parked_connections::Returned;
use super::sink::Sinks;
use super::template::Template;
use super::websocket::Messages;
use super::wheel::{Wheel, ticks};
use crate::delivery::context::Context;
use crate::delivery::observer::Observer;
use crate::server::permits::Permit;
use crate::system::poller::{Event, Events};
use crate::{defaults, system::vanishing};

mod admission;
mod answers;
#[cfg(test)]
mod autobahn;
mod catch_up;
mod connection_times;
mod connections;
mod counts;
mod deadlines;
mod delivery;
mod flush;
mod idle;
#[cfg(test)]
mod model;
mod pacing;
mod websocket_input;
mod websocket_times;
mod websockets;

use counts::Counts;

type PagePlace = (GroupSerial, Sequence, Sequence, u32);

/// What a shard's thread works with. Nothing of it is shared but the mailbox.
pub(super) struct Shard {
    /// Which of those it is that have had the mailbox.
    number: u32,
    context: Context,
    service: Option<Arc<dyn Requests>>,
    messages: Arc<dyn Messages>,
    http2_settings: Arc<Settings>,
    mailbox: Arc<Mailbox>,
    runtime: Handle,
    returned: UnboundedSender<Returned>,
    sinks: Sinks,
    entries: Slab<Parked>,
    /// The terms of those who showed a token, and when they end.
    leases: Leases,
    /// The leave of each entry to be open, by its index.
    permits: Vec<Option<Permit>>,
    groups: Groups,
    /// Which log the entries' places are in.
    lineage: Lineage,
    /// Everything up to and including this has been given to the entries that are live.
    position: Sequence,
    /// Whether there is more after `position`.
    behind: bool,
    wheel: Wheel,
    begun: Instant,
    /// The present tick of the wheel.
    now: u32,
    generation: u32,
    write_timeout: u32,
    /// Entries that lag and whose sockets, as far as is known, take bytes; and idle ones that have something to read.
    ready: VecDeque<Key>,
    /// Entries that want a page from the log.
    want_read: VecDeque<Key>,
    reading: usize,
    /// Streams that would read, while the log's engine is away; and the tick at which it is asked again.
    resting: Vec<Key>,
    rest_until: u32,
    /// Chunks that entries which catch up were given lately, by group and the place before them: many who come
    /// back together come back to the same place.
    chunks: HashMap<(GroupSerial, Sequence), Arc<Chunk>>,
    /// The memory that they take.
    chunk_bytes: usize,
    /// The page that was made last for a poll that catches up: by its group, the place before it, the place of the
    /// shard, and the second, which is told.
    page: Option<(PagePlace, Arc<(PagePart, Answer)>)>,
    /// What was read of polls beyond their requests, or of requests that have not come whole, which is rare.
    unread: HashMap<Key, Bytes>,
    /// The ticks of the last deliveries to those that want them no more often than so.
    delivered: HashMap<Key, u32>,
    /// What is told of entries when they are over, where somebody wants to know.
    observers: HashMap<Key, Box<dyn Observer>>,
    /// The requests that entries keep.
    templates: HashSet<Arc<Template>>,
    counts: Counts,
    /// Members of a group that are about to be sent something; kept for its memory.
    targets: Vec<u32>,
    /// The request that is being read; kept for its memory.
    heard: Vec<u8>,
    /// What is being read of a connection of HTTP/2 or a WebSocket; kept for its memory.
    input: Vec<u8>,
    /// Inflates messages of WebSockets.
    inflater: Inflater,
    draining: bool,
    /// When the thread ends, where it has been told to.
    stop: Option<Instant>,
}

/// How many events of the kernel are taken at once.
const EVENTS: usize = 1_024;
/// How much of the tail is passed on at once. The bound in bytes keeps a batch below what a socket's buffer
/// takes, so that a fast reader stays live.
const BATCH: PullLimits = PullLimits { events: 1_024, bytes: 128 << 10 };
/// How much an entry that catches up is given at once, before it is another's turn.
const CATCH_UP: PullLimits = PullLimits { events: 2_048, bytes: 128 << 10 };
/// How many entries have a turn at catching up before sockets and new events are looked at again.
const TURNS: usize = 256;
/// Pages that a shard reads from the log at once, and so the memory that readers far behind take together.
const READS: usize = 4;
/// Sends between two looks at the clock.
const TIMED: usize = 64;
/// The largest page that is kept to be shared.
const PAGE_BYTES: usize = 16 << 20;
/// A second, in ticks.
const SECOND: u32 = 20;
/// The memory for chunks that are kept to be shared.
const CHUNK_BYTES: usize = 8 << 20;

// === impl Shard ===

impl Shard {
    pub(super) fn new(
        context: Context,
        service: Option<Arc<dyn Requests>>,
        messages: Arc<dyn Messages>,
        mailbox: Arc<Mailbox>,
        runtime: Handle,
        returned: UnboundedSender<Returned>,
    ) -> io::Result<Self> {
        let number = mailbox.next_shard();
        let sinks = Sinks::new(Arc::clone(&mailbox), number)?;
        let counts = Counts::new(&context);
        let groups = Groups::new(mailbox.index());
        let end = context.hub.end();
        Ok(Self {
            number,
            draining: context.draining.is_cancelled(),
            lineage: end.lineage,
            position: end.latest,
            write_timeout: ticks(context.config.write_timeout),
            http2_settings: Arc::new(settings(&context.config)),
            context,
            service,
            messages,
            mailbox,
            runtime,
            returned,
            sinks,
            counts,
            entries: Slab::new(),
            leases: Leases::default(),
            permits: Vec::new(),
            groups,
            behind: false,
            wheel: Wheel::new(),
            begun: Instant::now(),
            now: 0,
            generation: 0,
            ready: VecDeque::new(),
            want_read: VecDeque::new(),
            reading: 0,
            resting: Vec::new(),
            rest_until: 0,
            chunks: HashMap::new(),
            chunk_bytes: 0,
            page: None,
            unread: HashMap::new(),
            delivered: HashMap::new(),
            observers: HashMap::new(),
            targets: Vec::new(),
            heard: Vec::new(),
            input: Vec::new(),
            inflater: Inflater::default(),
            templates: HashSet::new(),
            stop: None,
        })
    }

    /// Serves the entries until it is told to stop and none is left.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.wait(&mut events)?;
            self.now = Wheel::tick_at(self.begun.elapsed());
            (self.sinks.http2.now, self.sinks.websockets.now) = (self.now, self.now);
            for event in events.drain() {
                match Key::from_bits(event.key) {
                    Key::MAILBOX => self.mailbox.silence(),
                    key if key.is_connection() => self.on_connection(key, event),
                    key if key.is_websocket() => self.on_websocket(key, event),
                    key => self.on_socket(key, event),
                }
            }
            self.pass();
            let sinks = &self.sinks;
            let is_empty = self.entries.is_empty() && sinks.http2.is_empty() && sinks.websockets.is_empty();
            if self.stop.is_some_and(|stop| is_empty || stop <= Instant::now()) {
                return Ok(());
            }
        }
    }

    /// Does everything that there is to do at the present tick.
    fn pass(&mut self) {
        for message in self.mailbox.open() {
            self.on_message(message);
        }
        let second = self.now / SECOND;
        self.page.take_if(|((.., own), _)| *own != second);
        self.advance();
        self.take_turns();
        self.start_reads();
        while let Some(key) = self.leases.take(self.now) {
            self.end_lease(key);
        }
        while let Some((tick, keys)) = self.wheel.take(self.now) {
            for key in keys {
                self.on_tick(tick, key);
            }
        }
        // What sockets have to say may go by connections of HTTP/2.
        self.flush_websockets();
        self.flush_connections();
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = if self.behind || !self.ready.is_empty() {
            Some(Duration::ZERO)
        } else if self.stop.is_some() {
            // Whatever is left has its last writes under way, and a deadline.
            Some(Duration::from_millis(50))
        } else {
            let elapsed = self.begun.elapsed();
            let lease = self.leases.next().map(|tick| Wheel::until(tick, elapsed));
            let rest = (!self.resting.is_empty()).then(|| Wheel::until(self.rest_until, elapsed));
            [self.wheel.next(elapsed), lease, rest].into_iter().flatten().min()
        };
        self.sinks.wait(events, timeout)
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Park(arrival) => self.admit(*arrival),
            Message::Connect(newcomer) => self.connect(*newcomer),
            Message::Stream(name, said) => self.on_said(name, said),
            Message::Open(arrival) => self.open_websocket(*arrival),
            Message::Socket(name, told) => self.on_told(name, told),
            Message::Read(asked, result) if asked.shard == self.number => {
                self.reading -= 1;
                self.on_read(asked, result);
            }
            Message::Lost(asked) if asked.shard == self.number => {
                self.reading -= 1;
                self.on_lost_read(asked);
            }
            // Who asked for it is gone.
            Message::Read(..) | Message::Lost(_) => {}
            Message::Drain => {
                self.draining = true;
                self.forget_chunks();
                let indices: Vec<_> = self.entries.iter().map(|(index, _)| narrow(index)).collect();
                for index in indices {
                    self.dismiss(index, defaults::DRAIN_RETRY);
                }
                self.drain_websockets();
                self.drain_connections();
            }
            Message::Writable(name) if name.shard == self.number => self.writable(name.key),
            Message::Left(name) if name.shard == self.number => self.broken(name.key),
            Message::Writable(_) | Message::Left(_) => {}
            Message::Stop(by) => self.stop = Some(by),
        }
    }

    fn on_socket(&mut self, key: Key, event: Event) {
        if event.failed {
            tracing::debug!(?event, "a reader has left");
            return self.broken(key);
        }
        if event.read_closed
            && let Some(entry) = self.find_mut(key)
        {
            // Known before anything else: what is finished now is not held again.
            entry.reader.set_left();
        }
        if event.writable {
            self.writable(key);
        }
        if event.readable {
            self.readable(key);
        }
        if event.read_closed {
            self.left(key);
        }
    }

    /// The sink of an entry failed.
    pub(super) fn broken(&mut self, key: Key) {
        if self.sinks.websockets.find(key).is_some() {
            return self.break_websocket(key.index);
        }
        let Some(entry) = self.find(key) else { return };
        if self.sinks.has_vanished(&entry.sink) {
            vanishing::count(&self.context.metrics);
        }
        self.close(key.index);
    }

    /// The sink of an entry may take more.
    pub(super) fn writable(&mut self, key: Key) {
        if key.is_websocket() {
            return self.websocket_writable(key);
        }
        if self.find(key).is_some_and(|entry| entry.blocked.is_some()) {
            self.resume(key.index);
        }
    }

    /// The sink of an entry has something to read.
    pub(super) fn readable(&mut self, key: Key) {
        let Some(entry) = self.find_mut(key) else { return };
        entry.reader.set_readable(true);
        if entry.seen.state() == State::Idle {
            self.hear(key.index);
        } else if self.entries[key.index as usize].sink.listens() {
            self.listen(key.index);
        }
    }

    /// The reader of an entry sends nothing more, and may have left.
    pub(super) fn left(&mut self, key: Key) {
        if key.is_websocket() {
            return self.pushed_end(key);
        }
        let Some(entry) = self.find_mut(key) else { return };
        entry.reader.set_left();
        self.end_wait(key.index);
    }

    /// Closes an entry whose reader sends nothing more and may have left, unless it is being given an answer: that is
    /// finished (RFC 9112 §9.6).
    fn end_wait(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let is_poll = self.groups.get(entry.group).interest.shape.is_poll();
        match entry.seen.state() {
            State::Ending => {}
            State::Lagging | State::Reading if is_poll => {}
            State::Live | State::Idle | State::Lagging | State::Reading => {
                tracing::debug!("a reader has left");
                self.close(index);
            }
        }
    }

    /// An entry has all that there is, and waits for more.
    fn settle(&mut self, index: u32) {
        self.entries[index as usize].seen.settle();
        if self.entries[index as usize].reader.has_left() {
            self.end_wait(index);
        }
    }

    /// Whether the entry that a key names is still there.
    fn find(&self, key: Key) -> Option<&Parked> {
        self.entries.get(key.index as usize).filter(|entry| entry.generation == key.generation)
    }

    fn find_mut(&mut self, key: Key) -> Option<&mut Parked> {
        self.entries.get_mut(key.index as usize).filter(|entry| entry.generation == key.generation)
    }

    fn key(&self, index: u32) -> Key {
        Key { index, generation: self.entries[index as usize].generation }
    }

    /// Ends an entry that has been sent all that it will be.
    fn finish(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        match self.groups.get(entry.group).interest.shape {
            Shape::Poll { .. } if self.stays(index) => self.idle(index),
            Shape::Poll { response: Some(PollResponse { close: false, .. }), .. } if !self.draining => {
                self.give_back(index, &[]);
            }
            _ => {
                if self.sinks.finish(&entry.sink) {
                    return self.close(index);
                }
                let entry = &mut self.entries[index as usize];
                entry.seen.end();
                // It has to take what it says of its end.
                entry.send_then(Vec::new());
                self.block(index);
            }
        }
    }

    fn close(&mut self, index: u32) {
        let key = self.key(index);
        self.unread.remove(&key);
        let (entry, permit) = self.remove(index);
        // The connection first: only then there is room for another.
        self.sinks.close(entry.sink);
        drop(permit);
    }

    /// Tells that a poll is answered.
    fn told(&self, index: u32, status: StatusCode, bytes: usize) {
        if let Some(observer) = self.observers.get(&self.key(index)) {
            observer.end(Some(status), Some(bytes as u64));
        }
    }

    /// Tells that a stream is over, or a poll that was not answered.
    fn end_observation(&mut self, index: u32) {
        let key = self.key(index);
        let Some(observer) = self.observers.remove(&key) else { return };
        let entry = &self.entries[index as usize];
        match self.groups.get(entry.group).interest.shape {
            Shape::Stream { .. } => observer.end(Some(StatusCode::OK), None),
            Shape::Poll { .. } if matches!(entry.seen.state(), State::Ending | State::Idle) => {}
            Shape::Poll { .. } => observer.end(None, None),
        }
    }

    fn remove(&mut self, index: u32) -> (Parked, Option<Permit>) {
        let permit = self.permits[index as usize].take();
        self.end_observation(index);
        self.leases.remove(self.key(index));
        self.delivered.remove(&self.key(index));
        self.forget_template(index);
        let entry = self.entries.remove(index as usize);
        self.mailbox.occupy(self.entries.len());
        let interest = &self.groups.get(entry.group).interest;
        if entry.seen.state() != State::Idle {
            self.groups.rest(entry.group);
            self.counts.leave(&interest.shape);
        }
        if let Some(moved) = self.groups.leave(entry.group, entry.place) {
            self.entries[moved as usize].place = entry.place;
        }
        if self.entries.is_empty() {
            // What a crowd needed goes with it.
            self.permits = Vec::new();
            self.forget_chunks();
        }
        (entry, permit)
    }
}

impl Drop for Shard {
    /// Also where it broke: what is told of its entries is told.
    fn drop(&mut self) {
        for (_, observer) in self.observers.drain() {
            observer.end(None, None);
        }
    }
}
