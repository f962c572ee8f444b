//! A connection that asks and hears answers, over HTTP/1.1 one after the other, over HTTP/2 several at once.

use std::os::fd::BorrowedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::body::InvalidChunk;
use super::head::{Head, InvalidHead};
use super::http1::Http1;
use super::http2::Http2;
use super::link::{Buffers, Link};
use super::server::Server;
use super::socket::Received;

#[derive(Debug)]
pub(crate) struct Connection {
    link: Link,
    speech: Speech,
    /// What is to be written, before it is.
    out: Vec<u8>,
    was_up: bool,
}

#[derive(Debug)]
enum Speech {
    Http1(Http1),
    Http2(Box<Http2>),
}

/// Takes what answers bring. A slot is the place of a request among those of its connection.
pub(crate) trait Listener {
    type Error: From<ConnectionError>;

    fn head(&mut self, slot: usize, head: &Head<'_>) -> Result<(), Self::Error>;
    fn piece(&mut self, slot: usize, bytes: &[u8]) -> Result<(), Self::Error>;
    /// The answer is whole. `close`: the connection takes no more requests.
    fn end(&mut self, slot: usize, close: bool) -> Result<(), Self::Error>;
    /// Something has come, which is handed out next.
    fn arrived(&mut self) {}
}

/// What came of a look at a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Same,
    /// It may be asked over, from now on.
    Up,
    /// The server has ended it.
    Ended(Ending),
}

/// In the middle of what a server ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing was asked, or the answer ended with it.
    Idle,
    /// A request was on its way, over a connection that had answered others.
    Asked,
    /// An answer, or the first of all.
    Midway,
    /// Before TLS was agreed on.
    Early,
}

