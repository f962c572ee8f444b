//! What takes the bytes of an entry, whatever carries them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use slab::Slab;

use super::body::BodySink;
use super::group::narrow;
use super::held::{HeldPage, PageSink};
use super::http2::Connections;
use super::mailbox::{Address, EntryName, Mailbox};
use super::parked::Key;
use super::tls_sink::TlsSink;
use super::websocket::{SocketTask, WebSockets};
use crate::delivery::memory::Client;
use crate::server::tls::TlsLink;
use crate::system::poller::{Events, Poller};
use crate::system::sending::send_now;
use crate::system::vanishing;

/// What takes the bytes of an entry. The entry keeps its kind, and where among the shard's [`Sinks`] the rest of it is.
#[derive(Debug)]
pub(super) enum Sink {
    /// A plain socket of its own.
    Socket(OwnedFd),
    /// A TLS connection of its own.
    Tls(u32),
    /// A stream of an HTTP/2 connection, by its number among those of the shard.
    Stream(u32),
    /// The body of a response.
    Body(u32),
    /// A handler that waits for a page.
    Page(u32),
    /// A WebSocket, by the number of the subscription among those of the shard.
    WebSocket(u32),
}

/// What becomes a sink when it is parked, and was one when it leaves.
#[derive(Debug)]
pub(crate) enum Link {
    Socket(OwnedFd),
    Tls(TlsLink),
    /// A stream of an HTTP/2 connection of the shard.
    Stream(u32),
    Body(BodySink),
    Page(PageSink),
    /// A WebSocket of the shard, which gets a subscription more.
    WebSocket(u32),
    /// A WebSocket on a connection of another program, whose bytes a task carries.
    Task(Box<SocketTask>),
}

/// What the sinks of a shard have beside its entries.
#[derive(Debug)]
pub(super) struct Sinks {
    poller: Poller,
    tls: Slab<TlsSink>,
    pub(super) http2: Connections,
    pub(super) websockets: WebSockets,
    /// How others speak to the shard, and its number among those that have had the mailbox.
    mailbox: Arc<Mailbox>,
    shard: u32,
    bodies: Slab<BodySink>,
    pages: Slab<PageSink>,
}

/// How much a sink took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    /// It takes no more for now; so many bytes were taken. The shard hears when it takes more.
    Some(usize),
    Failed,
}

/// What a sink had to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    Some,
    /// Nothing for now. The shard hears when there is something.
    Nothing,
    /// The reader sends nothing more.
    Ended,
    Failed,
}

/// What is read of a connection before it is closed, so that the close does not reset it under the last bytes
/// that it was sent.
pub(crate) const DISCARD_BYTES: usize = 16 << 10;

// === impl Sink ===

impl Sink {
    /// Whether what its reader sends has to be read also where the entry asks for nothing: it may be about the connection.
    pub(super) fn listens(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

// === impl Sinks ===

#[allow(clippy::unused_self, reason = "what a kind needs beside its entry is among the sinks")]
impl Sinks {
    /// Without any; the bell rings for the shard.
    pub(super) fn new(mailbox: Arc<Mailbox>, shard: u32) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.register_waker(mailbox.bell(), Key::MAILBOX.to_bits())?;
        Ok(Self {
            poller,
            mailbox,
            shard,
            tls: Slab::new(),
            http2: Connections::default(),
            websockets: WebSockets::default(),
            bodies: Slab::new(),
            pages: Slab::new(),
        })
    }

    /// Waits until the bell rings or something happens to a sink, for so long at most.
    pub(super) fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.poller.wait(events, timeout)
    }

    /// Makes a sink of what an entry came with. From then on the shard hears of it by the entry's key. There is none where
    /// nobody is at the other end any more.
    pub(super) fn take_in(&mut self, link: Link, key: Key) -> io::Result<Option<Sink>> {
        let address =
            || Address { mailbox: Arc::clone(&self.mailbox), entry: EntryName { shard: self.shard, key } };
        match link {
            Link::Socket(socket) => {
                self.watch(socket.as_fd(), key)?;
                Ok(Some(Sink::Socket(socket)))
            }
            Link::Tls(link) => {
                self.watch(link.socket().as_fd(), key)?;
                Ok(Some(Sink::Tls(narrow(self.tls.insert(TlsSink::new(link))))))
            }
            Link::Stream(number) => {
                self.http2.park(number, key);
                Ok(Some(Sink::Stream(number)))
            }
            Link::Body(body) => {
                Ok(body.seat(address()).then(|| Sink::Body(narrow(self.bodies.insert(body)))))
            }
            Link::Page(page) => Ok(page.seat(address()).then(|| Sink::Page(narrow(self.pages.insert(page))))),
            Link::WebSocket(index) => Ok(Some(Sink::WebSocket(self.websockets.subscribe(index, key)))),
            // It is no entry itself.
            Link::Task(_) => Ok(None),
        }
    }

