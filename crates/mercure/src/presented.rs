//! Where a request carries its token.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use tidings_http::Refusal;

use crate::defaults;

/// How a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Field,
    Query,
    Cookie,
}

/// The token of a request: in `Authorization`, else in the query, else in a cookie. What is there first counts, whatever it is.
pub(crate) fn token<'a>(
    parts: &'a Parts,
    cookie: Option<&str>,
) -> Result<Option<(Cow<'a, str>, Carrier)>, Refusal> {
    let mut fields = parts.headers.get_all(AUTHORIZATION).iter();
    if let Some(value) = fields.next() {
        let token = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token =
            token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer") && fields.next().is_none());
        let (_, token) = token.ok_or_else(|| {
            Refusal::bad_token("`Authorization` is to be `Bearer` and one token, and there once")
        })?;
        return Ok(Some((token.trim().into(), Carrier::Field)));
    }
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let mut query = query.filter(|(name, _)| name == "authorization" || name == "access_token");
    if let Some((_, token)) = query.next() {
        return Ok(Some((token, Carrier::Query)));
    }
    let values = parts.headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let is_own = |name: &str| match cookie {
        Some(cookie) => name == cookie,
        None => defaults::COOKIES.contains(&name),
    };
    let mut found = pairs.filter(|(name, value)| is_own(name.trim()) && !value.trim().is_empty());
    Ok(found.next().map(|(_, value)| (value.trim().trim_matches('"').into(), Carrier::Cookie)))
}
