//! Whether the page that a browser sends a request for is the hub's own.

use http::header::HOST;
use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderValue, Request, Uri};

use crate::api::forwarded::told;
use crate::api::guard::host_of;

/// How a request came here. [`Server`](crate::Server) leaves it in the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// Whether over TLS; `None` where that is not known.
    pub(crate) encrypted: Option<bool>,
    /// Whether from a proxy that is trusted, which knows better.
    pub(crate) trusted: bool,
}

/// How near a browser says that a page is to the hub (Fetch Metadata). No page can have it say otherwise; to hosts that
/// it takes for insecure it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// It is the hub's own.
    Own,
    /// It is of the same domain, but another host, port or scheme; or of anywhere else.
    Other,
    /// There is no page.
    None,
}

// === impl Site ===

impl Site {
    pub(crate) fn is_other(self) -> bool {
        self == Self::Other
    }
}

/// What a request says of the page that it is sent for.
pub(crate) fn site<B>(request: &Request<B>) -> Option<Site> {
    near(request.headers())
}

fn near(headers: &HeaderMap) -> Option<Site> {
    Some(match headers.get("sec-fetch-site")?.as_bytes() {
        b"same-origin" => Site::Own,
        b"none" => Site::None,
        _ => Site::Other,
    })
}

/// Whether an `Origin` is that of the URL that the request was sent to.
pub(crate) fn is_own<B>(origin: &HeaderValue, request: &Request<B>) -> bool {
    is_origin_of(origin, request.uri(), request.headers(), request.extensions())
}

/// See [`is_own`].
pub(crate) fn is_origin_of(
    origin: &HeaderValue,
    uri: &Uri,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> bool {
    // An origin that is none (`null`) is nobody's.
    let Some(origin) = Origin::new(origin) else { return false };
    match near(headers) {
        Some(Site::Own) => return true,
        Some(Site::Other) => return false,
        Some(Site::None) | None => {}
    }
    let way = extensions.get().copied().unwrap_or(Way { encrypted: None, trusted: false });
    let (mut hosts, mut schemes) = (Vec::new(), Vec::new());
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    hosts.extend(uri.authority().map(Authority::as_str).or(named).map(str::to_owned));
    if way.trusted {
        // Another page cannot add these fields: it would have to be let in first (CORS). So any of them will do.
        hosts.extend(listed(headers, "x-forwarded-host").chain(told(headers, "host")));
        schemes.extend(listed(headers, "x-forwarded-proto").chain(told(headers, "proto")));
    } else if let Some(encrypted) = way.encrypted {
        schemes.push(if encrypted { "https" } else { "http" }.to_owned());
    }
    let is_scheme =
        schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case(origin.scheme));
    is_scheme && hosts.iter().any(|host| origin.is_at(host))
}

/// An origin as browsers write it.
struct Origin<'a> {
    scheme: &'a str,
    authority: &'a str,
}

// === impl Origin ===

impl<'a> Origin<'a> {
    fn new(value: &'a HeaderValue) -> Option<Self> {
        let (scheme, authority) = value.to_str().ok()?.split_once("://")?;
        matches!(scheme, "http" | "https").then_some(Self { scheme, authority })
    }

    fn is_at(&self, authority: &str) -> bool {
        let place = |authority: &str| {
            let port = authority.parse::<Authority>().ok()?.port_u16();
            Some((host_of(authority)?, port.unwrap_or(if self.scheme == "https" { 443 } else { 80 })))
        };
        place(self.authority).is_some_and(|own| place(authority) == Some(own))
    }
}

