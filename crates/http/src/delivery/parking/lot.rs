use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_hub::{Audience, Hub};
use tidings_protocol::{Cursor, ProblemKind};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::group::Interest;
use super::http2::Newcomer;
use super::keeper::Keeper;
use super::mailbox::{Mailbox, Message};
use super::sink::Link;
use super::template::Template;
use crate::Face;
use crate::api::access::{Line, OpenLine};
use crate::api::lease::Lease;
use crate::api::problem::Refusal;
use crate::server::permits::Permit;
use crate::server::service::Service;

/// The threads that own the parked connections. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Lot {
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    turn: AtomicUsize,
    hub: Hub,
}

/// The lot of a face, once there is one: that of its server, or one of its own for requests that come to a router in
/// another program.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaceLot(Arc<Mutex<Delivery>>);

/// Which lot a face has.
#[derive(Debug, Default)]
enum Delivery {
    #[default]
    None,
    /// Its own, which ends with it.
    Own(Arc<Lot>),
    /// That of its server, which knows the face and must not be kept by it.
    Served(Weak<Lot>),
}

/// Says to a handler that the connection of its request can be parked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space;

/// What a handler leaves in the extensions of its response, where the connection is to be parked: the response
/// has a head, and what follows it comes from the lot.
#[derive(Clone)]
pub(crate) struct Slip(Arc<Mutex<Option<Order>>>);

/// How a connection is to be parked.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) interest: Interest,
    /// Everything up to and including this is seen.
    pub(crate) cursor: Cursor,
    /// What the reader of a stream gets first, after the head.
    pub(crate) opening: Vec<u8>,
    /// How long a poll is held.
    pub(crate) wait: Duration,
    /// The cursor that a poll came with, where it came with no other.
    pub(crate) asked: Option<Cursor>,
    /// The request of a poll, to know the next one by.
    pub(crate) template: Option<Template>,
    /// The terms of whoever showed a token.
    pub(crate) lease: Option<Lease>,
    /// What is told when it is over, where somebody wants to know.
    pub(crate) line: OpenLine,
}

/// A connection that is to be parked.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) link: Link,
    pub(super) order: Order,
    /// What was read of the connection beyond the request.
    pub(super) unread: Bytes,
    /// Its leave to be open, where it is a connection of its own.
    pub(super) permit: Option<Permit>,
}

/// A connection that leaves the lot: it has got its answer and may ask for the next.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) link: Link,
    /// What was read of it already.
    pub(crate) unread: Bytes,
    pub(crate) permit: Permit,
}

/// Has a shard of the face deliver to something that is not a connection.
pub(crate) fn park(face: &Face, link: Link, order: Order) -> Result<(), Refusal> {
    let lot = face.lot.get(face).map_err(|error| {
        tracing::error!(%error, "failed to start the threads that deliver events");
        Refusal::new(ProblemKind::Unavailable, "the hub has no thread that could deliver events")
    })?;
    lot.park(link, order, Bytes::new(), None);
    Ok(())
}

// === impl Order ===

impl Order {
    /// To be sent what comes after a cursor.
    pub(crate) fn new(interest: Interest, cursor: Cursor) -> Self {
        Self {
            interest,
            cursor,
            opening: Vec::new(),
            wait: Duration::ZERO,
            asked: None,
            template: None,
            lease: None,
            line: OpenLine::default(),
        }
    }
}

// === impl Slip ===

impl Slip {
    pub(crate) fn new(order: Order) -> Self {
        Self(Arc::new(Mutex::new(Some(order))))
    }

    /// Has the lot tell when the request is over.
    pub(crate) fn attach(&self, mut line: Box<Line>) {
        if let Some(order) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            line.came_with(order.asked);
            order.line.open(line);
        }
    }

    pub(crate) fn take(&self) -> Option<Order> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slip").finish_non_exhaustive()
    }
}

// === impl Lot ===

