//! Which fields of a request go to the endpoint, and which of its answer to the caller.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, DATE, EXPECT, HOST, ORIGIN,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERER, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use tidings_http::API_KEY_FIELDS;
use tidings_protocol::Cursor;

use crate::config::{FieldSource, InvalidRelay};
use crate::defaults;

/// The fields that the requests of a relay are given.
#[derive(Debug)]
pub(crate) struct OwnFields(Vec<OwnField>);

#[derive(Debug)]
struct OwnField {
    name: HeaderName,
    source: FieldSource,
    /// What it is, and when that was last looked at.
    value: Mutex<(HeaderValue, Instant)>,
}

/// By which a request says through which hubs it came, each by a name that it drew when it began.
pub(crate) const PASSED: HeaderName = HeaderName::from_static("tidings-relay");

/// Fields that are for one connection (RFC 9110 §7.6.1), beside those that `Connection` names.
const OF_THE_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// Fields by which a caller shows who it is, beside those that clients of others have.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, HeaderName::from_static("cookie2")];
/// Fields that are about the way from the caller to the hub, and about the page that the caller is.
const OF_THE_WAY: [HeaderName; 8] = [
    HOST,
    EXPECT,
    ORIGIN,
    REFERER,
    ACCEPT_ENCODING,
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("access-control-request-headers"),
];
/// Families of such fields.
const OF_THE_WAY_TOO: [&str; 3] = ["x-forwarded-", "sec-fetch-", "sec-ch-"];
/// Fields of an answer that say something of the origin that it is from. To a caller, that is the hub.
const OF_THE_ORIGIN: [HeaderName; 9] = [
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    DATE,
    HeaderName::from_static("alt-svc"),
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("service-worker-allowed"),
];
/// Which pages may read an answer is for the hub to say.
const CORS: &str = "access-control-";
/// The parameter that carries a token for the hub.
const TOKEN_PARAMETER: &str = "access_token";

// === impl OwnFields ===

impl OwnFields {
    pub(crate) fn new(fields: &[(String, FieldSource)]) -> Result<Self, InvalidRelay> {
        let own = fields.iter().map(|(name, source)| {
            let invalid = || InvalidRelay::Field(name.clone());
            let name: HeaderName = name.parse().map_err(|_| invalid())?;
            let fixed = [HOST, CONTENT_LENGTH, EXPECT, ACCEPT_ENCODING, PASSED];
            if OF_THE_CONNECTION.contains(&name) && name != PROXY_AUTHORIZATION || fixed.contains(&name) {
                return Err(invalid());
            }
            let value =
                value(source).map_err(|problem| InvalidRelay::Value { field: name.to_string(), problem })?;
            Ok(OwnField { name, source: source.clone(), value: Mutex::new((value, Instant::now())) })
        });
        Ok(Self(own.collect::<Result<_, _>>()?))
    }

    /// Gives a request its fields, in place of what others of these names it has.
    pub(crate) fn add(&self, headers: &mut HeaderMap) {
        for field in &self.0 {
            headers.insert(field.name.clone(), field.value());
        }
    }
}

// === impl OwnField ===

impl OwnField {
    fn value(&self) -> HeaderValue {
        let mut cached = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, looked) = &mut *cached;
        // A small file is read in less time than it takes to have another thread read it.
        if matches!(self.source, FieldSource::File { .. }) && looked.elapsed() >= defaults::SECRET_INTERVAL {
            *looked = Instant::now();
            match value(&self.source) {
                Ok(value) => *own = value,
                Err(problem) => {
                    tracing::warn!(field = %self.name, problem, "failed to read a field of a relay again; what it was stays");
                }
            }
        }
        own.clone()
    }
}

