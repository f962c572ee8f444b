//! What is refused before anything else of a request is looked at, whatever path it names: what a page in somebody's
//! browser, or a proxy, would bring in from elsewhere.

use std::net::IpAddr;

use http::header::{COOKIE, HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request};
use tidings_protocol::ProblemKind;

use crate::Api;
use crate::api::origin::{Site, is_own, site};
use crate::api::problem::Refusal;
use crate::api::websocket;

/// Fields by which proxies say that they have passed a request on, beside all that begin with [`FORWARDED`].
const PASSED_ON: [&str; 23] = [
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-azure-clientip",
    "x-appengine-user-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-ray",
    "cdn-loop",
    "fastly-client-ip",
    "fly-client-ip",
    "do-connecting-ip",
    "client-ip",
    "proxy-client-ip",
    "wl-proxy-client-ip",
    "x-proxyuser-ip",
    "x-original-url",
    "x-rewrite-url",
];
/// `Forwarded` (RFC 7239), and with `X-` before it what came before that.
const FORWARDED: &str = "forwarded";
/// What tells nothing of the hub but that it is there. Proxies ask for it too, to know whether it is.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// How much of what a client chose is told back to it, in characters.
const SHOWN: usize = 200;

/// Refuses a request that is not for this hub, or comes from where nobody was let in.
pub(crate) fn check<B>(api: &Api, request: &Request<B>) -> Result<(), Refusal> {
    check_way(api, request)?;
    check_host(api, request)?;
    check_origin(api, request)
}

/// Whoever owns a name may have it lead to any address. A page of that name could then use a hub that only this machine
/// can reach, and no browser would see anything wrong with it ("DNS rebinding"). But it cannot choose another name.
fn check_host<B>(api: &Api, request: &Request<B>) -> Result<(), Refusal> {
    let (is_local, allowed) = (api.auth.is_for_this_machine(), &api.config.allowed_hosts);
    if !is_local && allowed.is_empty() {
        return Ok(());
    }
    let in_target = request.uri().authority().map(Authority::as_str);
    let named = request.headers().get_all(HOST).into_iter().map(|host| host.to_str().unwrap_or_default());
    for host in in_target.into_iter().chain(named) {
        if is_loopback(host) || allowed.contains(host) {
            continue;
        }
        let host: String = host.chars().take(SHOWN).collect();
        let detail = if is_local {
            format!(
                "`{host}` is not this machine, and without keys for tokens this hub serves nobody else: ask for \
                 `localhost`, or name the host in `allowed-hosts`"
            )
        } else {
            format!("`{host}` is no name of this hub; `allowed-hosts` has those that it answers to")
        };
        return Err(Refusal::new(ProblemKind::Misdirected, detail));
    }
    Ok(())
}

/// A hub that nobody has told who may use it is for whoever is on its machine. A proxy there speaks for others.
fn check_way<B>(api: &Api, request: &Request<B>) -> Result<(), Refusal> {
    if !api.auth.is_for_this_machine() || PROBES.contains(&request.uri().path()) {
        return Ok(());
    }
    let sign = if !api.config.trusted_proxies.is_empty() {
        "`trusted-proxies` is set"
    } else if let Some(name) = passed_on(request.headers()) {
        &format!("the request has `{name}`")
    } else {
        return Ok(());
    };
    let detail = format!(
        "nothing says who may use this hub, so it serves only programs on its own machine, and none through a proxy; {sign}. \
         Name a key that tokens are signed with (`[auth]`), or what needs no token (`[auth.anonymous]`)"
    );
    Err(Refusal::new(ProblemKind::Forbidden, detail))
}

/// The field that says that a request was passed on.
fn passed_on(headers: &HeaderMap) -> Option<&str> {
    headers.keys().map(http::HeaderName::as_str).find(|name| {
        name.strip_prefix("x-").unwrap_or(name).starts_with(FORWARDED) || PASSED_ON.contains(name)
    })
}

/// Browsers say from where a page is that publishes, or otherwise changes something, and let it do so wherever it likes
/// (the Fetch standard), with what lets its reader in: an address in their network, or a cookie. So it is the hub's own
/// page, or one of an origin that is named. Other programs say nothing of that kind.
fn check_origin<B>(api: &Api, request: &Request<B>) -> Result<(), Refusal> {
    // There is no preflight for WebSockets, and who has one may read and publish.
    let is_socket = websocket::is_asked(request.method(), request.headers(), request.extensions());
    if !is_socket && matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let cors = &api.config.cors;
    let mut origins = request.headers().get_all(ORIGIN).into_iter().peekable();
    if origins.peek().is_none() && !cors.allows_any() && site(request).is_some_and(Site::is_other) {
        let detail = "a page of another site may change something here only where `[cors] origins` names it";
        return Err(Refusal::new(ProblemKind::Forbidden, detail));
    }
    // Whoever decides by cookies cannot see that the page that sends them is nobody's.
    let with_cookies = api.auth.is_of_the_program() && request.headers().contains_key(COOKIE);
    let allowed = |origin: &HeaderValue| {
        cors.trusts(origin) || cors.allows_any() && !with_cookies || is_own(origin, request)
    };
    match origins.find(|origin| !allowed(origin)) {
        Some(origin) => {
            let shown: String = String::from_utf8_lossy(origin.as_bytes()).chars().take(SHOWN).collect();
            let detail = format!(
                "pages of `{shown}` may not change anything here: the hub's own may, and those of the origins that \
                 `[cors] origins` names"
            );
            Err(Refusal::new(ProblemKind::Forbidden, detail))
        }
        None => Ok(()),
    }
}

/// Whether a `Host`, with or without a port, is this machine for whoever asks for it, whatever a name server says: an
/// address of its own, or a name that no resolver looks up elsewhere (RFC 6761 §6.3).
fn is_loopback(host: &str) -> bool {
    let Some(host) = host_of(host) else { return false };
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// The host of an authority, as it is compared: without its port, in lower case, without brackets and the last dot.
pub(crate) fn host_of(authority: &str) -> Option<String> {
    let parsed: Authority = authority.parse().ok()?;
    // What has an `@` is no `Host`, and what stands before it no host.
    let host = Some(parsed.host()).filter(|host| !host.is_empty() && !authority.contains('@'))?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some(bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.255.0.9",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            ":8080",
            "hub.example",
            "localhost.example:8080",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.1",
            "192.0.2.1",
            "[::2]",
            "0.0.0.0:8080",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost:8080:evil.example",
            "localhost/evil.example",
            "local host",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_request_that_was_passed_on_is_known() {
        let sign = |name: &'static str| {
            passed_on(&HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static("x"),
            )]))
            .map(str::to_owned)
        };
        for name in [
            "x-forwarded-for",
            "x-forwarded-proto",
            "forwarded",
            "via",
            "x-real-ip",
            "client-ip",
            "x-original-url",
        ] {
            assert_eq!(sign(name).as_deref(), Some(name));
        }
        for name in ["host", "accept", "x-request-id", "traceparent", "origin", "x-via"] {
            assert_eq!(sign(name), None, "{name}");
        }
    }
}
