use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::delivery::parking::sink::{Link, Received, Sent, finish_socket, receive_some, send_some};
use crate::server::tls::{self, TlsLink};

/// What carries the bytes of an HTTP/2 connection.
#[derive(Debug)]
pub(crate) enum Carrier {
    Socket(OwnedFd),
    Tls(TlsLink),
}

// === impl Carrier ===

impl Carrier {
    /// What a connection is made of; nothing, where that is none of its own.
    pub(crate) fn new(link: Link) -> Option<Self> {
        match link {
            Link::Socket(socket) => Some(Self::Socket(socket)),
            Link::Tls(link) => Some(Self::Tls(link)),
            Link::Stream(_) | Link::Body(_) | Link::Page(_) | Link::WebSocket(_) | Link::Task(_) => None,
        }
    }

    pub(in crate::delivery::parking) fn socket(&self) -> BorrowedFd<'_> {
        match self {
            Self::Socket(socket) => socket.as_fd(),
            Self::Tls(link) => link.socket().as_fd(),
        }
    }

    /// Gives the socket what it takes, in one system call where it takes all.
    pub(in crate::delivery::parking) fn offer(&mut self, bytes: &[u8]) -> Sent {
        match self {
            Self::Socket(socket) => send_some(socket, bytes),
            Self::Tls(link) => match link.offer(&[bytes]) {
                tls::Sent::All => Sent::All,
                tls::Sent::Some(count) => Sent::Some(count),
                tls::Sent::Failed => Sent::Failed,
            },
        }
    }

    /// Whether something that was taken is still to be sent.
    pub(in crate::delivery::parking) fn has_unsent(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Tls(link) => link.unsent() > 0,
        }
    }

    /// Sends that, and says how much of it.
    pub(in crate::delivery::parking) fn flush(&mut self) -> Sent {
        match self {
            Self::Socket(_) => Sent::All,
            Self::Tls(link) => {
                let before = link.unsent();
                match link.flush() {
                    tls::Sent::All => Sent::All,
                    tls::Sent::Some(_) => Sent::Some(before.saturating_sub(link.unsent())),
                    tls::Sent::Failed => Sent::Failed,
                }
            }
        }
    }

    /// Reads what there is, into the spare capacity of `into`.
    pub(in crate::delivery::parking) fn receive(&mut self, into: &mut Vec<u8>) -> Received {
        match self {
            Self::Socket(socket) => receive_some(socket, into),
            Self::Tls(link) => match link.receive(into) {
                tls::Received::Some => Received::Some,
                tls::Received::Nothing => Received::Nothing,
                tls::Received::Ended => Received::Ended,
                tls::Received::Failed => Received::Failed,
            },
        }
    }

    /// Says that nothing more will be sent. Everything has been. Says whether that is with the kernel, too.
    pub(in crate::delivery::parking) fn finish(&mut self) -> bool {
        match self {
            Self::Socket(socket) => {
                finish_socket(socket);
                true
            }
            Self::Tls(link) => link.finish(),
        }
    }
}
