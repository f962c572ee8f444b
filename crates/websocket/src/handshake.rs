use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use sha1_smol::Sha1;

use crate::Deflate;
use crate::extension::{extensions, is_token};

/// The one version that there is (RFC 6455 §4.1).
const VERSION: &str = "13";
/// What a server appends to a client's key (§1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What a key stands for.
const KEY_BYTES: usize = 16;

/// A request for a socket that can be accepted (RFC 6455 §4.2, RFC 8441 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The answer to the key; there is none over HTTP/2.
    accept: Option<HeaderValue>,
    protocols: Vec<String>,
    deflate: Option<Deflate>,
}

/// Why a request for a socket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not ask for a socket.
    #[error("a WebSocket is asked for with `Upgrade: websocket`")]
    Upgrade,
    /// It is not GET.
    #[error("a WebSocket is asked for with GET")]
    Method,
    /// It is not HTTP/1.1, and not an extended CONNECT.
    #[error("a WebSocket needs HTTP/1.1, or an extended CONNECT over HTTP/2 (RFC 8441)")]
    HttpVersion,
    /// `Connection` does not name `Upgrade`, so it came over a proxy that knows nothing of it.
    #[error("`Connection` does not name `Upgrade`: a proxy in between may not forward WebSockets")]
    Connection,
    /// Another version than 13, or none.
    #[error("`Sec-WebSocket-Version` is not 13")]
    Version,
    /// No key, or what is none.
    #[error("`Sec-WebSocket-Key` is not one value of 16 bytes in base64")]
    Key,
    /// What is no list of subprotocols.
    #[error("`Sec-WebSocket-Protocol` is not a list of different tokens")]
    Protocols,
    /// What is no list of extensions.
    #[error("`Sec-WebSocket-Extensions` is not a list of extensions")]
    Extensions,
}

// === impl Opening ===

impl Opening {
    /// Whether a request over HTTP/1.1 asks for a socket: `Upgrade` names `websocket`.
    #[must_use]
    pub fn is_asked(headers: &HeaderMap) -> bool {
        has_token(headers, &UPGRADE, "websocket")
    }

    /// Whether the request can be accepted. `extended` says that it is an extended CONNECT with the `:protocol`
    /// `websocket` (RFC 8441 §4), which has neither `Upgrade` nor a key.
    ///
    /// # Errors
    /// Where it is no such request.
    pub fn check(
        method: &Method,
        version: Version,
        headers: &HeaderMap,
        extended: bool,
    ) -> Result<Self, Refusal> {
        if !extended {
            if !Self::is_asked(headers) {
                return Err(Refusal::Upgrade);
            }
            if version != Version::HTTP_11 {
                return Err(Refusal::HttpVersion);
            }
            if method != Method::GET {
                return Err(Refusal::Method);
            }
            if !has_token(headers, &CONNECTION, "upgrade") {
                return Err(Refusal::Connection);
            }
        }
        if only(headers, &SEC_WEBSOCKET_VERSION) != Some(VERSION) {
            return Err(Refusal::Version);
        }
        let accept = if extended {
            None
        } else {
            Some(only(headers, &SEC_WEBSOCKET_KEY).and_then(accept).ok_or(Refusal::Key)?)
        };
        let protocols = protocols(headers).ok_or(Refusal::Protocols)?;
        let offers = values(headers, &SEC_WEBSOCKET_EXTENSIONS).ok_or(Refusal::Extensions)?;
        let offers = extensions(offers).map_err(|_| Refusal::Extensions)?;
        Ok(Self { accept, protocols, deflate: Deflate::choose(&offers) })
    }

    /// The subprotocols that the client knows, those that it likes most first.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(String::as_str)
    }

    /// Whether the client knows this subprotocol.
    #[must_use]
    pub fn offers(&self, protocol: &str) -> bool {
        self.protocols().any(|offered| offered == protocol)
    }

    /// What can be agreed upon of `permessage-deflate`, where the client offers it.
    #[must_use]
    pub const fn deflate(&self) -> Option<Deflate> {
        self.deflate
    }

    /// The head of the answer that opens the socket: 101 over HTTP/1.1, 200 over HTTP/2, with the subprotocol and the
    /// extension that were chosen of those offered.
    #[must_use]
    pub fn accept(&self, protocol: Option<&str>, deflate: Option<Deflate>) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        let status = match &self.accept {
            Some(accept) => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
                StatusCode::SWITCHING_PROTOCOLS
            }
            None => StatusCode::OK,
        };
        if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        if let Some(Ok(extension)) = deflate.map(|deflate| HeaderValue::try_from(deflate.answer())) {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, extension);
        }
        (status, headers)
    }
}

// === impl Refusal ===

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade | Self::HttpVersion | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Connection | Self::Key | Self::Protocols | Self::Extensions => StatusCode::BAD_REQUEST,
        }
    }

    /// What its head says beside: which method, protocol or version would do.
    #[must_use]
    pub fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Method => {
                headers.insert(http::header::ALLOW, HeaderValue::from_static("GET"));
            }
            Self::Version => {
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            _ => {}
        }
        if self.status() == StatusCode::UPGRADE_REQUIRED {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        headers
    }
}

/// What a server answers to a key (RFC 6455 §4.2.2).
pub(crate) fn accept(key: &str) -> Option<HeaderValue> {
    let bytes = BASE64_STANDARD.decode(key).ok()?;
    if bytes.len() != KEY_BYTES {
        return None;
    }
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID.as_bytes());
    HeaderValue::try_from(BASE64_STANDARD.encode(hash.digest().bytes())).ok()
}

/// All values of a field, where they are text.
pub(crate) fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Vec<&'a str>> {
    headers.get_all(name).iter().map(|value| value.to_str().ok()).collect()
}

/// The value of a field that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    match values(headers, name)?[..] {
        [value] => Some(value.trim_matches([' ', '\t'])),
        _ => None,
    }
}

/// Whether a list has this element, in whichever case.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let elements = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    elements
        .flat_map(|value| value.split(','))
        .any(|element| element.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
}

/// The subprotocols that are offered: each once (§4.1).
fn protocols(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    for value in values(headers, &SEC_WEBSOCKET_PROTOCOL)? {
        for protocol in value.split(',').map(|protocol| protocol.trim_matches([' ', '\t'])) {
            if protocol.is_empty() {
                continue;
            }
            if !is_token(protocol) || all.iter().any(|other| other == protocol) {
                return None;
            }
            all.push(protocol.to_owned());
        }
    }
    Some(all)
}