fn value(source: &FieldSource) -> Result<HeaderValue, String> {
    let (prefix, text) = match source {
        FieldSource::Text(text) => ("", text.clone()),
        FieldSource::File { file, prefix } => {
            let text = read(file).map_err(|error| format!("failed to read {}: {error}", file.display()))?;
            (prefix.as_str(), text)
        }
        FieldSource::Variable { name, prefix } => {
            let text =
                std::env::var(name).map_err(|_| format!("the variable {name} is not set, or no UTF-8"))?;
            (prefix.as_str(), text)
        }
    };
    let text = text.trim();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut value = HeaderValue::from_str(&format!("{prefix}{text}"))
        .map_err(|_| "it has characters that no field has".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(file: &Path) -> std::io::Result<String> {
    if std::fs::metadata(file)?.len() > defaults::SECRET_BYTES {
        return Err(std::io::Error::other(format!("it has more than {} bytes", defaults::SECRET_BYTES)));
    }
    std::fs::read_to_string(file)
}

/// What of a request's fields goes to the endpoint.
pub(crate) fn for_endpoint(headers: &HeaderMap, passes_keys: bool) -> HeaderMap {
    let mut own = headers.clone();
    remove_those_of_the_connection(&mut own);
    for name in CREDENTIALS.iter().filter(|name| !passes_keys || **name != AUTHORIZATION) {
        own.remove(name);
    }
    for name in API_KEY_FIELDS.iter().filter(|_| !passes_keys) {
        own.remove(*name);
    }
    for name in &OF_THE_WAY {
        own.remove(name);
    }
    remove_all(&mut own, |name| OF_THE_WAY_TOO.iter().any(|family| name.starts_with(family)));
    // What the hub gave as an id says nothing to the endpoint.
    let last = own.get("last-event-id").and_then(|value| value.to_str().ok());
    if last.is_some_and(|last| last.parse::<Cursor>().is_ok()) {
        own.remove("last-event-id");
    }
    // The hub has to read what comes, and a stream is packed piece by piece, which saves little.
    own.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    own
}

/// What of an answer's fields goes to the caller.
pub(crate) fn for_caller(headers: &HeaderMap) -> HeaderMap {
    let mut own = headers.clone();
    remove_those_of_the_connection(&mut own);
    for name in &OF_THE_ORIGIN {
        own.remove(name);
    }
    remove_all(&mut own, |name| name.starts_with(CORS));
    own
}

fn remove_those_of_the_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
}

fn remove_all(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    let meant: Vec<HeaderName> = headers.keys().filter(|name| is_meant(name.as_str())).cloned().collect();
    for name in meant {
        headers.remove(name);
    }
}

/// A query without the hub's token.
pub(crate) fn query_for_endpoint(query: &str) -> Option<String> {
    let is_token = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_encoding::percent_decode_str(name).decode_utf8_lossy() == TOKEN_PARAMETER
    };
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
    Some(rest.join("&")).filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn neither_credentials_nor_what_is_of_the_way_go_to_the_endpoint() {
        let asked = [
            ("authorization", "Bearer hub"),
            ("cookie", "a=b"),
            ("x-api-key", "hub"),
            ("api-key", "hub"),
            ("x-goog-api-key", "hub"),
            ("proxy-authorization", "Basic x"),
            ("connection", "keep-alive, X-Own"),
            ("x-own", "1"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("host", "hub.example"),
            ("origin", "https://app.example"),
            ("referer", "https://app.example/?secret"),
            ("x-forwarded-for", "192.0.2.1"),
            ("sec-fetch-site", "same-origin"),
            ("accept-encoding", "gzip"),
            ("last-event-id", "q7m2x9-5"),
            ("accept", "text/event-stream"),
            ("content-type", "application/json"),
            ("anthropic-version", "2023-06-01"),
        ];
        let sent = for_endpoint(&headers(&asked), false);
        let expected = [
            ("accept", "text/event-stream"),
            ("content-type", "application/json"),
            ("anthropic-version", "2023-06-01"),
            ("accept-encoding", "identity"),
        ];
        assert_eq!(sent, headers(&expected));
        let with_keys = for_endpoint(&headers(&asked), true);
        assert_eq!(
            (&with_keys["authorization"], &with_keys["x-api-key"]),
            (&"Bearer hub".parse().unwrap(), &"hub".parse().unwrap())
        );
        assert!(!with_keys.contains_key("cookie"));
        assert_eq!(for_endpoint(&headers(&[("last-event-id", "7")]), false)["last-event-id"], "7");
    }

    #[test]
    fn what_is_of_another_origin_does_not_come_to_the_caller() {
        let answered = [
            ("set-cookie", "a=b"),
            ("access-control-allow-origin", "*"),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h3"),
            ("transfer-encoding", "chunked"),
            ("content-type", "text/event-stream"),
            ("x-request-id", "7"),
        ];
        let expected = [("content-type", "text/event-stream"), ("x-request-id", "7")];
        assert_eq!(for_caller(&headers(&answered)), headers(&expected));
    }

    #[test]
    fn the_hubs_token_is_no_parameter_of_the_endpoint() {
        for (query, expected) in [
            ("a=1&access_token=x&b=2", Some("a=1&b=2")),
            ("access%5Ftoken=x", None),
            ("access_token", None),
            ("key=x&alt=sse", Some("key=x&alt=sse")),
            ("", None),
        ] {
            assert_eq!(query_for_endpoint(query).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn a_value_is_what_is_in_its_file_and_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let source = |prefix: &str| FieldSource::File { file: file.clone(), prefix: prefix.to_owned() };
        assert!(value(&source("")).unwrap_err().contains("failed to read"));
        std::fs::write(&file, " \n").unwrap();
        assert!(value(&source("")).unwrap_err().contains("empty"));
        std::fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(value(&source("Bearer ")).unwrap(), "Bearer s3cret");
        std::fs::write(&file, "a\nb").unwrap();
        assert!(value(&source("")).is_err());
        let text = FieldSource::Text("s3cret".to_owned());
        let own = OwnFields::new(&[("x-key".to_owned(), text)]).unwrap();
        assert!(!format!("{own:?}").contains("s3cret"));
        for name in ["host", "connection", "content-length", "no name"] {
            assert!(
                OwnFields::new(&[(name.to_owned(), FieldSource::Text("x".to_owned()))]).is_err(),
                "{name}"
            );
        }
    }
}
