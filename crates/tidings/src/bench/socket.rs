//! Connections that never block.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, connect, recv, send, socket_with, sockopt};

/// A connection to the server, registered with an epoll instance.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
}

/// What a look at a socket brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes(usize),
    Nothing,
    /// The server has closed the connection.
    End,
}

/// How many connections leave from one address of this machine. There are some 28,000 ports for each, and those
/// of connections that have just ended are not free at once.
const CONNECTIONS_PER_ADDRESS: usize = 4_096;

// === impl Socket ===

impl Socket {
    /// Begins to connect. The `number` of the connection picks the address that it leaves from, where the server
    /// is on this machine.
    pub(crate) fn connect(server: SocketAddr, number: usize) -> rustix::io::Result<Self> {
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&fd, true)?;
        if let IpAddr::V4(address) = server.ip()
            && address.is_loopback()
        {
            let host = u8::try_from(number / CONNECTIONS_PER_ADDRESS % 200).unwrap_or_default();
            bind(&fd, &SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + host), 0)))?;
        }
        match connect(&fd, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Self { fd }),
            Err(error) => Err(error),
        }
    }

    /// Whether connecting came to a good end.
    pub(crate) fn connected(&self) -> rustix::io::Result<()> {
        sockopt::socket_error(&self.fd)?
    }

    pub(crate) fn register(
        &self,
        epoll: BorrowedFd<'_>,
        key: u64,
        flags: EventFlags,
    ) -> rustix::io::Result<()> {
        epoll::add(epoll, &self.fd, EventData::new_u64(key), flags)
    }

    pub(crate) fn interest(
        &self,
        epoll: BorrowedFd<'_>,
        key: u64,
        flags: EventFlags,
    ) -> rustix::io::Result<()> {
        epoll::modify(epoll, &self.fd, EventData::new_u64(key), flags)
    }

    /// Sends what the connection takes now, and returns how much.
    pub(crate) fn send(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        loop {
            return match send(&self.fd, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::WOULDBLOCK) => Ok(0),
                Err(Errno::INTR) => continue,
                result => result,
            };
        }
    }

    pub(crate) fn receive(&self, buffer: &mut [u8]) -> rustix::io::Result<Received> {
        loop {
            return match recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) => Ok(Received::End),
                Ok((_, length)) => Ok(Received::Bytes(length)),
                Err(Errno::WOULDBLOCK) => Ok(Received::Nothing),
                Err(Errno::INTR) => continue,
                Err(error) => Err(error),
            };
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