    /// Has the shard hear of a socket by a key.
    pub(super) fn watch(&self, socket: BorrowedFd<'_>, key: Key) -> io::Result<()> {
        self.poller.register(socket, key.to_bits())
    }

    /// Has the shard hear nothing more of a socket.
    pub(super) fn unwatch(&self, socket: BorrowedFd<'_>) {
        // What fails here fails again, and is noticed, when the connection is used.
        drop(self.poller.deregister(socket));
    }

    /// Lets go of a sink that is used elsewhere from now on.
    pub(super) fn take_out(&mut self, sink: Sink) -> Link {
        match sink {
            Sink::Socket(socket) => {
                self.unwatch(socket.as_fd());
                Link::Socket(socket)
            }
            Sink::Tls(place) => {
                let link = self.remove_tls(place).into_link();
                self.unwatch(link.socket().as_fd());
                Link::Tls(link)
            }
            Sink::Stream(number) => Link::Stream(number),
            Sink::Body(body) => Link::Body(self.bodies.remove(body as usize)),
            Sink::Page(page) => Link::Page(self.pages.remove(page as usize)),
            Sink::WebSocket(number) => Link::WebSocket(number),
        }
    }

    /// For whom is counted what the reader of a sink has not taken, where the sink knows.
    pub(super) fn client(&self, sink: &Sink) -> Option<&Client> {
        match sink {
            Sink::Socket(_) | Sink::Tls(_) | Sink::Stream(_) | Sink::Page(_) => None,
            Sink::Body(body) => Some(self.bodies[*body as usize].client()),
            Sink::WebSocket(number) => self.websockets.client(*number),
        }
    }

    /// How much it is of use to offer to a sink at once.
    pub(super) fn room(&self, sink: &Sink) -> usize {
        match sink {
            Sink::Socket(_) | Sink::Tls(_) | Sink::Page(_) => usize::MAX,
            Sink::WebSocket(number) => self.websockets.room(*number, &self.http2),
            Sink::Stream(number) => self.http2.room(*number),
            Sink::Body(body) => self.bodies[*body as usize].room().max(1),
        }
    }

    /// Whether the shard is to close an entry whose sink takes nothing for the write timeout. Elsewhere the connection
    /// has a deadline of its own, and knows when it waits for its reader.
    pub(super) fn has_deadline(&self, sink: &Sink) -> bool {
        !matches!(sink, Sink::Body(_) | Sink::Page(_) | Sink::WebSocket(_))
    }

    /// Gives a sink what it takes without waiting.
    pub(super) fn offer(&mut self, sink: &Sink, bytes: &[u8]) -> Sent {
        match sink {
            Sink::Socket(socket) => send_some(socket, bytes),
            Sink::Tls(place) => self.tls[*place as usize].offer(bytes),
            Sink::Stream(number) => self.http2.offer(*number, bytes),
            Sink::Body(body) => self.bodies[*body as usize].offer(bytes),
            // Bytes are not what it takes.
            Sink::Page(_) => Sent::Failed,
            Sink::WebSocket(number) => self.websockets.offer(*number, bytes, &mut self.http2),
        }
    }

    /// Gives a page to the handler that waits for it.
    pub(super) fn answer(&mut self, sink: &Sink, page: HeldPage) {
        if let Sink::Page(number) = sink {
            self.pages[*number as usize].answer(page);
        }
    }

    /// Reads what there is, into the spare capacity of `into`.
    pub(super) fn receive(&mut self, sink: &Sink, into: &mut Vec<u8>) -> Received {
        match sink {
            Sink::Socket(socket) => {
                match retry_on_intr(|| recv(socket, spare_capacity(&mut *into), RecvFlags::DONTWAIT)) {
                    Ok((0, _)) => Received::Ended,
                    Ok(_) => Received::Some,
                    Err(Errno::AGAIN) => Received::Nothing,
                    Err(_) => Received::Failed,
                }
            }
            Sink::Tls(place) => self.tls[*place as usize].receive(into),
            // What is read of a connection is its own matter.
            Sink::Stream(_) | Sink::Body(_) | Sink::Page(_) | Sink::WebSocket(_) => Received::Nothing,
        }
    }

    /// Ends a sink whose reader has been given everything, so that it gets all of it and knows that it did. Says whether
    /// that is done; else the sink takes no more for now, and is to be finished again when it does.
    pub(super) fn finish(&mut self, sink: &Sink) -> bool {
        match sink {
            Sink::Socket(socket) => {
                finish_socket(socket);
                true
            }
            Sink::Tls(place) => self.tls[*place as usize].finish(),
            Sink::Stream(number) => {
                self.http2.finish(*number);
                true
            }
            Sink::Body(body) => {
                self.bodies[*body as usize].finish();
                true
            }
            Sink::Page(_) => true,
            Sink::WebSocket(number) => {
                self.websockets.finish(*number);
                true
            }
        }
    }

