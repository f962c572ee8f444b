use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use super::session::{Read, Session};
use crate::delivery::parking::DISCARD_BYTES;
use crate::system::sending::send_now;

/// A TLS connection that never waits: what its socket does not take at once is kept, or given back.
#[derive(Debug)]
pub(crate) struct TlsLink {
    socket: OwnedFd,
    session: Box<Session>,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Everything was taken. Some of it may be [`unsent`](TlsLink::unsent).
    All,
    /// So many bytes were taken, and the socket takes no more for now.
    Some(usize),
    /// The connection is over.
    Failed,
}

/// How a read went, whatever was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// There may be more.
    Some,
    /// There is nothing more for now.
    Nothing,
    /// The client sends nothing more.
    Ended,
    /// The connection is over.
    Failed,
}

// === impl TlsLink ===

impl TlsLink {
    pub(crate) fn new(socket: OwnedFd, mut session: Box<Session>) -> Self {
        session.shrink();
        Self { socket, session }
    }

    /// The same, among others of its kind in the memory of the present thread.
    pub(crate) fn settled(self) -> Self {
        Self { socket: self.socket, session: self.session.settled() }
    }

    pub(crate) fn into_parts(self) -> (OwnedFd, Box<Session>) {
        (self.socket, self.session)
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Whether the client has said that it sends nothing more.
    pub(crate) fn has_ended(&self) -> bool {
        self.session.has_ended()
    }

    /// What was sealed and the kernel has not taken: never more than one record with data. It has to be
    /// [`flush`](Self::flush)ed before the connection [`finish`](Self::finish)es.
    pub(crate) fn unsent(&self) -> usize {
        self.session.unsent()
    }

    /// Sends `parts`, one after the other, in as few records and system calls as can be.
    pub(crate) fn offer(&mut self, parts: &[&[u8]]) -> Sent {
        let Self { socket, session } = self;
        let all = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut rest = parts;
        let mut shorter;
        let mut taken = 0;
        let sent = loop {
            match session.write(rest, |bytes| send_some(socket, bytes)) {
                Ok(written) => {
                    taken += written.taken;
                    if taken >= all {
                        break Sent::All;
                    }
                    if written.blocked {
                        break Sent::Some(taken);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "failed to write to a parked connection");
                    break Sent::Failed;
                }
            }
            shorter = beyond(parts, taken);
            rest = &shorter;
        };
        session.shrink();
        sent
    }

    /// Sends what is unsent.
    pub(crate) fn flush(&mut self) -> Sent {
        let Self { socket, session } = self;
        match session.flush(|bytes| send_some(socket, bytes)) {
            Ok(true) => Sent::All,
            Ok(false) => Sent::Some(0),
            Err(error) => {
                tracing::debug!(%error, "failed to write to a parked connection");
                Sent::Failed
            }
        }
    }

    /// Reads once, and appends what the client sent to `into`.
    pub(crate) fn receive(&mut self, into: &mut Vec<u8>) -> Received {
        let Self { socket, session } = self;
        let mut is_drained = false;
        let receive = |room: &mut [u8]| {
            let received = recv_some(socket, room)?;
            // Where there was less than there was room for, there is no more for now.
            is_drained = received.is_some_and(|count| count < room.len());
            Ok(received)
        };
        let read = session.read(receive, |data| into.extend_from_slice(data));
        session.shrink();
        // An answer of this layer, or what is wrong.
        let flushed = self.flush();
        match read {
            Ok(_) if flushed == Sent::Failed => Received::Failed,
            Ok(Read::Some) if !is_drained => Received::Some,
            Ok(Read::Some | Read::Blocked) => Received::Nothing,
            Ok(Read::Ended | Read::Cut) => Received::Ended,
            Err(error) => {
                tracing::debug!(%error, "a parked connection ended with an error");
                self.shut_down();
                Received::Failed
            }
        }
    }

    /// Says that nothing more comes. Says whether that is done; else something is [`unsent`](Self::unsent), and it is to be
    /// called again when that was flushed.
    pub(crate) fn finish(&mut self) -> bool {
        self.session.end();
        self.session.shrink();
        let is_done = !matches!(self.flush(), Sent::Some(_));
        if is_done {
            self.shut_down();
        }
        is_done
    }

    fn shut_down(&self) {
        let _ = shutdown(&self.socket, Shutdown::Write);
        // What was not read would have the close reset the connection, under the last bytes that it was sent.
        let mut rest = [0; DISCARD_BYTES];
        let _ = recv(&self.socket, &mut rest, RecvFlags::DONTWAIT);
    }
}

/// What is left of `parts` behind their first bytes.
fn beyond<'a>(parts: &[&'a [u8]], mut bytes: usize) -> Vec<&'a [u8]> {
    let mut rest = Vec::new();
    for part in parts {
        let (taken, left) = part.split_at(part.len().min(bytes));
        bytes -= taken.len();
        if !left.is_empty() {
            rest.push(left);
        }
    }
    rest
}

fn send_some(socket: &OwnedFd, bytes: &[u8]) -> io::Result<Option<usize>> {
    loop {
        match send_now(socket, bytes) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn recv_some(socket: &OwnedFd, into: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match recv(socket, &mut *into, RecvFlags::DONTWAIT) {
            Ok((count, _)) => return Ok(Some(count)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
