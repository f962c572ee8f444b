use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tidings_hub::{Audience, Found};
use tidings_log::ReadError;
use tidings_protocol::{Epoch, Sequence, Topic};

use super::group_index::{GroupIndex, lock};
use super::http2::{Newcomer, Said, StreamName};
use super::parked::Key;
use super::parked_connections::Arrival;
use super::websocket::{SocketArrival, Told};
use crate::system::poller::Waker;

/// How the world speaks to a shard.
#[derive(Debug)]
pub(super) struct Mailbox {
    bell: Waker,
    /// Whether the bell has been rung since the shard last looked.
    rung: AtomicBool,
    messages: Mutex<Vec<Message>>,
    /// How many entries the shard has.
    entries: AtomicUsize,
    /// Who of the shard wants what.
    index: Arc<Mutex<GroupIndex>>,
    /// How many shards have had it, one after the other.
    shards: AtomicU32,
    alive: AtomicBool,
    stopping: AtomicBool,
}

#[derive(Debug)]
pub(super) enum Message {
    /// A connection to be parked.
    Park(Box<Arrival>),
    /// A connection of HTTP/2.
    Connect(Box<Newcomer>),
    /// What comes of a request of HTTP/2.
    Stream(StreamName, Said),
    /// A WebSocket whose handshake is made.
    Open(Box<SocketArrival>),
    /// What comes of the messages of a WebSocket.
    Socket(EntryName, Told),
    /// What an entry has asked the log for.
    Read(Asked, Result<Found, ReadError>),
    /// The read of an entry ended without a result.
    Lost(Asked),
    /// The hub begins to shut down.
    Drain,
    /// The sink of an entry takes more.
    Writable(EntryName),
    /// The reader of an entry is gone, and its sink with it.
    Left(EntryName),
    /// Nothing more will come: the thread ends when its entries have, and no later than this.
    Stop(Instant),
}

/// Names an entry or a WebSocket, from outside of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryName {
    /// The shard, of those that have had the mailbox: an earlier one's keys may be others' now.
    pub(super) shard: u32,
    pub(super) key: Key,
}

/// How the shard of an entry is told of something.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) entry: EntryName,
}

/// What was read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// The shard, of those that have had the mailbox: an earlier one's keys may be others' now.
    pub(super) shard: u32,
    pub(super) key: Key,
    pub(super) place: (Epoch, Sequence),
}

// === impl Address ===

impl Address {
    pub(super) fn tell(&self, message: impl FnOnce(EntryName) -> Message) {
        self.mailbox.post(message(self.entry));
    }
}

// === impl Mailbox ===

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            bell: Waker::new()?,
            rung: AtomicBool::new(false),
            messages: Mutex::default(),
            entries: AtomicUsize::new(0),
            index: Arc::default(),
            shards: AtomicU32::new(0),
            alive: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
        })
    }

    /// The number of the next shard that has it.
    pub(super) fn next_shard(&self) -> u32 {
        self.shards.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether its shard serves, or is about to begin.
    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    pub(super) fn set_alive(&self, alive: bool) {
        self.alive.store(alive, Ordering::Relaxed);
    }

    /// No shard follows the present one.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The shard has lost its entries.
    pub(super) fn forget_entries(&self) {
        *lock(&self.index) = GroupIndex::default();
        self.occupy(0);
    }

    pub(super) fn bell(&self) -> &Waker {
        &self.bell
    }

    pub(super) fn post(&self, message: Message) {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        self.ring();
    }

    /// Silences the bell, before the shard looks at what it was rung for. Whoever rings between the two lines
    /// has left its message already, and whoever rings after them rings again.
    pub(super) fn silence(&self) {
        self.bell.silence();
        self.rung.store(false, Ordering::Release);
    }

    /// Takes out what has come.
    pub(super) fn open(&self) -> Vec<Message> {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of how many entries the shard has.
    pub(super) fn occupy(&self, entries: usize) {
        self.entries.store(entries, Ordering::Relaxed);
    }

    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.bell.wake();
        }
    }

    /// Who of the shard wants what; shared with its groups.
    pub(super) fn index(&self) -> Arc<Mutex<GroupIndex>> {
        Arc::clone(&self.index)
    }
}

impl Audience for Mailbox {
    fn wake(&self) {
        // A shard without entries has nobody to tell. One that is parked meanwhile finds the event itself: it is in
        // the hub's memory before this is called, and an entry begins with what it has not seen.
        if self.entries.load(Ordering::Relaxed) > 0 {
            self.ring();
        }
    }

    fn subscribers(&self, topic: &Topic, steps: &mut u64) -> usize {
        lock(&self.index).subscribers(topic, steps)
    }
}