    /// Closes a sink, at once where it was not finished.
    pub(super) fn close(&mut self, sink: Sink) {
        match sink {
            Sink::Socket(socket) => drop(socket),
            Sink::Tls(place) => drop(self.remove_tls(place)),
            Sink::Stream(number) => self.http2.close(number),
            Sink::Body(body) => drop(self.bodies.remove(body as usize)),
            Sink::Page(page) => drop(self.pages.remove(page as usize)),
            Sink::WebSocket(number) => self.websockets.close(number),
        }
    }

    /// Whether a sink that failed did so because its reader had vanished without a word.
    pub(super) fn has_vanished(&self, sink: &Sink) -> bool {
        match sink {
            Sink::Socket(socket) => vanishing::is_cause(socket),
            Sink::Tls(place) => vanishing::is_cause(self.tls[*place as usize].link().socket()),
            Sink::Stream(_) | Sink::Body(_) | Sink::Page(_) | Sink::WebSocket(_) => false,
        }
    }

    /// Whether a sink waits for others that share its connection, so that it is not its reader's fault.
    pub(super) fn waits_for_connection(&self, sink: &Sink) -> bool {
        match sink {
            Sink::Socket(_) | Sink::Tls(_) | Sink::Body(_) | Sink::Page(_) | Sink::WebSocket(_) => false,
            Sink::Stream(number) => self.http2.waits_for_connection(*number),
        }
    }

    /// Whom a sink is counted for that is no connection of its own.
    pub(super) fn network(&self, sink: &Sink) -> Option<IpAddr> {
        match sink {
            Sink::Socket(_) | Sink::Tls(_) | Sink::Body(_) | Sink::Page(_) | Sink::WebSocket(_) => None,
            Sink::Stream(number) => self.http2.network(*number),
        }
    }

    /// Whether a sink has taken bytes that it did not tell of, since this was asked last.
    pub(super) fn has_moved(&mut self, sink: &Sink) -> bool {
        match sink {
            Sink::Socket(_) | Sink::Stream(_) | Sink::Body(_) | Sink::Page(_) | Sink::WebSocket(_) => false,
            Sink::Tls(place) => self.tls[*place as usize].has_moved(),
        }
    }

    /// Takes note of bytes that were read for nobody. Says whether more of them may be.
    pub(super) fn ignore(&mut self, sink: &Sink, bytes: usize) -> bool {
        match sink {
            Sink::Socket(_) | Sink::Stream(_) | Sink::Body(_) | Sink::Page(_) | Sink::WebSocket(_) => true,
            Sink::Tls(place) => self.tls[*place as usize].ignore(bytes),
        }
    }

    /// Whether a reader has said that it sends nothing more, which is known only when it was read.
    pub(super) fn has_ended(&self, sink: &Sink) -> bool {
        match sink {
            Sink::Socket(_) | Sink::Stream(_) | Sink::Body(_) | Sink::Page(_) | Sink::WebSocket(_) => false,
            Sink::Tls(place) => self.tls[*place as usize].link().has_ended(),
        }
    }

    fn remove_tls(&mut self, place: u32) -> TlsSink {
        let sink = self.tls.remove(place as usize);
        if self.tls.is_empty() {
            // What a crowd needed goes with it.
            self.tls = Slab::new();
        }
        sink
    }
}

/// Reads what a socket has, into the spare capacity of `into`.
pub(super) fn receive_some(socket: impl AsFd, into: &mut Vec<u8>) -> Received {
    let before = into.len();
    let room = into.capacity() - before;
    match retry_on_intr(|| recv(&socket, spare_capacity(&mut *into), RecvFlags::DONTWAIT)) {
        Ok((0, _)) => Received::Ended,
        // Where there was less than there was room for, there is no more for now.
        Ok(_) if into.len() - before < room => Received::Nothing,
        Ok(_) => Received::Some,
        Err(Errno::AGAIN) => Received::Nothing,
        Err(_) => Received::Failed,
    }
}

/// Says on a socket that nothing more will be sent. What has come is read, so that the close does not reset it.
pub(super) fn finish_socket(socket: &OwnedFd) {
    let _ = shutdown(socket, Shutdown::Write);
    let mut rest = [0; DISCARD_BYTES];
    let _ = recv(socket, &mut rest, RecvFlags::DONTWAIT);
}

/// Sends what a socket takes without waiting.
pub(super) fn send_some(socket: &OwnedFd, bytes: &[u8]) -> Sent {
    loop {
        match send_now(socket, bytes) {
            Ok(count) if count == bytes.len() => return Sent::All,
            Ok(count) => return Sent::Some(count),
            Err(Errno::AGAIN) => return Sent::Some(0),
            Err(Errno::INTR) => {}
            Err(error) => {
                tracing::debug!(%error, "failed to write to a parked connection");
                return Sent::Failed;
            }
        }
    }
}
