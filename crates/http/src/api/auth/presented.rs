//! Where a request carries its token.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use tidings_protocol::ProblemKind;

use super::{BAD_TOKEN, bad};
use crate::Cors;
use crate::api::origin::is_origin_of;
use crate::api::problem::Refusal;
use crate::api::query::Query;
use crate::api::websocket;

/// The token of a request: in `Authorization`, which every client but a browser's `EventSource` can set; for reading,
/// in the query; or in the cookie of this name, which browsers send by themselves.
///
/// Because they do, whoever gets a browser to publish elsewhere could publish here in its user's name. So a cookie counts
/// for publishing, and for WebSockets, only with the `Origin` of a page that is trusted.
pub(super) fn token<'a>(
    parts: &'a Parts,
    cookie_name: Option<&str>,
    cors: &Cors,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    // A WebSocket may be used to publish, and is opened as what is read.
    let is_socket = websocket::is_asked(&parts.method, &parts.headers, &parts.extensions);
    let reads = is_socket || matches!(parts.method, Method::GET | Method::HEAD);
    if let Some(token) = bearer(&parts.headers)? {
        return Ok(Some(Cow::Borrowed(token)));
    }
    if let Some(token) = Query::new(parts.uri.query()).get("access_token")? {
        if !reads {
            return Err(bad("`access_token` in the query is for reading; send `Authorization: Bearer …`"));
        }
        return Ok(Some(Cow::Owned(token.to_owned())));
    }
    let Some(token) = cookie_name.and_then(|name| cookie(&parts.headers, name)) else { return Ok(None) };
    let trusts =
        |origin| cors.trusts(origin) || is_origin_of(origin, &parts.uri, &parts.headers, &parts.extensions);
    if (is_socket || !reads) && !parts.headers.get(ORIGIN).is_some_and(trusts) {
        let detail = "a cookie is taken for publishing and for WebSockets only with an `Origin` that is the hub's own, or that `[cors] \
                      origins` names; send `Authorization: Bearer …` elsewhere";
        return Err(Refusal::new(ProblemKind::Unauthorized, detail).challenge(BAD_TOKEN));
    }
    Ok(Some(Cow::Borrowed(token)))
}

/// Another scheme than `Bearer` is for somebody on the way, and none of the hub's business.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad("there are two `Authorization` fields"));
    }
    let text = value.to_str().map_err(|_| bad("it has characters that no token has"))?;
    let Some((scheme, token)) = text.split_once(' ') else { return Ok(None) };
    Ok(scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(own, _)| own.trim() == name).map(|(_, value)| value.trim());
    found.next().filter(|value| !value.is_empty())
}
