use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tidings_hub::{Audience, Found};
use tidings_log::ReadError;
use tidings_protocol::{Epoch, Selection, Sequence, Topic};

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
    census: Mutex<Census>,
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

/// How many entries of the shard would get an event of a topic.
#[derive(Debug, Default)]
struct Census {
    by_topic: HashMap<Topic, usize>,
    by_pattern: HashMap<Arc<Selection>, usize>,
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
            census: Mutex::default(),
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
        *self.census() = Census::default();
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

    pub(super) fn count(&self, selection: &Arc<Selection>, more: bool) {
        let mut census = self.census();
        if selection.patterns().is_empty() {
            for topic in selection.topics() {
                adjust(&mut census.by_topic, topic, more);
            }
        } else {
            adjust(&mut census.by_pattern, selection, more);
        }
    }

    fn census(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn adjust<K: Clone + Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K, more: bool) {
    let Some(count) = counts.get_mut(key) else {
        if more {
            counts.insert(key.clone(), 1);
        }
        return;
    };
    if more {
        *count += 1;
    } else if *count > 1 {
        *count -= 1;
    } else {
        counts.remove(key);
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

    fn named(&self, topic: &Topic) -> usize {
        self.census().by_topic.get(topic.as_str()).copied().unwrap_or_default()
    }

    fn patterns(&self) -> Vec<(Arc<Selection>, usize)> {
        // Matching them takes long, and the shard needs the lock to park and to answer.
        self.census().by_pattern.iter().map(|(selection, count)| (Arc::clone(selection), *count)).collect()
    }
}
