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

/// How many connections leave from one address of this machine: far fewer than it has ports.
const CONNECTIONS_PER_ADDRESS: usize = 1_024;

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
            bind(&fd, &SocketAddr::from((source(number, std::process::id()), 0)))?;
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

/// The address that a connection to this machine leaves from. Ports are scarce, and those of a connection that has
/// ended stay taken for a minute: every run has addresses of its own, and several of them.
fn source(number: usize, process: u32) -> Ipv4Addr {
    let [.., third, fourth] = process.to_be_bytes();
    let block = u8::try_from(number / CONNECTIONS_PER_ADDRESS % 128).unwrap_or_default();
    Ipv4Addr::new(127, 100 + block, third, fourth.clamp(1, 254))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_over_addresses_that_other_runs_do_not_use() {
        let addresses: Vec<_> = (0..20_000).map(|number| source(number, 4_242)).collect();
        let most = addresses.chunk_by(|a, b| a == b).map(<[_]>::len).max();
        assert_eq!(most, Some(CONNECTIONS_PER_ADDRESS));
        assert!(addresses.iter().all(Ipv4Addr::is_loopback));
        assert_ne!(source(0, 4_242), source(0, 4_243));
    }
}
