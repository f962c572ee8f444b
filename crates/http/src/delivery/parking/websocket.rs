//! WebSockets, which a shard owns from their handshake on.
//!
//! Each subscription of a socket is an entry like any other, whose sink is the socket. All that a socket has beside them is a
//! box ([`WebSocket`]); no task waits for it. An entry's frames go to the connection as they are, in the same bytes for all
//! entries of its group. Where the connection takes a frame in part, the entry that it belongs to finishes it before another
//! may write ([`Boundary`]). What the hub itself has to say on a socket is put together, and sent at the end of the pass.
//!
//! What comes is read into a buffer of the thread. Messages go to a task of the socket (`api/websocket/serve.rs`), which lasts
//! as long as there are some, and says what comes of them through the mailbox ([`Told`]). Where more than
//! [`defaults::SOCKET_WAITING_BYTES`] wait for it, the socket is not read.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use slab::Slab;
use tidings_protocol::Cursor;
use tidings_websocket::CloseCode;

use super::group::{Interest, narrow};
use super::http2::Connections;
use super::mailbox::{Address, Message};
use super::parked::Key;
use super::sink::{Link, Sent};
use crate::api::websocket::Session;
use crate::delivery::encoding::SubscriptionName;
use crate::delivery::lease::Lease;
use crate::delivery::memory::Client;
use crate::delivery::observer::Observed;
use crate::server::permits::Permit;

mod boundary;
mod carrier;
mod inbox;
mod mounted;
mod socket;

pub(super) use carrier::SocketCarrier;
pub(crate) use carrier::SocketTask;
pub(crate) use inbox::Inbox;
pub(crate) use mounted::serve_mounted;
pub(super) use socket::{Agreement, Phase, WebSocket};

