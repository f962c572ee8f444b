//! WebSockets (§3.8): their handshake, and what is said on them. The shards own them (`delivery/parking/websocket.rs`).

mod message;
mod serve;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use serde_json::value::RawValue;
use tidings_hub::Folding;
use tidings_protocol::{ProblemKind, Selection, Selector, Start};
use tidings_websocket::{CloseCode, Deflate, Opening};

use crate::api::auth::Access;
use crate::api::problem::Refusal;
use crate::api::query::{Query, ReadOptions};
use crate::api::read;
use crate::api::reply::Reply;
use crate::delivery::encoding::SubscriptionName;
use crate::delivery::frames::Frames;
use crate::delivery::memory::Client;
use crate::delivery::observer::Observed;
use crate::delivery::parking::{Interest, NewSocket, NewSubscription, Shape, Space, serve_mounted, ticks};
use crate::metrics::Transport;
use crate::{Api, ClientAddress, HttpConfig, defaults};

pub(crate) use self::message::{problem, unsubscribed};

/// What a message is named by in its answer.
pub(crate) type Reference = Option<Box<RawValue>>;

/// What is known of whoever is at the other end of a WebSocket, for as long as it lasts.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) access: Access,
    /// For whom its memory is counted.
    pub(crate) client: Client,
    pub(crate) address: Option<ClientAddress>,
    /// When its token ends.
    pub(crate) until: Option<Instant>,
    /// Silence after which it is pinged and its subscriptions get heartbeats, in ticks.
    pub(crate) heartbeat: u32,
    pub(crate) deflate: Option<Deflate>,
    /// What its URL asks for, while that waits for a token.
    pub(crate) first: Option<Box<FirstSubscription>>,
}

/// What the URL of a WebSocket asks for.
#[derive(Debug, Clone)]
pub(crate) struct FirstSubscription {
    selectors: Vec<Selector>,
    options: ReadOptions,
}

/// The subprotocol, which is chosen where it is offered.
const PROTOCOL: &str = "tidings.v1";
/// Something that passes by itself: try again later (RFC 6455's registry of codes).
const TRY_AGAIN: CloseCode = CloseCode(1_013);

/// The longest message that is taken: an event as base64, and what stands around it.
pub(crate) fn message_bytes(config: &HttpConfig) -> usize {
    config.max_event_bytes.div_ceil(3).saturating_mul(4).saturating_add(defaults::SOCKET_HEAD_BYTES)
}

/// Whether a request asks for a WebSocket: with `Upgrade` over HTTP/1.1, with an extended CONNECT over HTTP/2 (RFC 8441).
pub(crate) fn is_asked(method: &Method, headers: &HeaderMap, extensions: &Extensions) -> bool {
    match *method {
        Method::GET => Opening::is_asked(headers),
        Method::CONNECT => is_extended(extensions),
        _ => false,
    }
}

fn is_extended(extensions: &Extensions) -> bool {
    extensions.get::<Protocol>().is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"))
}

/// Opens a WebSocket. `selectors` are those of the URL, where it has some.
pub(crate) async fn answer(
    api: &Api,
    parts: &Parts,
    selectors: Option<Vec<Selector>>,
) -> Result<Reply, Refusal> {
    let opening =
        match Opening::check(&parts.method, parts.version, &parts.headers, is_extended(&parts.extensions)) {
            Ok(opening) => opening,
            Err(refusal) => return Ok(refuse(refusal).into()),
        };
    let options = ReadOptions::new(&Query::new(parts.uri.query()), &parts.headers)?;
    let access = api.auth.access(parts, &api.config.cors).await?;
    let address = parts.extensions.get::<ClientAddress>().copied();
    let deflate = opening.deflate();
    let session = Session {
        client: Client::of(&parts.extensions, Some(&access)),
        access,
        address,
        until: None,
        heartbeat: ticks(options.heartbeat.unwrap_or(api.config.heartbeat)),
        deflate,
        first: None,
    };
    let socket = begin(api, session, selectors, options).await?;
    let (status, headers) = opening.accept(opening.offers(PROTOCOL).then_some(PROTOCOL), deflate);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    // For the access log.
    response.extensions_mut().insert(Transport::WebSocket);
    if parts.extensions.get::<Space>().is_some() {
        return Ok(Reply::Socket { head: response, socket: Box::new(socket) });
    }
    let Some(upgrade) = parts.extensions.get::<OnUpgrade>().cloned() else {
        let detail = "whoever serves this connection does not let it become a WebSocket";
        return Err(Refusal::new(ProblemKind::Unavailable, detail));
    };
    let share = address.and_then(|address| {
        let most = api.config.max_connections_of(address.address());
        api.addresses.share(&Client::Network(address.network()), most)
    });
    serve_mounted(api, upgrade, socket, (api.under_way.token(), share))?;
    Ok(Reply::Whole(response))
}

