use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidings_hub::{Audience, Hub};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::http2::{Newcomer, Requests};
use super::keeper::Keeper;
use super::mailbox::{Mailbox, Message};
use super::new_reader::NewReader;
use super::sink::Link;
use super::websocket::{Messages, SocketArrival};
use crate::delivery::context::Context;
use crate::server::permits::Permit;

/// The threads that own the parked connections. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct ParkedConnections {
    mailboxes: Vec<Arc<Mailbox>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    turn: AtomicUsize,
    hub: Hub,
}

/// Where an API parks: with its server's parked connections, or with its own, for requests that come to a router in
/// another program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parking(Arc<Mutex<Owner>>);

/// Whose parked connections an API uses.
#[derive(Debug, Default)]
enum Owner {
    #[default]
    None,
    /// Its own, which end with it.
    Own(Arc<ParkedConnections>),
    /// Those of its server, which knows the API and must not be kept by it.
    Served(Weak<ParkedConnections>),
}

/// Says to a handler that the connection of its request can be parked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space;

/// A connection that is to be parked.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) link: Link,
    pub(super) reader: NewReader,
    /// What was read of the connection beyond the request.
    pub(super) unread: Bytes,
    /// Its leave to be open, where it is a connection of its own.
    pub(super) permit: Option<Permit>,
}

/// A connection that leaves the shards: it has got its answer and may ask for the next.
#[derive(Debug)]
pub(crate) struct Returned {
    pub(crate) link: Link,
    /// What was read of it already.
    pub(crate) unread: Bytes,
    pub(crate) permit: Permit,
}

// === impl ParkedConnections ===

impl ParkedConnections {
    /// Starts a thread for each core. Connections that leave the shards are sent to `returned`.
    pub(crate) fn start(
        context: &Context,
        service: Option<&Arc<dyn Requests>>,
        messages: &Arc<dyn Messages>,
        returned: &UnboundedSender<Returned>,
    ) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let mut parked = Self {
            mailboxes: Vec::new(),
            threads: Mutex::default(),
            turn: AtomicUsize::new(0),
            hub: context.hub.clone(),
        };
        for number in 0..count {
            let mailbox = Arc::new(Mailbox::new()?);
            let name = format!("tidings-park-{number}");
            let thread = Keeper::start(name, context, service, messages, &mailbox, &runtime, returned)?;
            parked.threads.get_mut().unwrap_or_else(PoisonError::into_inner).push(thread);
            context.hub.attach(Arc::clone(&mailbox) as Arc<dyn Audience>);
            parked.mailboxes.push(mailbox);
        }
        Ok(parked)
    }

    /// Parked connections whose only shard somebody else runs.
    #[cfg(test)]
    pub(super) fn of(mailbox: Arc<Mailbox>, hub: Hub) -> Self {
        hub.attach(Arc::clone(&mailbox) as Arc<dyn Audience>);
        Self { mailboxes: vec![mailbox], threads: Mutex::default(), turn: AtomicUsize::new(0), hub }
    }

    /// Parks a connection: `unread` is what was read of it beyond the request.
    pub(crate) fn park(&self, link: Link, reader: NewReader, unread: Bytes, permit: Option<Permit>) {
        self.post(Message::Park(Box::new(Arrival { link, reader, unread, permit })));
    }

    /// Has a shard serve a WebSocket.
    pub(crate) fn open(&self, arrival: SocketArrival) {
        self.post(Message::Open(Box::new(arrival)));
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
            // What ends with an entry may be the last that kept its parked connections.
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

// === impl Parking ===

impl Parking {
    /// The threads, which are started where there are none yet.
    pub(crate) fn get(
        &self,
        context: &Context,
        messages: impl FnOnce() -> Arc<dyn Messages>,
    ) -> io::Result<Arc<ParkedConnections>> {
        let mut own = self.lock();
        if let Some(parked) = own.parked() {
            return Ok(parked);
        }
        // No connection comes back from it.
        let (returned, _) = unbounded_channel();
        let parked = Arc::new(ParkedConnections::start(context, None, &messages(), &returned)?);
        *own = Owner::Own(Arc::clone(&parked));
        Ok(parked)
    }

    /// Uses a server's, unless there are some already.
    pub(crate) fn adopt(&self, parked: &Arc<ParkedConnections>) {
        let mut own = self.lock();
        if own.parked().is_none() {
            *own = Owner::Served(Arc::downgrade(parked));
        }
    }

    /// See [`ParkedConnections::drain`].
    pub(crate) fn drain(&self) {
        let parked = self.lock().parked();
        if let Some(parked) = parked {
            parked.drain();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Owner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Owner ===

impl Owner {
    fn parked(&self) -> Option<Arc<ParkedConnections>> {
        match self {
            Self::None => None,
            Self::Own(parked) => Some(Arc::clone(parked)),
            Self::Served(parked) => parked.upgrade(),
        }
    }
}

impl Drop for ParkedConnections {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}