/// Serves the messages of WebSockets.
pub(crate) trait Messages: fmt::Debug + Send + Sync {
    /// Serves what waits in a socket's inbox, in order, and says what comes of it.
    fn serve(
        &self,
        session: Session,
        inbox: Arc<Inbox>,
        socket: SocketHandle,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// How a WebSocket begins.
#[derive(Debug)]
pub(crate) struct NewSocket {
    pub(crate) session: Session,
    /// What it is told first, in frames.
    pub(crate) greeting: Vec<u8>,
    /// The subscription that its URL asks for.
    pub(crate) first: Option<NewSubscription>,
    /// Whether it has to show a token before anything else.
    pub(crate) awaits_token: bool,
    /// The terms of whoever showed a token.
    pub(crate) lease: Option<Lease>,
    /// Why it is closed again at once, where it is.
    pub(crate) farewell: Option<(CloseCode, Cow<'static, str>)>,
    /// What is told when it is over, where somebody wants to know.
    pub(crate) observed: Observed,
}

/// A WebSocket that comes to a shard.
#[derive(Debug)]
pub(crate) struct SocketArrival {
    pub(crate) link: Link,
    pub(crate) socket: NewSocket,
    /// The head of the answer to its handshake, which is still to be sent.
    pub(crate) head: Vec<u8>,
    /// What was read of the connection beyond the handshake.
    pub(crate) unread: Bytes,
    /// Its leave to be open, where it is a connection of its own.
    pub(crate) permit: Option<Permit>,
}

/// A subscription that comes to a WebSocket.
#[derive(Debug)]
pub(crate) struct NewSubscription {
    pub(crate) name: SubscriptionName,
    /// What its messages name it by.
    pub(crate) reference: Option<Box<RawValue>>,
    /// What it is told first, in frames.
    pub(crate) opening: Vec<u8>,
    /// What it waits for, and the place that it has seen everything up to; nothing where its topic has ended.
    pub(crate) reader: Option<(Interest, Cursor)>,
    /// How much its topics and types take.
    pub(crate) bytes: usize,
}

/// What a socket's shard is told by the task that serves its messages, or that carries its bytes.
#[derive(Debug)]
pub(crate) enum Told {
    /// These frames are to be sent.
    Frames(Vec<u8>),
    /// So many bytes of what was read are dealt with.
    Done(usize),
    Subscribe(Box<NewSubscription>),
    Unsubscribe(SubscriptionName, Option<Box<RawValue>>),
    /// A token was shown: from now on the socket has these terms, and is told so.
    Token(Box<(Session, Option<Lease>, Vec<u8>)>),
    /// The socket is to be closed.
    Close(CloseCode, Cow<'static, str>),
    /// All messages are served; the task ends.
    Idle,
    /// The task has ended before that.
    Broken,
    /// Bytes of the client, where a task carries them.
    Received(Bytes),
    /// The client sends nothing more.
    Ended,
}

/// How a socket's shard is told of something.
#[derive(Debug, Clone)]
pub(crate) struct SocketHandle(pub(super) Address);

/// The WebSockets of a shard, and their subscriptions.
#[derive(Debug, Default)]
pub(super) struct WebSockets {
    /// Boxed, so that a list that grows does not hold room for as many again.
    sockets: Slab<Box<WebSocket>>,
    subscriptions: Slab<Subscription>,
    /// Sockets that have something to send, or to be looked after, at the end of the pass.
    dirty: Vec<u32>,
    generation: u32,
    /// The present tick of the wheel.
    pub(super) now: u32,
}

/// A subscription of a socket, as the sink of its entry.
#[derive(Debug)]
struct Subscription {
    socket: u32,
    entry: Key,
    /// How much its topics and types take.
    bytes: usize,
    /// Whether it has come to its end, and was told so.
    is_finished: bool,
    /// Whether that is not the end of its topic.
    is_parting: bool,
}

// === impl SocketHandle ===

impl SocketHandle {
    pub(crate) fn tell(&self, told: Told) {
        self.0.tell(|socket| Message::Socket(socket, told));
    }
}

// === impl WebSockets ===

impl WebSockets {
    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// The key that the next socket will have.
    pub(super) fn next_key(&mut self) -> Key {
        self.generation = Key::next_generation(self.generation);
        Key::websocket(narrow(self.sockets.vacant_key()), self.generation)
    }

    pub(super) fn insert(&mut self, socket: Box<WebSocket>) -> u32 {
        narrow(self.sockets.insert(socket))
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut WebSocket> {
        let socket = self.sockets.get_mut(key.index as usize)?;
        (socket.key == key).then_some(&mut **socket)
    }

    pub(super) fn get(&mut self, index: u32) -> &mut WebSocket {
        &mut self.sockets[index as usize]
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.sockets.iter().map(|(_, socket)| socket.key).collect()
    }

    /// Takes a socket out, whose subscriptions are gone.
    pub(super) fn remove(&mut self, index: u32) -> Box<WebSocket> {
        let socket = self.sockets.remove(index as usize);
        if self.sockets.is_empty() {
            // What a crowd needed goes with it.
            (self.sockets, self.subscriptions, self.dirty) = Default::default();
        }
        socket
    }

    /// Has a socket looked after at the end of the pass.
    pub(super) fn touch(&mut self, index: u32) {
        let Some(socket) = self.sockets.get_mut(index as usize) else { return };
        if !std::mem::replace(&mut socket.is_dirty, true) {
            self.dirty.push(index);
        }
    }

    /// The next socket that is to be looked after.
    pub(super) fn next_dirty(&mut self) -> Option<u32> {
        loop {
            let index = self.dirty.pop()?;
            if let Some(socket) = self.sockets.get_mut(index as usize)
                && std::mem::take(&mut socket.is_dirty)
            {
                return Some(index);
            }
        }
    }

    /// Has a socket say something of the hub's own, at the end of the pass.
    pub(super) fn say(&mut self, index: u32, frames: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(index as usize) {
            socket.push(frames);
            self.touch(index);
        }
    }

    /// Adds a subscription to a socket. Gives its number among those of the shard.
    pub(super) fn subscribe(&mut self, socket: u32, entry: Key) -> u32 {
        let number = narrow(self.subscriptions.insert(Subscription {
            socket,
            entry,
            bytes: 0,
            is_finished: false,
            is_parting: false,
        }));
        let own = &mut self.get(socket).subscriptions;
        own.reserve_exact(1);
        own.push(number);
        number
    }

    /// How much the topics and types of a socket's subscriptions take.
    pub(super) fn selected(&self, index: u32) -> usize {
        let own = self.sockets[index as usize].subscriptions.iter();
        own.filter_map(|number| self.subscriptions.get(*number as usize)).map(|own| own.bytes).sum()
    }

    /// Takes note of how much the topics and types of a subscription take.
    pub(super) fn count_selected(&mut self, number: u32, bytes: usize) {
        if let Some(subscription) = self.subscriptions.get_mut(number as usize) {
            subscription.bytes = bytes;
        }
    }

    /// The entry of a subscription.
    pub(super) fn entry(&self, number: u32) -> Option<Key> {
        self.subscriptions.get(number as usize).map(|subscription| subscription.entry)
    }

    /// For whom is counted what the reader of a subscription has not taken.
    pub(super) fn client(&self, number: u32) -> Option<&Client> {
        let socket = self.subscriptions.get(number as usize)?.socket;
        self.sockets.get(socket as usize).map(|socket| &socket.session.client)
    }

    /// The entries of a socket's subscriptions, with their numbers.
    pub(super) fn entries_of(&self, index: u32) -> Vec<(u32, Key)> {
        let socket = &self.sockets[index as usize];
        socket
            .subscriptions
            .iter()
            .map(|number| (*number, self.subscriptions[*number as usize].entry))
            .collect()
    }

    /// A subscription ends before its topic does.
    pub(super) fn part(&mut self, number: u32) {
        if let Some(subscription) = self.subscriptions.get_mut(number as usize) {
            subscription.is_parting = true;
        }
    }

    /// A subscription has been given all, and its socket goes on without it.
    pub(super) fn finish(&mut self, number: u32) {
        if let Some(subscription) = self.subscriptions.get_mut(number as usize) {
            subscription.is_finished = true;
        }
    }

    /// Lets go of a subscription. A socket that has lost one without its end has to be closed: its client would wait for ever.
    pub(super) fn close(&mut self, number: u32) {
        let Some(Subscription { socket: index, is_finished, is_parting, .. }) =
            self.subscriptions.try_remove(number as usize)
        else {
            return;
        };
        let Some(socket) = self.sockets.get_mut(index as usize) else { return };
        socket.subscriptions.retain(|own| *own != number);
        socket.has_lost |= !is_finished;
        socket.has_ended_one |= is_finished && !is_parting;
        if socket.let_go(number) {
            // A half of a frame is of no use to anybody.
            socket.has_failed = true;
        }
        self.touch(index);
    }

    /// How much it is of use to offer to a subscription's connection.
    pub(super) fn room(&self, number: u32, http2: &Connections) -> usize {
        let socket = self.subscriptions.get(number as usize).map(|subscription| subscription.socket);
        match socket.and_then(|socket| self.sockets.get(socket as usize)).map(|socket| &socket.carrier) {
            Some(SocketCarrier::Stream(stream)) => http2.room(*stream),
            Some(SocketCarrier::Task(task)) => task.sink.room().max(1),
            Some(SocketCarrier::Socket(_) | SocketCarrier::Tls(_)) | None => usize::MAX,
        }
    }

    /// Gives an entry's connection what it takes.
    pub(super) fn offer(&mut self, number: u32, bytes: &[u8], http2: &mut Connections) -> Sent {
        let now = self.now;
        let Some(Subscription { socket: index, .. }) = self.subscriptions.get(number as usize) else {
            return Sent::Failed;
        };
        let index = *index;
        let socket = &mut self.sockets[index as usize];
        if socket.has_to_wait_for_others(number) {
            socket.traffic().waiting.add(number, false);
            return Sent::Some(0);
        }
        let sent = self.sockets[index as usize].offer(number, bytes, now, http2);
        if self.sockets[index as usize].wants_care() {
            self.touch(index);
        }
        sent
    }
}
