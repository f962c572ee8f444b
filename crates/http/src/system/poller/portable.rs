//! Over mio, which is what tokio has beneath it as well, so that it weighs nothing.
//!
//! mio is edge-triggered everywhere (`EV_CLEAR` on kqueue) and asks for both sides at once. The other crate that would do,
//! polling, has edge-triggered events on kqueue too, but another copy of all this beside mio.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};

use super::Event;

/// mio's.
#[derive(Debug)]
pub(crate) struct Poller(Poll);

/// What the system told at once; kept for its memory.
pub(crate) struct Events(mio::Events);

/// Ends the wait of a poller from any thread.
///
/// mio's own belongs to one poller. This one is there before the poller is, and after it.
#[derive(Debug)]
pub(crate) struct Waker {
    near: UnixStream,
    far: UnixStream,
}

const _: () = assert!(size_of::<usize>() >= size_of::<u64>(), "a key is to fit into a token of mio's");

// === impl Poller ===

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Poll::new()?))
    }

    /// Watches a socket until it is closed or deregistered.
    pub(crate) fn register(&self, socket: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        self.watch(&socket, key, Interest::READABLE | Interest::WRITABLE)
    }

    /// Watches a waker, which is told of each time that it is rung.
    pub(crate) fn register_waker(&self, waker: &Waker, key: u64) -> io::Result<()> {
        self.watch(&waker.far, key, Interest::READABLE)
    }

    pub(crate) fn deregister(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.0.registry().deregister(&mut SourceFd(&socket.as_raw_fd()))
    }

    /// Waits until something happens, for so long at most; a signal may end it sooner.
    pub(crate) fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.0.poll(&mut events.0, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.0.clear();
                Ok(())
            }
            waited => waited,
        }
    }

    fn watch(&self, socket: &impl AsRawFd, key: u64, interest: Interest) -> io::Result<()> {
        let token = Token(usize::try_from(key).map_err(io::Error::other)?);
        self.0.registry().register(&mut SourceFd(&socket.as_raw_fd()), token, interest)
    }
}

// === impl Events ===

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(mio::Events::with_capacity(capacity))
    }

    /// What happened; the next wait forgets it.
    ///
    /// kqueue tells of each side of a socket by itself. So that Linux, where this is tested, does not tell more at once
    /// than there, what is told together is taken apart.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.0.iter().flat_map(|event| {
            let failed = event.is_error() || event.is_read_closed() && event.is_write_closed();
            let none = Event {
                key: event.token().0 as u64,
                readable: false,
                writable: false,
                read_closed: false,
                failed,
            };
            let writing = Event { writable: event.is_writable(), ..none };
            let (readable, read_closed) = (event.is_readable(), event.is_read_closed());
            let reading = Event { readable, read_closed, ..none };
            [writing, reading].into_iter().filter(move |event| failed || *event != none)
        })
    }
}

// === impl Waker ===

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        Ok(Self { near, far })
    }

    pub(crate) fn wake(&self) {
        // Where it is full, it was rung.
        drop((&self.near).write(&[1]));
    }

    /// Forgets that it was rung.
    pub(crate) fn silence(&self) {
        let mut rings = [0; 64];
        while (&self.far).read(&mut rings).is_ok_and(|count| count == rings.len()) {}
    }
}
