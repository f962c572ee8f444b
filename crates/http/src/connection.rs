use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, Request, Version};
use hyper::body::{Body as _, Incoming};
use tidings_protocol::ProblemKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use crate::access::Line;
use crate::detect::{Protocol, Rewound, detect};
use crate::kept::keep;
use crate::limit::Limit;
use crate::linger::Lingering;
use crate::memory::Client;
use crate::origin::Way;
use crate::paced::pace;
use crate::parking::Lot;
use crate::permits::{Permit, Permits, Share};
use crate::poll::Spare;
use crate::problem::Refusal;
use crate::socket::{Progress, Watched};
use crate::tls::Tls;
use crate::{ClientAddress, Face, TrustedProxies, access, defaults, read};

/// What every connection of a server works with.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) face: Face,
    pub(crate) router: Router,
    pub(crate) lot: Arc<Lot>,
    pub(crate) permits: Permits,
    pub(crate) tls: Option<Tls>,
    pub(crate) cleartext: Cleartext,
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

/// What a field of a head takes beside its name and its value: `: ` and the end of the line.
const FIELD_BYTES: usize = 4;

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) permit: Permit,
}

/// What connections are made of.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether what is written to it goes to the socket as it is, so that the socket can be parked.
    const PARKS: bool;
    /// Whether nobody on the way can read it.
    const ENCRYPTED: bool;

    /// The socket itself.
    fn into_parts(self) -> io::Result<Parts>;
}

/// A connection that is taken apart.
pub(crate) struct Parts {
    pub(crate) socket: OwnedFd,
    /// What was read of it and not asked for.
    pub(crate) unread: Bytes,
}

// === impl Parts ===

impl fmt::Debug for Parts {
    /// Without what was read, which may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, unread } = self;
        f.debug_struct("Parts").field("socket", socket).field("unread", &unread.len()).finish()
    }
}

// === impl Wire ===

impl Wire for Rewound<Watched> {
    const PARKS: bool = true;
    const ENCRYPTED: bool = false;

    fn into_parts(self) -> io::Result<Parts> {
        let (unread, watched) = self.into_parts();
        Ok(Parts { socket: watched.into_inner().into_std()?.into(), unread })
    }
}

impl Wire for TlsStream<Rewound<Watched>> {
    const PARKS: bool = false;
    const ENCRYPTED: bool = true;

    fn into_parts(self) -> io::Result<Parts> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "what is written to it has to be encrypted"))
    }
}

// === impl Host ===