impl Lot {
    /// Starts a thread for each core. Connections that leave the lot are sent to `returned`.
    pub(crate) fn start(
        face: &Face,
        service: Option<&Arc<Service>>,
        returned: &UnboundedSender<Returned>,
    ) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let face = &face.without_lot();
        let mut lot = Self {
            mailboxes: Vec::new(),
            threads: Mutex::default(),
            turn: AtomicUsize::new(0),
            hub: face.hub.clone(),
        };
        for number in 0..count {
            let mailbox = Arc::new(Mailbox::new()?);
            let name = format!("tidings-park-{number}");
            let thread = Keeper::start(name, face, service, &mailbox, &runtime, returned)?;
            lot.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread);
            face.hub.attach(Arc::clone(&mailbox) as Arc<dyn Audience>);
            lot.mailboxes.push(mailbox);
        }
        Ok(lot)
    }

    /// A lot whose only shard somebody else runs.
    #[cfg(test)]
    pub(super) fn of(mailbox: Arc<Mailbox>, hub: Hub) -> Self {
        hub.attach(Arc::clone(&mailbox) as Arc<dyn Audience>);
        Self { mailboxes: vec![mailbox], threads: Mutex::default(), turn: AtomicUsize::new(0), hub }
    }

    /// Parks a connection: `unread` is what was read of it beyond the request.
    pub(crate) fn park(&self, link: Link, order: Order, unread: Bytes, permit: Option<Permit>) {
        self.post(Message::Park(Box::new(Parcel { link, order, unread, permit })));
    }

    /// Has a shard serve a connection of HTTP/2.
    pub(crate) fn connect(&self, newcomer: Newcomer) {
        self.post(Message::Connect(Box::new(newcomer)));
    }

    /// Gives something to one of the shards.
    fn post(&self, message: Message) {
        if self.is_stopping() {
            // Nobody would serve it.
            return;
        }
        let count = self.mailboxes.len().max(1);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let in_turn = || (turn..turn + count).filter_map(|place| self.mailboxes.get(place % count));
        // Where none is alive, one is about to be.
        if let Some(mailbox) = in_turn().find(|mailbox| mailbox.is_alive()).or_else(|| in_turn().next()) {
            mailbox.post(message);
        }
    }

    /// Answers the polls with what they have, and ends the streams between two events.
    pub(crate) fn drain(&self) {
        self.tell(|| Message::Drain);
    }

    /// Ends the threads, once their entries have ended; whatever is open after `patience` is closed.
    pub(crate) fn stop(&self, patience: Duration) {
        let by = Instant::now() + patience;
        for mailbox in &self.mailboxes {
            mailbox.stop();
        }
        self.tell(|| Message::Stop(by));
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // What ends with an entry may be the last that kept its lot.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of parked connections panicked");
            }
        }
        for mailbox in &self.mailboxes {
            let audience: Arc<dyn Audience> = Arc::<Mailbox>::clone(mailbox);
            self.hub.detach(&audience);
        }
    }

    fn is_stopping(&self) -> bool {
        self.mailboxes.iter().any(|mailbox| mailbox.is_stopping())
    }

    fn tell(&self, message: impl Fn() -> Message) {
        for mailbox in &self.mailboxes {
            mailbox.post(message());
        }
    }
}

// === impl FaceLot ===

impl FaceLot {
    /// The lot, which is started where there is none yet.
    pub(crate) fn get(&self, face: &Face) -> io::Result<Arc<Lot>> {
        let mut own = self.lock();
        if let Some(lot) = own.lot() {
            return Ok(lot);
        }
        // No connection comes back from it.
        let (returned, _) = unbounded_channel();
        let lot = Arc::new(Lot::start(face, None, &returned)?);
        *own = Delivery::Own(Arc::clone(&lot));
        Ok(lot)
    }

    /// Uses a server's lot, unless there is one already.
    pub(crate) fn adopt(&self, lot: &Arc<Lot>) {
        let mut own = self.lock();
        if own.lot().is_none() {
            *own = Delivery::Served(Arc::downgrade(lot));
        }
    }

    /// See [`Lot::drain`].
    pub(crate) fn drain(&self) {
        let lot = self.lock().lot();
        if let Some(lot) = lot {
            lot.drain();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Delivery> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Delivery ===

impl Delivery {
    fn lot(&self) -> Option<Arc<Lot>> {
        match self {
            Self::None => None,
            Self::Own(lot) => Some(Arc::clone(lot)),
            Self::Served(lot) => lot.upgrade(),
        }
    }
}

impl Drop for Lot {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}
