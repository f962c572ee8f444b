use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::defaults;

/// The sockets that a server listens on.
#[derive(Debug)]
pub(crate) struct Listeners {
    all: Vec<TcpListener>,
    /// Which of them is asked first, so that none has to wait for another.
    turn: AtomicUsize,
}

// === impl Listeners ===

impl Listeners {
    pub(crate) fn new(all: impl IntoIterator<Item = TcpListener>) -> Self {
        Self { all: all.into_iter().collect(), turn: AtomicUsize::new(0) }
    }

    /// The address of the first.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.all.first().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    /// The next connection to any of them. May be dropped at any point.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        poll_fn(|cx| {
            for place in 0..self.all.len() {
                let listener = &self.all[turn.wrapping_add(place) % self.all.len()];
                if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Listens on an address, given as `HOST:PORT`; port 0 picks a free one.
///
/// Many connections may wait to be accepted, as many as the system allows: after a restart all clients come at
/// once, and those beyond the queue would be kept waiting for seconds by their systems.
///
/// # Errors
/// As the system says, for the last of the addresses that the name stands for.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    for address in tokio::net::lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A hub that is started again may use the port while connections to the old one fade out.
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(defaults::ACCEPT_QUEUE)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