/// Why a connection is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("failed to connect: {0}")]
    Connect(Errno),
    #[error(transparent)]
    Socket(#[from] Errno),
    #[error("{0}")]
    Tls(String),
    #[error("the server ended it before TLS was agreed on: its URL may have to begin with http://")]
    Early,
    #[error("the server does not speak HTTP/2 here: {0}")]
    NoHttp2(String),
    #[error(
        "the server takes {most} streams on a connection, fewer than `--streams-per-connection {wanted}`"
    )]
    Streams { most: u32, wanted: usize },
    #[error("the server takes no WebSockets over HTTP/2 (RFC 8441)")]
    NoSockets,
    #[error("the server reset a stream: {0}")]
    Reset(String),
    #[error("the server ended the connection: {0} {1}")]
    GoAway(String, String),
    #[error("the server's answer is not HTTP/2: {0}")]
    Frame(&'static str),
    #[error(transparent)]
    Fields(#[from] super::http2::InvalidFields),
    #[error(transparent)]
    Head(#[from] InvalidHead),
    #[error(transparent)]
    Body(#[from] InvalidChunk),
}

// === impl Connection ===

impl Connection {
    /// Begins to connect, with so many slots. `number` is unlike that of every other connection of this run.
    pub(crate) fn open(
        server: &Server,
        slots: usize,
        number: usize,
        epoll: BorrowedFd<'_>,
        key: u64,
    ) -> Result<Self, ConnectionError> {
        let mut out = Vec::new();
        let speech = if server.http2 {
            Speech::Http2(Box::new(Http2::new(slots, &mut out)))
        } else {
            Speech::Http1(Http1::new())
        };
        let link = Link::open(server, number, epoll, key)?;
        Ok(Self { link, speech, out, was_up: false })
    }

    /// Puts a request on its way, which [`Connection::flush`] sends.
    pub(crate) fn ask(&mut self, slot: usize, request: &[u8]) {
        match &mut self.speech {
            Speech::Http1(http1) => {
                http1.ask();
                self.out.extend_from_slice(request);
            }
            Speech::Http2(http2) => http2.ask(slot, request, self.link.tls().is_some(), &mut self.out),
        }
    }

    /// Sends a few bytes on a WebSocket: a connection that speaks another protocol than HTTP since, or a stream of one.
    pub(crate) fn send(&mut self, slot: usize, bytes: &[u8]) {
        match &mut self.speech {
            Speech::Http1(_) => self.out.extend_from_slice(bytes),
            Speech::Http2(http2) => http2.send(slot, bytes, &mut self.out),
        }
    }

    pub(crate) fn takes_requests(&self) -> bool {
        match &self.speech {
            Speech::Http1(_) => true,
            Speech::Http2(http2) => http2.takes_requests(),
        }
    }

    /// The version of TLS and the suite, in words.
    pub(crate) fn tls(&self) -> Option<String> {
        let tls = self.link.tls()?;
        let (version, suite) = (tls.protocol_version()?, tls.negotiated_cipher_suite()?);
        let version = format!("{version:?}").replace("TLSv1_", "TLS 1.");
        Some(format!("{version}, {:?}", suite.suite()))
    }

    pub(crate) fn flush(
        &mut self,
        epoll: BorrowedFd<'_>,
        buffers: &mut Buffers,
    ) -> Result<(), ConnectionError> {
        if !self.out.is_empty() {
            self.link.write(&self.out);
            self.out.clear();
            self.out.shrink_to(OUT_ROOM);
        }
        self.link.flush(epoll, buffers)
    }

    /// Takes what the socket is ready for. What is to be sent for it waits for [`Connection::flush`].
    pub(crate) fn turn<L: Listener>(
        &mut self,
        flags: EventFlags,
        buffers: &mut Buffers,
        listener: &mut L,
    ) -> Result<Turn, L::Error> {
        if self.link.is_connecting() {
            self.link.connected()?;
        } else if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP) {
            let Self { link, speech, out, .. } = self;
            let received = link.receive(buffers, |bytes| {
                listener.arrived();
                match speech {
                    Speech::Http1(http1) => http1.take(bytes, listener),
                    Speech::Http2(http2) => http2.take(bytes, listener, out),
                }
            })?;
            if received == Received::End {
                return self.ended(listener).map(Turn::Ended);
            }
        }
        if self.was_up || !self.link.is_up() {
            return Ok(Turn::Same);
        }
        self.was_up = true;
        self.check_protocol()?;
        Ok(Turn::Up)
    }

    /// Whether the server has agreed to what is spoken.
    fn check_protocol(&self) -> Result<(), ConnectionError> {
        let agreed = self.link.tls().and_then(|tls| tls.alpn_protocol());
        match (&self.speech, self.link.tls()) {
            (Speech::Http2(_), Some(_)) if agreed != Some(b"h2") => Err(ConnectionError::NoHttp2(
                "it has not chosen `h2` when the connection was made; without `--http2` it is HTTP/1.1"
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    fn ended<L: Listener>(&mut self, listener: &mut L) -> Result<Ending, L::Error> {
        let (waiting, midway) = match &mut self.speech {
            Speech::Http1(http1) => {
                http1.ended(listener)?;
                (http1.is_waiting(), http1.is_midway())
            }
            Speech::Http2(http2) => (http2.is_waiting(), http2.is_midway()),
        };
        Ok(match (waiting, midway) {
            _ if !self.link.is_up() => Ending::Early,
            (false, _) => Ending::Idle,
            (true, false) => Ending::Asked,
            _ => Ending::Midway,
        })
    }
}

// === impl ConnectionError ===

impl ConnectionError {
    /// What TLS says, or better, what to do about it.
    pub(crate) fn of_tls(error: &rustls::Error) -> Self {
        Self::Tls(match (tidings_client::tls::complaint(error), error) {
            (Some(complaint), _) => complaint,
            (None, rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
                return Self::NoHttp2("it refuses `h2` when a connection is made".into());
            }
            (None, error) => format!("TLS failed: {error}"),
        })
    }
}

/// Room that a request leaves behind for the next.
const OUT_ROOM: usize = 4 << 10;
