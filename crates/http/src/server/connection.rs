use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::delivery::parking::{Carrier, Link, Newcomer, Origin, ParkedConnections};
use crate::limit::Limit;
use crate::server::detect::{Protocol, Rewound, detect};
use crate::server::permits::Permit;
use crate::server::service::Service;
use crate::server::socket::{Progress, Watched};
use crate::server::tls::{Session, Tls, TlsLink, TlsSocket};
use crate::{Api, defaults};

/// What every connection of a server works with.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) api: Api,
    pub(crate) service: Arc<Service>,
    pub(crate) parked: Arc<ParkedConnections>,
    pub(crate) tls: Option<Tls>,
}

/// Who is served in clear by a server that speaks TLS, on the same port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cleartext {
    /// Everyone who does not speak TLS.
    Everyone,
    /// Who is on the same machine: what they say crosses no network.
    #[default]
    Loopback,
    /// Nobody.
    Nobody,
}

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) permit: Permit,
}

/// What connections are made of.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether nobody on the way can read it.
    const ENCRYPTED: bool;

    /// What can be parked of it.
    fn into_parts(self) -> io::Result<Parts>;
}

/// A connection that is taken apart.
pub(crate) struct Parts {
    pub(crate) link: Link,
    /// What was read of it and not asked for.
    pub(crate) unread: Bytes,
}

// === impl Parts ===

impl fmt::Debug for Parts {
    /// Without what was read, which may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { link, unread } = self;
        f.debug_struct("Parts").field("link", link).field("unread", &unread.len()).finish()
    }
}

// === impl Wire ===

impl Wire for Rewound<Watched> {
    const ENCRYPTED: bool = false;

    fn into_parts(self) -> io::Result<Parts> {
        let (unread, watched) = self.into_parts();
        Ok(Parts { link: Link::Socket(watched.into_inner().into_std()?.into()), unread })
    }
}

impl Wire for TlsSocket<Rewound<Watched>> {
    const ENCRYPTED: bool = true;

    fn into_parts(self) -> io::Result<Parts> {
        let (io, mut session, unread) = self.into_parts();
        let (prefix, watched) = io.into_parts();
        session.has_come(&prefix);
        let socket = watched.into_inner().into_std()?.into();
        Ok(Parts { link: Link::Tls(TlsLink::new(socket, session)), unread })
    }
}

// === impl Host ===

impl Host {
    /// Serves a connection until it ends or is parked, or until it has nothing under way and the hub shuts down.
    pub(crate) async fn serve(self: Arc<Self>, socket: TcpStream, peer: Peer) {
        let progress = Arc::new(Progress::default());
        let io = Watched::new(socket, &self.api, Arc::clone(&progress));
        let detected = tokio::select! {
            // A request that is there already is answered, also while the hub shuts down.
            biased;
            detected = timeout(self.api.config.head_timeout, detect(io)) => detected,
            () = self.last_moment() => return,
        };
        match detected {
            // Boxed, so that a connection has room for them only when it has said something.
            Ok(Ok(Some((Protocol::Http1, io)))) => Box::pin(self.http1(io, progress, peer)).await,
            Ok(Ok(Some((Protocol::Http2, io)))) => self.connect(io, peer),
            Ok(Ok(Some((Protocol::Tls, io)))) => Box::pin(self.encrypted(io, progress, peer)).await,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "failed to read from a connection"),
            Err(_) => self.api.metrics.count_limit(Limit::HeadTimeout),
        }
    }

    /// Has a shard serve a connection that speaks HTTP/2.
    fn connect<T: Wire>(&self, io: T, peer: Peer) {
        let Peer { address, permit } = peer;
        let origin = Origin { peer: address, encrypted: T::ENCRYPTED };
        match io.into_parts() {
            Ok(Parts { link, unread }) => {
                if let Some(carrier) = Carrier::new(link) {
                    self.parked.connect(Newcomer { carrier, unread, origin, permit });
                }
            }
            Err(error) => tracing::debug!(%error, "failed to go on with a connection"),
        }
    }

    /// Goes on with a connection that has left the shards. `session` is what there is of its encryption, and `unread` what
    /// was read of it already.
    pub(crate) async fn resume(
        self: Arc<Self>,
        socket: TcpStream,
        session: Option<Box<Session>>,
        unread: Bytes,
        mut peer: Peer,
    ) {
        let progress = Arc::new(Progress::default());
        progress.request();
        if self.api.config.trusted_proxies.contains(peer.address) {
            peer.permit.count_for_nobody();
        }
        let io = Watched::new(socket, &self.api, Arc::clone(&progress));
        match session {
            None => self.http1(Rewound::new(unread, io), progress, peer).await,
            Some(session) => {
                let io = Rewound::new(Bytes::new(), io);
                self.http1(TlsSocket::new(io, session, unread), progress, peer).await;
            }
        }
    }

    async fn encrypted(self: Arc<Self>, io: Rewound<Watched>, progress: Arc<Progress>, peer: Peer) {
        let Some(tls) = &self.tls else {
            tracing::debug!("closed a connection that speaks TLS, for which no certificate is set");
            return;
        };
        let accepted = tokio::select! {
            biased;
            accepted = timeout(self.api.config.handshake_timeout, tls.accept(io)) => accepted,
            () = self.last_moment() => return,
        };
        match accepted {
            Ok(Ok(io)) => {
                if io.is_http2() {
                    self.connect(io, peer);
                } else {
                    Box::pin(self.http1(io, progress, peer)).await;
                }
            }
            Ok(Err(error)) => {
                self.api.metrics.failed_handshakes.inc();
                tracing::debug!(%error, "failed to agree on TLS with a client");
            }
            Err(_) => self.api.metrics.count_limit(Limit::HandshakeTimeout),
        }
    }

    /// Comes when the hub shuts down, a moment later: so that a client that was just let in gets its answer.
    async fn last_moment(&self) {
        self.api.draining.cancelled().await;
        sleep(defaults::DRAIN_GRACE).await;
    }
}
