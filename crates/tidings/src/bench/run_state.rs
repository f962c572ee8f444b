//! What the threads of a run tell each other.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::clock::Clock;
use super::process::busy;

/// The state of a run. The counters are sums over all threads, brought up to date at each turn of their loops.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) clock: Clock,
    /// Subscribers that wait for events (or, before a return, are connected).
    pub(crate) ready: AtomicUsize,
    /// Subscribers that are connected may ask.
    pub(crate) go: AtomicBool,
    /// Publishers shall publish no more.
    pub(crate) enough: AtomicBool,
    /// Subscribers shall go.
    pub(crate) over: AtomicBool,
    pub(crate) delivered: AtomicU64,
    /// When the last delivery came.
    pub(crate) last_delivery: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    /// Reads of subscribers that brought something.
    pub(crate) reads: AtomicU64,
    /// Requests of subscribers, and connections that they opened.
    pub(crate) requests: AtomicU64,
    pub(crate) connections: AtomicU64,
    /// Connections of subscribers that ended for others.
    pub(crate) returns: AtomicU64,
    pub(crate) published: AtomicU64,
    /// Deliveries that the publications acknowledged so far are to bring.
    pub(crate) expected: AtomicU64,
    /// The version of TLS and the suite that subscribers have agreed on with the server.
    pub(crate) tls: OnceLock<String>,
    /// The threads of the subscribers, as the system numbers them.
    threads: Mutex<Vec<u32>>,
    faults: Mutex<Faults>,
}

/// What has gone over the wire of subscribers: bytes, and how many reads brought them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) reads: u64,
    pub(crate) requests: u64,
    pub(crate) connections: u64,
}

/// What went wrong beside the deliveries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) count: u64,
    /// The first few, in words; the others are most often the same.
    pub(crate) messages: Vec<String>,
}

const MAX_MESSAGES: usize = 5;

// === impl Traffic ===

impl Traffic {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            received: self.received - before.received,
            sent: self.sent - before.sent,
            reads: self.reads - before.reads,
            requests: self.requests - before.requests,
            connections: self.connections - before.connections,
        }
    }
}

// === impl RunState ===

impl RunState {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            ready: AtomicUsize::new(0),
            go: AtomicBool::new(false),
            enough: AtomicBool::new(false),
            over: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            last_delivery: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            returns: AtomicU64::new(0),
            published: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            tls: OnceLock::new(),
            threads: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    pub(crate) fn fault(&self, message: impl Into<String>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.count += 1;
        let message = message.into();
        if faults.messages.len() < MAX_MESSAGES && !faults.messages.contains(&message) {
            faults.messages.push(message);
        }
    }

    pub(crate) fn faults(&self) -> Faults {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that the calling thread is one of the subscribers'.
    pub(crate) fn crowd_thread(&self) {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    /// How long the subscribers' threads have been on a processor, in seconds; `None` where the system does not say so.
    pub(crate) fn crowd_busy(&self) -> Option<f64> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().map(|thread| busy(std::process::id(), *thread)).sum()
    }

    /// What has gone over the wire so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let [received, sent, reads, requests, connections] =
            [&self.bytes_in, &self.bytes_out, &self.reads, &self.requests, &self.connections]
                .map(|count| count.load(Ordering::Relaxed));
        Traffic { received, sent, reads, requests, connections }
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(crate) fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    pub(crate) fn is(flag: &AtomicBool) -> bool {
        flag.load(Ordering::Acquire)
    }

    pub(crate) fn set(flag: &AtomicBool) {
        flag.store(true, Ordering::Release);
    }
}
