use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::Deflate;
use crate::extension::extensions;
use crate::handshake::{accept, has_token, values};

/// A client's side of the opening handshake (RFC 6455 §4.1).
#[derive(Debug)]
pub struct ClientOpening<'a> {
    key: String,
    protocol: &'a str,
    deflate: bool,
}

/// What a server agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Whether it speaks the subprotocol.
    pub has_protocol: bool,
    /// Whether it may compress what it sends.
    pub deflate: Option<Deflate>,
}

/// Why an answer opens no socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The status is not 101.
    #[error("the answer is {0}, not 101")]
    Status(StatusCode),
    /// It does not say that it speaks WebSocket from now on.
    #[error("the answer does not upgrade the connection to a WebSocket")]
    Upgrade,
    /// It is no answer to this request.
    #[error("`Sec-WebSocket-Accept` is not the answer to the key")]
    Accept,
    /// A subprotocol that was not offered.
    #[error("the server chose a subprotocol that was not offered")]
    Protocol,
    /// An extension that was not offered, or not so.
    #[error("the server chose an extension that was not offered")]
    Extension,
}

// === impl ClientOpening ===

impl<'a> ClientOpening<'a> {
    /// A request with random bytes, a subprotocol, and perhaps the offer of `permessage-deflate`.
    #[must_use]
    pub fn new(random: [u8; 16], protocol: &'a str, deflate: bool) -> Self {
        Self { key: BASE64_STANDARD.encode(random), protocol, deflate }
    }

    /// The fields that a `GET` over HTTP/1.1 has for it.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        for (name, value) in [(SEC_WEBSOCKET_KEY, &*self.key), (SEC_WEBSOCKET_PROTOCOL, self.protocol)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if let (true, Ok(offer)) = (self.deflate, HeaderValue::try_from(Deflate::offer())) {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, offer);
        }
        headers
    }

    /// Whether the answer opens the socket.
    ///
    /// # Errors
    /// Where it does not.
    pub fn check(&self, status: StatusCode, headers: &HeaderMap) -> Result<Accepted, Refused> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refused::Status(status));
        }
        if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
            return Err(Refused::Upgrade);
        }
        if headers.get(SEC_WEBSOCKET_ACCEPT) != accept(&self.key).as_ref() {
            return Err(Refused::Accept);
        }
        let protocol = headers.get(SEC_WEBSOCKET_PROTOCOL);
        if protocol.is_some_and(|chosen| chosen != self.protocol) {
            return Err(Refused::Protocol);
        }
        let chosen = values(headers, &SEC_WEBSOCKET_EXTENSIONS).ok_or(Refused::Extension)?;
        let chosen = extensions(chosen).map_err(|_| Refused::Extension)?;
        let deflate = match &chosen[..] {
            [] => None,
            [one] if self.deflate => Some(Deflate::agreed(one).ok_or(Refused::Extension)?),
            _ => return Err(Refused::Extension),
        };
        Ok(Accepted { has_protocol: protocol.is_some(), deflate })
    }
}
