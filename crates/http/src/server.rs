//! Ports: listeners, TLS, strict HTTP/1.1, HTTP/2, permits and draining. It knows no topics and no events.

pub(crate) mod asking;
pub(crate) mod connection;
pub(crate) mod detect;
pub(crate) mod heard;
pub(crate) mod http1;
pub(crate) mod kept;
pub(crate) mod linger;
pub(crate) mod listener;
pub(crate) mod opening;
pub(crate) mod paced;
pub(crate) mod permits;
pub(crate) mod service;
pub(crate) mod socket;
pub(crate) mod strict;
pub(crate) mod tls;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use tidings_hub::panic_message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use crate::delivery::parking::{Link, ParkedConnections, Requests, Returned};
use crate::server::connection::{Cleartext, Host, Peer};
use crate::server::listener::Listeners;
use crate::server::permits::Permits;
use crate::server::service::Service;
use crate::server::tls::Session;
use crate::system::{sending, vanishing};
use crate::{Api, ClientAddress, Tls, TrustedProxies, defaults};

/// Serves the API of a hub on a port of its own: HTTP/1.1 and HTTP/2, in clear (HTTP/2 by prior knowledge) or over
/// TLS.
#[derive(Debug)]
pub struct Server {
    api: Api,
    listeners: Listeners,
    tls: Option<(Tls, Cleartext)>,
    beside: Router,
}

/// Takes connections.
struct Door {
    listeners: Listeners,
    permits: Permits,
    proxies: TrustedProxies,
    write_timeout: Duration,
    /// Whether the last connection could not be accepted.
    failing: AtomicBool,
}

// === impl Server ===

impl Server {
    /// Takes listening sockets, usually one.
    #[must_use]
    pub fn new(api: Api, listeners: impl IntoIterator<Item = TcpListener>) -> Self {
        Self { api, listeners: Listeners::new(listeners), tls: None, beside: Router::new() }
    }

    /// Speaks TLS with a certificate, which is looked at every now and then, and taken anew when it has changed. Who
    /// speaks in clear on the same port is told to speak TLS, unless `cleartext` allows it.
    #[must_use]
    pub fn tls(mut self, tls: Tls, cleartext: Cleartext) -> Self {
        self.tls = Some((tls, cleartext));
        self
    }

    /// Serves further routes beside those of the API. They must be other ones, and have no fallback.
    #[must_use]
    pub fn and_routes(mut self, routes: Router) -> Self {
        self.beside = self.beside.merge(routes);
        self
    }

    /// The address that it listens on; the first, where there are several.
    ///
    /// # Errors
    /// As the system says, or where there is none.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listeners.address()
    }

    /// Serves until `shutdown` resolves, then drains (§4): no new connection is taken, held polls and streams
    /// end, and publishes that were accepted are finished. Connections that do not end by themselves are
    /// closed after [`HttpConfig::drain_timeout`](crate::HttpConfig::drain_timeout).
    ///
    /// # Errors
    /// As the system says, where the threads that own waiting connections cannot be started.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self { api, listeners, tls, beside } = self;
        let (tls, cleartext) =
            tls.map_or((None, Cleartext::Everyone), |(tls, cleartext)| (Some(tls), cleartext));
        let (returned, returns) = unbounded_channel();
        let permits = Permits::new(&api);
        let service = Arc::new(Service {
            api: api.clone(),
            router: api.router_beside(beside),
            permits: permits.clone(),
            has_tls: tls.is_some(),
            cleartext,
        });
        let requests: Arc<dyn Requests> = service.clone();
        let parked =
            Arc::new(ParkedConnections::start(&api.context, Some(&requests), &api.messages(), &returned)?);
        api.parking.adopt(&parked);
        let host =
            Arc::new(Host { api: api.clone(), service, parked: Arc::clone(&parked), tls: tls.clone() });
        // Dropping it ends every connection, so none outlives the server.
        let mut connections = JoinSet::new();
        let mut returns = Returns(returns);
        let door = Door {
            listeners,
            permits,
            proxies: api.config.trusted_proxies.clone(),
            write_timeout: api.config.write_timeout,
            failing: AtomicBool::new(false),
        };
        let watch = async {
            match tls {
                Some(tls) => tls.watch().await,
                None => pending().await,
            }
        };
        tokio::pin!(shutdown, watch);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                never = &mut watch => match never {},
                Some(ended) = connections.join_next(), if !connections.is_empty() => note_panic(ended),
                (stream, session, unread, peer) = returns.next() => {
                    connections.spawn(Arc::clone(&host).resume(stream, session, unread, peer));
                }
                accepted = door.accept() => {
                    if let Some((stream, peer)) = accepted {
                        api.metrics.accepted.inc();
                        connections.spawn(Arc::clone(&host).serve(stream, peer));
                        // Its request is likely there already. To serve that before the next connection is taken
                        // keeps few connections inside hyper, where they are large, also when very many come at
                        // once.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        drop(door);
        let by = Instant::now() + api.config.drain_timeout;
        api.drain();
        parked.drain();
        let all_ended = async {
            while let Some(ended) = connections.join_next().await {
                note_panic(ended);
            }
        };
        if timeout_at(by, all_ended).await.is_err() {
            tracing::warn!(open = connections.len(), "closed connections that did not end in time");
        }
        // Joining threads blocks, if only for a moment.
        let patience = by.saturating_duration_since(Instant::now());
        tokio::task::spawn_blocking(move || parked.stop(patience)).await.map_err(io::Error::other)
    }
}