/// `GET /socket` without asking for one.
pub(crate) fn not_asked() -> Response {
    refuse(tidings_websocket::Refusal::Upgrade)
}

fn refuse(refusal: tidings_websocket::Refusal) -> Response {
    use tidings_websocket::Refusal as Opening;
    let kind = match refusal {
        Opening::Upgrade | Opening::HttpVersion | Opening::Version => ProblemKind::UpgradeRequired,
        Opening::Method => return Refusal::method("GET").into_response(),
        _ => ProblemKind::InvalidQuery,
    };
    let mut response = Refusal::new(kind, refusal.to_string()).into_response();
    if kind == ProblemKind::UpgradeRequired {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// How a socket begins. What is refused for a reason that passes by itself is told on it: a browser hears nothing of an answer
/// that refuses.
async fn begin(
    api: &Api,
    mut session: Session,
    selectors: Option<Vec<Selector>>,
    options: ReadOptions,
) -> Result<NewSocket, Refusal> {
    let mut socket = NewSocket::new(session.clone());
    if api.draining.is_cancelled() {
        // It is told so by its shard.
        return Ok(socket);
    }
    match read::lease_at(api, session.address, &session.access, None) {
        Ok(lease) => {
            session.until = lease.as_ref().map(|lease| lease.until);
            (socket.session.until, socket.lease) = (session.until, lease);
        }
        Err(refusal) => return Ok(socket.refused(&refusal)),
    }
    let may_show_token = session.access.may_show_token();
    let Some(selectors) = selectors else {
        socket.awaits_token = may_show_token && session.access.may_nothing();
        return Ok(socket);
    };
    match session.access.subscribe(&selectors) {
        Ok(()) => {}
        Err(_) if may_show_token => {
            session.first = Some(Box::new(FirstSubscription { selectors, options }));
            return Ok(NewSocket { awaits_token: true, session, ..socket });
        }
        Err(refusal) => return Err(refusal),
    }
    match session.first_subscription(api, FirstSubscription { selectors, options }).await {
        Ok(first) => Ok(NewSocket { first: Some(first), ..socket }),
        Err(refusal) if refusal.passes() => Ok(socket.refused(&refusal)),
        Err(refusal) => Err(refusal),
    }
}

/// The code that a socket is closed with for the sake of a refusal.
fn close_code(refusal: &Refusal) -> CloseCode {
    match refusal.kind().status() {
        status @ 400..500 => CloseCode(4_000 + status),
        _ => TRY_AGAIN,
    }
}

// === impl NewSocket ===

impl NewSocket {
    fn new(session: Session) -> Self {
        Self {
            session,
            greeting: Vec::new(),
            first: None,
            awaits_token: false,
            lease: None,
            farewell: None,
            observed: Observed::default(),
        }
    }

    /// One that is told why it is closed again.
    fn refused(mut self, refusal: &Refusal) -> Self {
        self.greeting = problem(refusal, None, None);
        self.farewell = Some((close_code(refusal), Cow::Owned(refusal.detail().to_owned())));
        self
    }
}

// === impl Session ===

impl Session {
    async fn first_subscription(
        &self,
        api: &Api,
        first: FirstSubscription,
    ) -> Result<NewSubscription, Refusal> {
        let FirstSubscription { selectors, options } = first;
        if matches!(options.start, Some(Start::Cursor(_) | Start::Foreign(_))) {
            api.metrics.deliveries(Transport::WebSocket).reconnect();
        }
        let selection = options.selection(selectors);
        let ReadOptions { start, folding, .. } = options;
        self.subscription(api, SubscriptionName::FIRST, selection, start, folding, None).await
    }

    /// Opens a subscription, whose rights have been looked at.
    async fn subscription(
        &self,
        api: &Api,
        name: SubscriptionName,
        selection: Selection,
        start: Option<Start>,
        folding: Folding,
        reference: Reference,
    ) -> Result<NewSubscription, Refusal> {
        let bytes = selection.bytes();
        let subscription = api.hub.subscribe(selection, start.unwrap_or(Start::Latest)).await?;
        let frames = Frames::messages(name, self.deflate);
        let gap = subscription.gap();
        let next = gap.is_none().then(|| subscription.cursor());
        let mut opening = message::subscribed(name, next, reference.as_deref());
        if let Some(gap) = gap {
            api.metrics.count_gap(gap.reason);
            frames.gap(gap, &mut opening);
        }
        if subscription.is_over() {
            frames.end(subscription.cursor(), subscription.end_reason(), &mut opening);
            return Ok(NewSubscription { name, reference, opening, reader: None, bytes });
        }
        let shape = Shape::Stream { frames, transport: Transport::WebSocket, heartbeat: self.heartbeat };
        let interest = Interest { selection: Arc::clone(subscription.selection()), folding, shape };
        let reader = Some((interest, subscription.cursor()));
        Ok(NewSubscription { name, reference, opening, reader, bytes })
    }
}