/// The elements of a field that is a list.
fn listed(headers: &HeaderMap, name: &'static str) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).map(|element| element.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_CLEAR: Way = Way { encrypted: Some(false), trusted: false };
    const OVER_TLS: Way = Way { encrypted: Some(true), trusted: false };
    const PROXY: Way = Way { encrypted: Some(false), trusted: true };

    fn is(origin: &str, way: Option<Way>, fields: &[(&str, &str)]) -> bool {
        let mut request = Request::post("/topics/a");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        if let Some(way) = way {
            request.extensions_mut().insert(way);
        }
        is_own(&HeaderValue::from_str(origin).unwrap(), &request)
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (origin, way, host, own) in [
            ("http://localhost:8080", IN_CLEAR, "localhost:8080", true),
            ("http://LOCALHOST:8080", IN_CLEAR, "localhost:8080", true),
            ("http://hub.example", IN_CLEAR, "hub.example", true),
            ("http://hub.example", IN_CLEAR, "hub.example:80", true),
            ("https://hub.example", OVER_TLS, "hub.example:443", true),
            ("http://[::1]:8080", IN_CLEAR, "[::1]:8080", true),
            ("http://localhost:8081", IN_CLEAR, "localhost:8080", false),
            ("http://127.0.0.1:8080", IN_CLEAR, "localhost:8080", false),
            ("http://a.hub.example", IN_CLEAR, "hub.example", false),
            ("http://hub.example", OVER_TLS, "hub.example", false),
            ("https://hub.example", IN_CLEAR, "hub.example", false),
            ("https://hub.example", OVER_TLS, "hub.example:80", false),
            ("null", IN_CLEAR, "null", false),
            ("http://", IN_CLEAR, "", false),
            ("chrome-extension://hub", IN_CLEAR, "hub", false),
            ("http://hub.example@evil.example", IN_CLEAR, "evil.example", false),
        ] {
            assert_eq!(is(origin, Some(way), &[("host", host)]), own, "{origin} {way:?} {host}");
        }
        // Mounted in another program, whose connections are not known.
        for origin in ["http://hub.example", "https://hub.example"] {
            assert!(is(origin, None, &[("host", "hub.example")]));
        }
        assert!(!is("http://hub.example:81", None, &[("host", "hub.example")]));
    }

    #[test]
    fn a_trusted_proxy_knows_where_it_was_asked() {
        let inner = ("host", "127.0.0.1:8080");
        for (fields, own) in [
            (vec![inner, ("x-forwarded-host", "hub.example"), ("x-forwarded-proto", "https")], true),
            (
                vec![inner, ("x-forwarded-host", "a.example, hub.example"), ("x-forwarded-proto", "https")],
                true,
            ),
            (vec![inner, ("forwarded", "for=192.0.2.1;host=\"hub.example\";proto=https")], true),
            (
                vec![inner, ("forwarded", "by=\"a,b;host=x\";Host=hub.example;proto=https, for=10.0.0.1")],
                true,
            ),
            (vec![inner, ("forwarded", "for=\"x;host=hub.example;proto=https\"")], false),
            (vec![("host", "hub.example"), ("x-forwarded-proto", "https")], true),
            (vec![("host", "hub.example")], true),
            (vec![("host", "hub.example"), ("x-forwarded-proto", "http")], false),
            (vec![inner, ("x-forwarded-proto", "https")], false),
            (vec![inner, ("x-forwarded-host", "hub.example:444"), ("x-forwarded-proto", "https")], false),
        ] {
            assert_eq!(is("https://hub.example", Some(PROXY), &fields), own, "{fields:?}");
        }
        let fields = [inner, ("x-forwarded-host", "hub.example"), ("x-forwarded-proto", "https")];
        assert!(!is("https://hub.example", Some(IN_CLEAR), &fields), "anybody could say so");
    }

    #[test]
    fn a_browser_that_says_how_near_a_page_is_is_believed() {
        let host = ("host", "127.0.0.1:8080");
        for (origin, site, own) in [
            ("https://hub.example", "same-origin", true),
            ("http://127.0.0.1:8080", "same-site", false),
            ("http://127.0.0.1:8080", "cross-site", false),
            ("http://127.0.0.1:8080", "none", true),
            ("https://hub.example", "none", false),
            ("null", "same-origin", false),
        ] {
            assert_eq!(is(origin, Some(IN_CLEAR), &[host, ("sec-fetch-site", site)]), own, "{origin} {site}");
        }
    }
}
