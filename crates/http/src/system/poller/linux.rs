//! epoll and eventfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use super::Event;

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Poller(OwnedFd);

/// What the kernel told at once; kept for its memory.
pub(crate) struct Events(Vec<epoll::Event>);

/// Ends the wait of a poller from any thread.
#[derive(Debug)]
pub(crate) struct Waker(OwnedFd);

// === impl Poller ===

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC)?))
    }

    /// Watches a socket until it is closed or deregistered.
    pub(crate) fn register(&self, socket: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.0, socket, epoll::EventData::new_u64(key), flags)?)
    }

    /// Watches a waker, which is told of until it is silenced.
    pub(crate) fn register_waker(&self, waker: &Waker, key: u64) -> io::Result<()> {
        Ok(epoll::add(&self.0, &waker.0, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
    }

    pub(crate) fn deregister(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.0, socket)?)
    }

    /// Waits until something happens, for so long at most; a signal may end it sooner.
    pub(crate) fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match epoll::wait(&self.0, spare_capacity(&mut events.0), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

// === impl Events ===

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Takes out what happened.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Event> + '_ {
        self.0.drain(..).map(|epoll::Event { flags, data }| Event {
            key: data.u64(),
            readable: flags.contains(epoll::EventFlags::IN),
            writable: flags.contains(epoll::EventFlags::OUT),
            read_closed: flags.contains(epoll::EventFlags::RDHUP),
            failed: flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP),
        })
    }
}

// === impl Waker ===

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(crate) fn wake(&self) {
        // It fails only where it was rung 2^64 times already.
        let _ = rustix::io::write(self.0.as_fd(), &1_u64.to_ne_bytes());
    }

    /// Forgets that it was rung.
    pub(crate) fn silence(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(self.0.as_fd(), &mut count);
    }
}
