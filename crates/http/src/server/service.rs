//! What answers requests, whichever connection they come on.

use std::net::IpAddr;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{VARY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, Request, Version};
use hyper::body::Body;
use tidings_protocol::ProblemKind;
use tower::ServiceExt as _;

use crate::api::access::Line;
use crate::api::origin::Way;
use crate::api::poll::Spare;
use crate::api::problem::Refusal;
use crate::api::reply::Reply;
use crate::delivery::memory::Client;
use crate::delivery::parking::Origin;
use crate::limit::Limit;
use crate::server::connection::Cleartext;
use crate::server::kept::keep;
use crate::server::linger::Lingering;
use crate::server::paced::pace;
use crate::server::permits::{Permits, Share};
use crate::{Api, ClientAddress, TrustedProxies, api::access, api::read, defaults};

/// The routes of a server, and what is looked at before a request comes to them.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) api: Api,
    pub(crate) router: Router,
    pub(crate) permits: Permits,
    /// Whether the server speaks TLS, so that who speaks in clear may be told to.
    pub(crate) has_tls: bool,
    pub(crate) cleartext: Cleartext,
}

/// What a field of a head takes beside its name and its value: `: ` and the end of the line.
const FIELD_BYTES: usize = 4;

// === impl Service ===

impl Service {
    /// Answers a request of a connection. What is given with the response counts for the client's address, and is to
    /// be kept for as long as the response lasts.
    pub(crate) async fn answer<B>(
        &self,
        mut request: Request<B>,
        Origin { peer, encrypted }: Origin,
    ) -> (Reply, Option<Share>)
    where
        B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
    {
        let checked = self
            .check_encryption(Origin { peer, encrypted })
            .and_then(|()| self.check_size(&request))
            .and_then(|()| self.client(&request, peer));
        let (client, share) = match checked {
            Ok((client, share)) => {
                let trusted = self.api.config.trusted_proxies.contains(peer);
                request.extensions_mut().insert(client);
                request.extensions_mut().insert(Way { encrypted: Some(encrypted), trusted });
                (Client::Network(client.network()), share)
            }
            Err(refusal) => return (self.refuse(&request, peer, refusal).await.into(), None),
        };
        let response = match self.api.answer(Lingering::wrap(request)).await {
            Ok(response) => response,
            // A router answers everything.
            Err(request) => self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
        };
        (Reply::of(self.within_memory(response, client)), share)
    }

    /// A large answer is kept in memory until its client has taken it: so there may only be so many.
    fn within_memory(&self, response: Response, client: Client) -> Response {
        let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
        let Some(size) = size.filter(|size| *size > defaults::LARGE_ANSWER_BYTES) else { return response };
        if response.extensions().get::<Spare>().is_some() {
            return response;
        }
        let mut memory = self.api.answers.portion(client);
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
    pub(crate) async fn refuse<B>(&self, request: &Request<B>, peer: IpAddr, refusal: Refusal) -> Response {
        let client = self.api.config.trusted_proxies.client(peer, request.headers());
        let line = Line::of(request, Some(client));
        let response = self.api.config.cors.show(request, read::refuse(request, refusal)).await;
        access::tell(&self.api, line, response)
    }

    fn check_encryption(&self, Origin { peer, encrypted }: Origin) -> Result<(), Refusal> {
        let served = match self.cleartext {
            Cleartext::Everyone => true,
            Cleartext::Loopback => peer.to_canonical().is_loopback(),
            Cleartext::Nobody => false,
        };
        if encrypted || !self.has_tls || served {
            return Ok(());
        }
        Err(Refusal::new(ProblemKind::Misdirected, "this port speaks TLS: use `https://`"))
    }

    /// The library lets heads pass that are larger, where there is room in its buffer by chance.
    fn check_size<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let most = self.api.config.max_head_bytes;
        let fields =
            request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
        let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        if line + fields.sum::<usize>() <= most {
            return Ok(());
        }
        self.api.metrics.count_limit(Limit::HeadBytes);
        Err(Refusal::new(ProblemKind::HeadTooLarge, format!("the limit is {most} bytes")))
    }

    /// Where a request comes from. One that comes through a proxy, and each on a connection of HTTP/2, is counted as a
    /// connection of its client.
    fn client<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
    ) -> Result<(ClientAddress, Option<Share>), Refusal> {
        let proxies = &self.api.config.trusted_proxies;
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
                let most = self.api.config.max_connections_of(client.address());
                let detail =
                    format!("this address has {most} requests under way, the most that one may have");
                Err(Refusal::new(ProblemKind::TooManyRequests, detail))
            }
        }
    }
}
