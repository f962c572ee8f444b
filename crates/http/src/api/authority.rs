//! Whom a request is for: its target with `Host` (RFC 9112 §3.2) or `:authority` (RFC 9113 §8.3.1), which everybody on
//! the way has to understand alike.

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use crate::api::problem::Refusal;

/// Refuses a request whose target, host or fields somebody on the way might understand otherwise. One that comes to a
/// port names its host; one that another program hands on need not.
pub(crate) fn check<B>(request: &Request<B>, comes_to_port: bool) -> Result<(), Refusal> {
    check_target(request.method(), request.uri())?;
    check_values(request.headers())?;
    check_host(request, comes_to_port)
}

/// What the refusal of a target with a fragment says.
pub(crate) fn fragment() -> Refusal {
    Refusal::query("a target has no `#`: written as a part of a topic or a value, it is `%23`")
}

fn check_target(method: &Method, uri: &Uri) -> Result<(), Refusal> {
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if !target.is_ascii() {
        let detail = "a target is ASCII: write other characters percent-encoded, as in `%C3%BC` for `ü`";
        return Err(Refusal::query(detail));
    }
    if target == "*" && *method != Method::OPTIONS {
        return Err(Refusal::query("the target `*` is for OPTIONS"));
    }
    Ok(())
}

/// HTTP/1.1 takes away the blanks around a value. In HTTP/2 there may be none (RFC 9113 §8.2.1).
fn check_values(headers: &HeaderMap) -> Result<(), Refusal> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let padded = |value: &HeaderValue| blank(value.as_bytes().first()) || blank(value.as_bytes().last());
    match headers.iter().find(|(_, value)| padded(value)) {
        None => Ok(()),
        Some((name, _)) => {
            Err(Refusal::query(format!("the value of the field `{name}` begins or ends with a blank")))
        }
    }
}

fn check_host<B>(request: &Request<B>, is_needed: bool) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, other) = (hosts.next(), hosts.next());
    if other.is_some() {
        return Err(Refusal::query("a request has exactly one `Host` field"));
    }
    // Of an absolute target, `Host` says nothing more (RFC 9112 §3.2.2); but it may not be nonsense either.
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = host.map(HeaderValue::as_bytes);
    for named in [authority, host].into_iter().flatten() {
        if !is_host(named) {
            let named = String::from_utf8_lossy(named);
            let shown: String = named.chars().take(64).flat_map(char::escape_debug).collect();
            let detail = format!(
                "`{shown}` is no host: a name or an address, and perhaps a port, as in `hub.example:8080`"
            );
            return Err(Refusal::query(detail));
        }
    }
    match (request.version(), authority, host) {
        (Version::HTTP_2, Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(Refusal::query("`:authority` and `host` differ: a request is for one host"))
        }
        (Version::HTTP_2, None, None) if is_needed => Err(Refusal::query("a request has an `:authority`")),
        (Version::HTTP_11, _, None) if is_needed => {
            Err(Refusal::query("a request has exactly one `Host` field"))
        }
        _ => Ok(()),
    }
}

/// Whether this is a host with perhaps a port (RFC 3986 §3.2.2). One without a name is none, in `http` and `https`
/// (RFC 9110 §4.2).
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (is_well_formed, rest) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, rest)) = rest.split_once(']') else { return false };
            (address.parse::<std::net::Ipv6Addr>().is_ok(), rest)
        }
        None => {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(name), rest)
        }
    };
    let port = rest.strip_prefix(':').unwrap_or("");
    let is_port = rest.is_empty()
        || rest.starts_with(':')
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (port.is_empty() || port.parse::<u16>().is_ok());
    is_well_formed && is_port
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let digits = [bytes.next(), bytes.next()];
                digits.iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()))
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "hub",
            "hub.example",
            "hub.example.",
            "HUB_1.example:8080",
            "hub:",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::7]:65535",
            "xn--bcher-kva.example",
            "b%C3%BCcher.example",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "hub:x",
            "hub:65536",
            "hub:80:80",
            "hub:-1",
            "hub:+1",
            "hub/",
            "hub/topics",
            "hub?x",
            "hub#x",
            "user@hub",
            "a b",
            "a, b",
            "a\tb",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]]",
            "[hub]",
            "[]",
            "[fe80::1%25eth0]",
            "h%2",
            "h%zz",
            "<hub>",
            "h\"ub",
            "h\\ub",
            "hüb",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_host(b"h\xffb"));
    }

    fn asked(version: Version, target: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().version(version).uri(target).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        check(&request, true).is_ok()
    }

    #[test]
    fn a_request_is_for_one_host() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        assert!(asked(one, "/a", &["hub"]) && !asked(one, "/a", &[]) && !asked(one, "/a", &["hub", "hub"]));
        assert!(asked(Version::HTTP_10, "/a", &[]) && !asked(Version::HTTP_10, "/a", &["a b"]));
        // Another one than that of an absolute target is passed over, unless it is none.
        assert!(asked(one, "http://hub/a", &["other"]) && !asked(one, "http://hub/a", &["a b"]));
        assert!(!asked(one, "http://user@hub/a", &["hub"]) && !asked(one, "http://hub/a", &[]));
        assert!(asked(two, "http://hub/a", &[]) && asked(two, "http://hub/a", &["HUB"]));
        assert!(asked(two, "/a", &["hub"]) && !asked(two, "/a", &[]));
        assert!(!asked(two, "http://hub/a", &["other"]) && !asked(two, "http://hub/a", &["hub:80"]));
    }
}
