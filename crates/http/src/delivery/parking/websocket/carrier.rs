use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

use crate::delivery::parking::body::BodySink;
use crate::delivery::parking::http2::Connections;
use crate::delivery::parking::sink::{Received, Sent, finish_socket, receive_some, send_some};
use crate::delivery::parking::tls_sink::TlsSink;

/// What carries the bytes of a WebSocket.
#[derive(Debug)]
pub(in crate::delivery::parking) enum SocketCarrier {
    Socket(OwnedFd),
    Tls(TlsSink),
    /// A stream of an HTTP/2 connection, by its number among those of the shard.
    Stream(u32),
    /// A task, where the connection is another program's.
    Task(Box<SocketTask>),
}

/// The shard's end of a task that carries a socket's bytes.
#[derive(Debug)]
pub(crate) struct SocketTask {
    /// Takes what is to be sent.
    pub(in crate::delivery::parking) sink: BodySink,
    /// For how many bytes the task may bring more.
    pub(in crate::delivery::parking) credit: Arc<Semaphore>,
    /// Tells the task when the shard has let go of it.
    pub(super) _gone: DropGuard,
}

// === impl SocketCarrier ===

impl SocketCarrier {
    /// The socket, where it is one of its own.
    pub(in crate::delivery::parking) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Socket(socket) => Some(socket.as_fd()),
            Self::Tls(sink) => Some(sink.link().socket().as_fd()),
            Self::Stream(_) | Self::Task(_) => None,
        }
    }

    /// Gives the connection what it takes without waiting.
    pub(super) fn offer(&mut self, bytes: &[u8], http2: &mut Connections) -> Sent {
        match self {
            Self::Socket(socket) => send_some(socket, bytes),
            Self::Tls(sink) => sink.offer(bytes),
            Self::Stream(number) => http2.offer(*number, bytes),
            Self::Task(task) => task.sink.offer(bytes),
        }
    }

    /// Whether it has taken bytes that it did not tell of, since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        match self {
            Self::Tls(sink) => sink.has_moved(),
            Self::Socket(_) | Self::Stream(_) | Self::Task(_) => false,
        }
    }

    /// Reads what there is, into the spare capacity of `into`. What comes otherwise is not read here.
    pub(in crate::delivery::parking) fn receive(&mut self, into: &mut Vec<u8>) -> Received {
        match self {
            Self::Socket(socket) => receive_some(socket, into),
            Self::Tls(sink) => sink.receive(into),
            Self::Stream(_) | Self::Task(_) => Received::Nothing,
        }
    }

    /// Reads what still comes of one that is finished, which is nobody's. It is not unsealed.
    pub(in crate::delivery::parking) fn discard(&self, into: &mut Vec<u8>) -> Received {
        self.socket().map_or(Received::Nothing, |socket| receive_some(socket, into))
    }

    /// Says that nothing more will be sent. Everything has been. Says whether that is with the kernel, too.
    pub(in crate::delivery::parking) fn finish(&mut self, http2: &mut Connections) -> bool {
        match self {
            Self::Socket(socket) => {
                finish_socket(socket);
                true
            }
            Self::Tls(sink) => sink.finish(),
            Self::Stream(number) => {
                http2.finish(*number);
                true
            }
            Self::Task(task) => {
                task.sink.finish();
                true
            }
        }
    }

    /// Closes it, at once where it was not finished.
    pub(in crate::delivery::parking) fn close(self, http2: &mut Connections) {
        match self {
            Self::Stream(number) => http2.close(number),
            Self::Socket(_) | Self::Tls(_) | Self::Task(_) => {}
        }
    }
}
