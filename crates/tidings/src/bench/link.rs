//! The bytes of a connection, in clear or over TLS.

use std::io::{Read as _, Write as _};
use std::os::fd::BorrowedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustls::ClientConnection;

use super::connection::ConnectionError;
use super::server::Server;
use super::socket::{Received, Socket};

/// A connection to the server, which may not be there yet: what is written before waits.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Socket,
    key: u64,
    stage: Stage,
    tls: Option<Box<ClientConnection>>,
    /// What the socket has not taken.
    unsent: Vec<u8>,
    /// What the socket is watched for.
    interest: EventFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Handshake,
    Up,
}

/// What all connections of a thread read into, and what came and went through it.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    wire: Vec<u8>,
    plain: Vec<u8>,
    pub(crate) received: u64,
    pub(crate) reads: u64,
    pub(crate) sent: u64,
}

/// The most of one record, and so of what is opened at once.
const PLAIN_BYTES: usize = 16 << 10;

// === impl Link ===

impl Link {
    /// Begins to connect. `number` is unlike that of every other connection of this run.
    pub(crate) fn open(
        server: &Server,
        number: usize,
        epoll: BorrowedFd<'_>,
        key: u64,
    ) -> Result<Self, ConnectionError> {
        let socket = Socket::connect(server.address, number).map_err(ConnectionError::Connect)?;
        socket.register(epoll, key, EventFlags::OUT)?;
        let tls = server.tls.as_ref().map(|tls| tls.session().map(Box::new)).transpose()?;
        Ok(Self { socket, key, stage: Stage::Connecting, tls, unsent: Vec::new(), interest: EventFlags::OUT })
    }

    pub(crate) fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.stage == Stage::Connecting
    }

    /// The socket is connected, or will never be.
    pub(crate) fn connected(&mut self) -> Result<(), ConnectionError> {
        self.socket.connected().map_err(ConnectionError::Connect)?;
        self.stage = if self.tls.is_some() { Stage::Handshake } else { Stage::Up };
        Ok(())
    }

    pub(crate) fn tls(&self) -> Option<&ClientConnection> {
        self.tls.as_deref()
    }

    /// Puts bytes on their way, which [`Link::flush`] sends.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            // It has no limit, so it takes all.
            Some(tls) => drop(tls.writer().write_all(bytes)),
            None => self.unsent.extend_from_slice(bytes),
        }
    }

    pub(crate) fn flush(
        &mut self,
        epoll: BorrowedFd<'_>,
        buffers: &mut Buffers,
    ) -> Result<(), ConnectionError> {
        if self.stage == Stage::Connecting {
            return Ok(());
        }
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                // A vector takes all.
                drop(tls.write_tls(&mut self.unsent));
            }
        }
        if !self.unsent.is_empty() {
            let sent = self.socket.send(&self.unsent).map_err(|error| self.failed(error))?;
            buffers.sent += sent as u64;
            self.unsent.drain(..sent);
        }
        let out = if self.unsent.is_empty() { EventFlags::empty() } else { EventFlags::OUT };
        if self.interest != EventFlags::IN | out {
            self.interest = EventFlags::IN | out;
            self.socket.interest(epoll, self.key, self.interest)?;
        }
        Ok(())
    }

    /// What a failure of the socket means.
    fn failed(&self, error: Errno) -> ConnectionError {
        if self.stage == Stage::Handshake { ConnectionError::Early } else { error.into() }
    }

    /// Reads once, and hands out what came.
    pub(crate) fn receive<E: From<ConnectionError>>(
        &mut self,
        buffers: &mut Buffers,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Received, E> {
        let received = self.socket.receive(&mut buffers.wire).map_err(|error| self.failed(error))?;
        let Received::Bytes(length) = received else { return Ok(received) };
        buffers.received += length as u64;
        buffers.reads += 1;
        let mut input = &buffers.wire[..length];
        let Some(tls) = &mut self.tls else {
            take(input)?;
            return Ok(received);
        };
        while !input.is_empty() {
            tls.read_tls(&mut input).map_err(|error| ConnectionError::Tls(error.to_string()))?;
            let state = match tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The server is told what it is accused of.
                    drop(tls.write_tls(&mut self.unsent));
                    _ = self.socket.send(&self.unsent);
                    return Err(ConnectionError::of_tls(&error).into());
                }
            };
            let mut rest = state.plaintext_bytes_to_read();
            while rest > 0 {
                let length = tls.reader().read(&mut buffers.plain).unwrap_or_default();
                take(&buffers.plain[..length])?;
                rest -= length.clamp(1, rest);
            }
        }
        if self.stage == Stage::Handshake && !tls.is_handshaking() {
            self.stage = Stage::Up;
        }
        Ok(received)
    }
}

// === impl Buffers ===

impl Buffers {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { wire: vec![0; bytes], plain: vec![0; PLAIN_BYTES], received: 0, reads: 0, sent: 0 }
    }
}
