use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::Head;
use crate::hpack::{DecodeError, FIELD_OVERHEAD};
use crate::limits;

/// The fields of a block, as they are decoded.
#[derive(Debug)]
pub(crate) struct Fields {
    pseudo: Pseudo,
    headers: HeaderMap,
    /// The pieces of a cookie that came in several fields, put together (RFC 9113 §8.2.3).
    cookie: Vec<u8>,
    /// What they count together, and may (RFC 9113 §6.5.2).
    size: usize,
    max_size: usize,
    has_protocols: bool,
    /// Whether a field has come that is no pseudo-header field.
    is_behind_pseudo: bool,
    is_malformed: bool,
    content_length: Option<u64>,
}

/// The pseudo-header fields of requests (RFC 9113 §8.3.1, RFC 8441 §4).
#[derive(Debug, Default)]
struct Pseudo {
    method: Option<Method>,
    scheme: Option<Box<str>>,
    authority: Option<Box<str>>,
    path: Option<Box<str>>,
    protocol: Option<Box<str>>,
}

/// The message is malformed (RFC 9113 §8.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

// === impl Fields ===

impl Fields {
    pub(crate) fn new(max_size: usize, has_protocols: bool) -> Self {
        Self {
            pseudo: Pseudo::default(),
            headers: HeaderMap::new(),
            cookie: Vec::new(),
            size: 0,
            max_size,
            has_protocols,
            is_behind_pseudo: false,
            is_malformed: false,
            content_length: None,
        }
    }

    /// Adds a field. Those that are too many are counted and not kept.
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        self.size += name.len() + value.len() + FIELD_OVERHEAD;
        if self.size > self.max_size.saturating_mul(limits::LIST_EXCESS) {
            return Err(DecodeError::TooMuch);
        }
        if !self.is_too_large() && !self.is_malformed && self.keep(name, value).is_err() {
            self.is_malformed = true;
        }
        Ok(())
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.size > self.max_size
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    fn keep(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        if name.first() == Some(&b':') {
            return if self.is_behind_pseudo { Err(Malformed) } else { self.keep_pseudo(name, value) };
        }
        self.is_behind_pseudo = true;
        // Upper case is malformed as well (§8.2.1).
        let name = HeaderName::from_lowercase(name).map_err(|_| Malformed)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Malformed)?;
        match name {
            // §8.2.2: connection-specific fields.
            header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => return Err(Malformed),
            header::TE if !value.as_bytes().eq_ignore_ascii_case(b"trailers") => return Err(Malformed),
            header::CONTENT_LENGTH => {
                let length = content_length(value.as_bytes())?;
                if self.content_length.is_some_and(|other| other != length) {
                    return Err(Malformed);
                }
                self.content_length = Some(length);
            }
            // §8.2.3: it may come in pieces. Where it does not, it stays as it is.
            header::COOKIE if self.headers.contains_key(header::COOKIE) => {
                if self.cookie.is_empty() {
                    let first = self.headers.get(header::COOKIE).map(HeaderValue::as_bytes);
                    self.cookie.extend_from_slice(first.unwrap_or_default());
                }
                self.cookie.extend_from_slice(b"; ");
                self.cookie.extend_from_slice(value.as_bytes());
                return Ok(());
            }
            _ if matches!(name.as_str(), "keep-alive" | "proxy-connection") => return Err(Malformed),
            _ => {}
        }
        self.headers.try_append(name, value).map_err(|_| Malformed)?;
        Ok(())
    }

    fn keep_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let value = std::str::from_utf8(value).map_err(|_| Malformed)?;
        let has_control = value.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        if value.is_empty() && name != b":authority" || has_control {
            return Err(Malformed);
        }
        let pseudo = &mut self.pseudo;
        let place = match name {
            b":method" => {
                let method = Method::from_bytes(value.as_bytes()).map_err(|_| Malformed)?;
                return if pseudo.method.replace(method).is_none() { Ok(()) } else { Err(Malformed) };
            }
            b":scheme" => &mut pseudo.scheme,
            b":authority" => &mut pseudo.authority,
            b":path" => &mut pseudo.path,
            b":protocol" if self.has_protocols => &mut pseudo.protocol,
            _ => return Err(Malformed),
        };
        if place.replace(value.into()).is_none() { Ok(()) } else { Err(Malformed) }
    }

    fn join_cookie(&mut self) -> Result<(), Malformed> {
        if !self.cookie.is_empty() {
            let cookie = HeaderValue::from_bytes(&self.cookie).map_err(|_| Malformed)?;
            self.headers.insert(header::COOKIE, cookie);
        }
        Ok(())
    }

    /// The head of a request (§8.3.1).
    pub(crate) fn into_head(mut self) -> Result<Head, Malformed> {
        self.join_cookie()?;
        let Pseudo { method, scheme, authority, path, protocol } = self.pseudo;
        let method = method.ok_or(Malformed)?;
        let is_connect = method == Method::CONNECT;
        let is_whole = match (is_connect, protocol.is_some()) {
            // §8.5.
            (true, false) => scheme.is_none() && path.is_none() && authority.is_some(),
            // RFC 8441 §4.
            (true, true) => scheme.is_some() && path.is_some() && authority.is_some(),
            (false, false) => scheme.is_some() && path.is_some(),
            (false, true) => false,
        };
        if self.is_malformed || !is_whole {
            return Err(Malformed);
        }
        Ok(Head { method, scheme, authority, path, protocol, headers: self.headers })
    }

    /// The trailers of a request (§8.1).
    pub(crate) fn into_trailers(mut self) -> Result<HeaderMap, Malformed> {
        self.join_cookie()?;
        let Pseudo { method, scheme, authority, path, protocol } = self.pseudo;
        let has_pseudo = method.is_some() || [scheme, authority, path, protocol].iter().any(Option::is_some);
        if self.is_malformed || has_pseudo { Err(Malformed) } else { Ok(self.headers) }
    }
}

/// RFC 9110 §8.6: digits alone.
fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
    if is_number { text.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}