impl Host {
    /// Serves a connection until it ends or is parked, or until it has nothing under way and the hub shuts down.
    pub(crate) async fn serve(self: Arc<Self>, socket: TcpStream, peer: Peer) {
        let progress = Arc::new(Progress::default());
        let io = Watched::new(socket, &self.face, Arc::clone(&progress));
        let detected = tokio::select! {
            // A request that is there already is answered, also while the hub shuts down.
            biased;
            detected = timeout(self.face.config.head_timeout, detect(io)) => detected,
            () = self.last_moment() => return,
        };
        match detected {
            // Boxed, so that a connection has room for them only when it has said something.
            Ok(Ok(Some((Protocol::Http1, io)))) => Box::pin(self.http1(io, progress, peer)).await,
            Ok(Ok(Some((Protocol::Http2, io)))) => Box::pin(self.http2(io, progress, peer)).await,
            Ok(Ok(Some((Protocol::Tls, io)))) => Box::pin(self.encrypted(io, progress, peer)).await,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "failed to read from a connection"),
            Err(_) => self.face.metrics.count_limit(Limit::HeadTimeout),
        }
    }

    /// Goes on with a connection that has left the lot. `unread` is what was read of it already.
    pub(crate) async fn resume(self: Arc<Self>, socket: TcpStream, unread: Bytes, mut peer: Peer) {
        let progress = Arc::new(Progress::default());
        progress.request();
        if self.face.config.trusted_proxies.contains(peer.address) {
            peer.permit.count_for_nobody();
        }
        let io = Watched::new(socket, &self.face, Arc::clone(&progress));
        self.http1(Rewound::new(unread, io), progress, peer).await;
    }

    async fn encrypted(self: Arc<Self>, io: Rewound<Watched>, progress: Arc<Progress>, peer: Peer) {
        let Some(tls) = &self.tls else {
            tracing::debug!("closed a connection that speaks TLS, for which no certificate is set");
            return;
        };
        let accepted = tokio::select! {
            biased;
            accepted = timeout(self.face.config.handshake_timeout, tls.acceptor().accept(io)) => accepted,
            () = self.last_moment() => return,
        };
        match accepted {
            Ok(Ok(mut io)) => {
                io.get_mut().1.set_buffer_limit(Some(defaults::TLS_BUFFER_BYTES));
                if io.get_ref().1.alpn_protocol() == Some(b"h2") {
                    Box::pin(self.http2(io, progress, peer)).await;
                } else {
                    Box::pin(self.http1(io, progress, peer)).await;
                }
            }
            Ok(Err(error)) => {
                self.face.metrics.failed_handshakes.inc();
                tracing::debug!(%error, "failed to agree on TLS with a client");
            }
            Err(_) => self.face.metrics.count_limit(Limit::HandshakeTimeout),
        }
    }

    /// Comes when the hub shuts down, a moment later: so that a client that was just let in gets its answer.
    async fn last_moment(&self) {
        self.face.draining.cancelled().await;
        sleep(defaults::DRAIN_GRACE).await;
    }

    /// Answers a request of a connection. What is given with the response counts for the client's address, and is to
    /// be kept for as long as the response lasts.
    pub(crate) async fn answer<T: Wire>(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
    ) -> (Response, Option<Share>) {
        let checked = self
            .check_encryption::<T>(peer)
            .and_then(|()| self.check_size(&request))
            .and_then(|()| self.client(&request, peer));
        let (client, share) = match checked {
            Ok((client, share)) => {
                let trusted = self.face.config.trusted_proxies.contains(peer);
                request.extensions_mut().insert(client);
                request.extensions_mut().insert(Way { encrypted: Some(T::ENCRYPTED), trusted });
                (Client::Network(client.network()), share)
            }
            Err(refusal) => return (self.refuse(&request, peer, refusal).await, None),
        };
        let response = match self.face.answer(Lingering::wrap(request)).await {
            Ok(response) => response,
            // A router answers everything.
            Err(request) => self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
        };
        (self.within_memory(response, client), share)
    }

    /// A large answer is kept in memory until its client has taken it: so there may only be so many.
    fn within_memory(&self, response: Response, client: Client) -> Response {
        let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|size| *size > defaults::LARGE_ANSWER_BYTES) else { return response };
        if response.extensions().get::<Spare>().is_some() {
            return response;
        }
        let mut memory = self.face.answers.portion(client);
        match memory.grow(size) {
            Ok(()) => keep(pace(response, defaults::ANSWER_PIECE_BYTES), memory),
            // The refusal is said to whom the answer would have been.
            Err(short) => {
                let mut refused = memory.refuse(short, "answers that are not taken yet").into_response();
                let kept = |name: &HeaderName| {
                    [VARY, X_CONTENT_TYPE_OPTIONS].contains(name)
                        || name.as_str().starts_with("access-control-")
                };
                for (name, value) in response.headers().iter().filter(|(name, _)| kept(name)) {
                    refused.headers_mut().append(name, value.clone());
                }
                refused
            }
        }
    }

    /// Answers a request that does not come to the routes.
    pub(crate) async fn refuse(
        &self,
        request: &Request<Incoming>,
        peer: IpAddr,
        refusal: Refusal,
    ) -> Response {
        let client = self.face.config.trusted_proxies.client(peer, request.headers());
        let line = Line::of(request, Some(client));
        let response = self.face.config.cors.show(request, read::refuse(request, refusal)).await;
        access::tell(&self.face, line, response)
    }

    fn check_encryption<T: Wire>(&self, peer: IpAddr) -> Result<(), Refusal> {
        let served = match self.cleartext {
            Cleartext::Everyone => true,
            Cleartext::Loopback => peer.to_canonical().is_loopback(),
            Cleartext::Nobody => false,
        };
        if T::ENCRYPTED || self.tls.is_none() || served {
            return Ok(());
        }
        Err(Refusal::new(ProblemKind::Misdirected, "this port speaks TLS: use `https://`"))
    }

    /// The library lets heads pass that are larger, where there is room in its buffer by chance.
    fn check_size(&self, request: &Request<Incoming>) -> Result<(), Refusal> {
        let most = self.face.config.max_head_bytes;
        let fields =
            request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
        let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        if line + fields.sum::<usize>() <= most {
            return Ok(());
        }
        self.face.metrics.count_limit(Limit::HeadBytes);
        Err(Refusal::new(ProblemKind::HeadTooLarge, format!("the limit is {most} bytes")))
    }

    /// Where a request comes from. One that comes through a proxy, and each on a connection of HTTP/2, is counted as a
    /// connection of its client.
    fn client(
        &self,
        request: &Request<Incoming>,
        peer: IpAddr,
    ) -> Result<(ClientAddress, Option<Share>), Refusal> {
        let proxies = &self.face.config.trusted_proxies;
        let client = proxies.client(peer, request.headers());
        let from_proxy = proxies.contains(peer);
        let is_told = !proxies.contains(client.address()) && client != ClientAddress::new(peer);
        // Those of whom a proxy says that it does not know them, or whose own words hide it, count for the proxy together.
        let is_hidden = from_proxy && TrustedProxies::is_forwarded(request.headers());
        let is_stream = !from_proxy && request.version() == Version::HTTP_2;
        if !is_told && !is_hidden && !is_stream {
            return Ok((client, None));
        }
        match self.permits.share(client) {
            Some(share) => Ok((client, Some(share))),
            None => {
                let most = self.face.config.max_connections_of(client.address());
                let detail =
                    format!("this address has {most} requests under way, the most that one may have");
                Err(Refusal::new(ProblemKind::TooManyRequests, detail))
            }
        }
    }
}