/// A connection that panicked is closed, and takes nothing else with it.
pub(crate) fn note_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        tracing::error!(
            panic = panic_message(&*panic),
            "a connection ended with a panic; this is a bug of the hub"
        );
    }
}

/// The connections that have left the shards.
struct Returns(UnboundedReceiver<Returned>);

// === impl Returns ===

impl Returns {
    /// The next connection that goes on, with what was read of it already. May be dropped at any point.
    async fn next(&mut self) -> (TcpStream, Option<Box<Session>>, bytes::Bytes, Peer) {
        loop {
            let Some(returned) = self.0.recv().await else { return pending().await };
            let Returned { link, unread, permit } = returned;
            let (socket, session) = match link {
                Link::Socket(socket) => (socket, None),
                Link::Tls(link) => {
                    let (socket, session) = link.into_parts();
                    (socket, Some(session))
                }
                // A stream ends with its answer, and nobody serves the others but who has them already.
                Link::Stream(_) | Link::Body(_) | Link::Page(_) | Link::WebSocket(_) | Link::Task(_) => {
                    continue;
                }
            };
            let stream =
                TcpStream::from_std(socket.into()).and_then(|stream| Ok((stream.peer_addr()?, stream)));
            match stream {
                Ok((address, stream)) => {
                    return (stream, session, unread, Peer { address: address.ip(), permit });
                }
                Err(error) => tracing::debug!(%error, "failed to go on with a connection"),
            }
        }
    }
}

// === impl Door ===

impl Door {
    /// The next connection, once there is room for it. One from an address that has too many is closed at once: an
    /// answer would cost more than it, and an `EventSource` that is refused never comes back. Where the system has
    /// no more open files, those that are open are served on, and accepting goes on when some have been closed.
    async fn accept(&self) -> Option<(TcpStream, Peer)> {
        let room = self.permits.room().await?;
        let (stream, address) = match self.listeners.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Told once, however long it lasts: clients can have the files run out.
                if self.failing.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%error, "failed to accept a connection again");
                } else {
                    tracing::warn!(%error, "failed to accept a connection; accepting goes on when it can");
                }
                sleep(defaults::ACCEPT_PAUSE).await;
                return None;
            }
        };
        self.failing.store(false, Ordering::Relaxed);
        let address = address.ip();
        let permit = if self.proxies.contains(address) {
            self.permits.admit_proxy(room)
        } else {
            let from = ClientAddress::new(address);
            let Some(permit) = self.permits.admit(room, from) else {
                tracing::debug!(%from, "closed a connection from an address that has as many as it may");
                return None;
            };
            permit
        };
        // An event is to leave at once, whatever was sent before it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY");
        }
        if let Err(error) = sending::without_signal(&stream) {
            tracing::debug!(%error, "failed to have no write raise a signal");
        }
        if let Err(error) = vanishing::notice(&stream, self.write_timeout) {
            tracing::debug!(%error, "failed to have the kernel notice a client that vanishes");
        }
        Some((stream, Peer { address, permit }))
    }
}
