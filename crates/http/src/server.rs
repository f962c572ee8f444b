use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::connection::{Host, Outcome};
use crate::parking::{Lot, Returned};
use crate::{Face, defaults};

/// Serves the face of a hub on a port of its own: HTTP/1.1 and, by prior knowledge, HTTP/2, in clear.
#[derive(Debug)]
pub struct Server {
    face: Face,
    listener: TcpListener,
}

/// The places that connections take, of which there are only so many.
#[derive(Debug, Clone)]
struct Places {
    free: Arc<Semaphore>,
    taken: Gauge,
}

/// The place of one connection. Dropping it makes room for another.
#[derive(Debug)]
struct Place {
    places: Places,
    /// Whether the connection lives on elsewhere, and its place with it.
    kept: bool,
}

// === impl Server ===

impl Server {
    /// Takes a listening socket.
    #[must_use]
    pub fn new(face: Face, listener: TcpListener) -> Self {
        Self { face, listener }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// As the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` resolves, then drains (§4): no new connection is taken, held polls and streams
    /// end, and publishes that were accepted are finished. Connections that do not end by themselves are
    /// closed after [`defaults::DRAIN_TIMEOUT`].
    ///
    /// # Errors
    /// As the system says, where the threads that own waiting connections cannot be started.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { face, listener } = self;
        let (returned, returns) = unbounded_channel();
        let lot = Arc::new(Lot::start(&face, &returned)?);
        let host = Host { router: face.router(), lot: Arc::clone(&lot), face: face.clone() };
        let places = Places::new(&face);
        // Dropping it ends every connection, so none outlives the server.
        let mut connections = JoinSet::new();
        let mut returns = Returns { returns, places: places.clone() };
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                (socket, unread, place) = returns.next() => {
                    let host = host.clone();
                    connections.spawn(async move { place.keep(host.resume(socket, unread).await) });
                }
                accepted = accept(&listener, &places) => {
                    if let Some((stream, place)) = accepted {
                        face.metrics.accepted.inc();
                        let host = host.clone();
                        connections.spawn(async move { place.keep(host.serve(stream).await) });
                        // Its request is likely there already. To serve that before the next connection is taken
                        // keeps few connections inside hyper, where they are large, also when very many come at
                        // once.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        drop(listener);
        face.drain();
        lot.drain();
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(defaults::DRAIN_TIMEOUT, all_ended).await.is_err() {
            tracing::warn!(open = connections.len(), "closed connections that did not end in time");
        }
        // Joining threads blocks, if only for a moment.
        tokio::task::spawn_blocking(move || lot.stop(defaults::DRAIN_TIMEOUT)).await.map_err(io::Error::other)
    }
}

/// The connections that have left the lot.
struct Returns {
    returns: UnboundedReceiver<Returned>,
    places: Places,
}

// === impl Returns ===

impl Returns {
    /// The next connection that goes on, with what was read of it already. May be dropped at any point.
    async fn next(&mut self) -> (TcpStream, bytes::Bytes, Place) {
        loop {
            let Some(returned) = self.returns.recv().await else { return std::future::pending().await };
            self.places.taken.dec();
            let place = Place::new(&self.places);
            let Returned::Open(socket, unread) = returned else { continue };
            match TcpStream::from_std(socket.into()) {
                Ok(stream) => return (stream, unread, place),
                Err(error) => tracing::warn!(%error, "failed to go on with a connection"),
            }
        }
    }
}

// === impl Places ===

impl Places {
    fn new(face: &Face) -> Self {
        let most = face.config.max_connections.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(most)), taken: face.metrics.connections.clone() }
    }
}

impl Place {
    /// A place whose permit has been taken.
    fn new(places: &Places) -> Self {
        places.taken.inc();
        Self { places: places.clone(), kept: false }
    }

    /// Gives the place up, unless the connection lives on in the lot: then it comes back with it.
    fn keep(mut self, outcome: Outcome) {
        self.kept = outcome == Outcome::Parked;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            self.places.taken.dec();
            self.places.free.add_permits(1);
        }
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

/// The next connection, once there is a place for it. Where the system has no more open files, those that are
/// open are served on, and accepting goes on when some have been closed.
async fn accept(listener: &TcpListener, places: &Places) -> Option<(TcpStream, Place)> {
    let permit = places.free.acquire().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            permit.forget();
            // An event is to leave at once, whatever was sent before it.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "failed to set TCP_NODELAY");
            }
            Some((stream, Place::new(places)))
        }
        Err(error) => {
            tracing::warn!(%error, "failed to accept a connection");
            sleep(defaults::ACCEPT_PAUSE).await;
            None
        }
    }
}
