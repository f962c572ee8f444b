//! RFC 6455 §4, RFC 8441 §5: how a socket begins.

use http::header::{
    ALLOW, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use tidings_websocket::{ClientOpening, Opening, Refusal, Refused};

/// What the RFC's client sends.
fn request() -> HeaderMap {
    fields(&[
        (UPGRADE, "WebSocket"),
        (CONNECTION, "keep-alive, upgrade"),
        (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        (SEC_WEBSOCKET_PROTOCOL, "chat, superchat"),
        (SEC_WEBSOCKET_VERSION, "13"),
    ])
}

fn fields(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn check(headers: &HeaderMap) -> Result<Opening, Refusal> {
    Opening::check(&Method::GET, Version::HTTP_11, headers, false)
}

/// §1.3, §4.2.2.
#[test]
fn the_request_of_the_rfc_is_accepted() {
    let opening = check(&request()).unwrap();
    assert!(opening.offers("chat") && !opening.offers("Chat"));
    assert_eq!(opening.protocols().collect::<Vec<_>>(), ["chat", "superchat"]);
    let (status, headers) = opening.accept(Some("chat"), opening.deflate());
    assert_eq!(status, StatusCode::SWITCHING_PROTOCOLS);
    let expected = fields(&[
        (UPGRADE, "websocket"),
        (CONNECTION, "Upgrade"),
        (SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (SEC_WEBSOCKET_PROTOCOL, "chat"),
    ]);
    assert_eq!(headers, expected);
}

/// RFC 8441 §5.1: there is no key, no `Upgrade`, and the answer is 200.
#[test]
fn a_request_over_http2_is_accepted() {
    let mut headers = fields(&[(SEC_WEBSOCKET_VERSION, "13")]);
    headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("permessage-deflate"));
    let opening = Opening::check(&Method::CONNECT, Version::HTTP_2, &headers, true).unwrap();
    let (status, answer) = opening.accept(None, opening.deflate());
    assert_eq!(status, StatusCode::OK);
    let deflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(answer, fields(&[(SEC_WEBSOCKET_EXTENSIONS, deflate)]));
    let without = Opening::check(&Method::CONNECT, Version::HTTP_2, &HeaderMap::new(), true);
    assert_eq!(without, Err(Refusal::Version));
}

/// §4.2.1.
#[test]
fn what_is_missing_or_wrong_is_told() {
    for (name, value, refusal, status) in [
        (UPGRADE, None, Refusal::Upgrade, 426),
        (UPGRADE, Some("h2c, websockets"), Refusal::Upgrade, 426),
        (CONNECTION, None, Refusal::Connection, 400),
        (CONNECTION, Some("keep-alive"), Refusal::Connection, 400),
        (SEC_WEBSOCKET_VERSION, None, Refusal::Version, 426),
        (SEC_WEBSOCKET_VERSION, Some("8"), Refusal::Version, 426),
        (SEC_WEBSOCKET_KEY, None, Refusal::Key, 400),
        (SEC_WEBSOCKET_KEY, Some(""), Refusal::Key, 400),
        (SEC_WEBSOCKET_KEY, Some("dGhlIHNhbXBsZSBub25jZQ"), Refusal::Key, 400),
        (SEC_WEBSOCKET_KEY, Some("dGhlIHNhbXBsZSBub25jZXM="), Refusal::Key, 400),
        (SEC_WEBSOCKET_PROTOCOL, Some("chat, chat"), Refusal::Protocols, 400),
        (SEC_WEBSOCKET_PROTOCOL, Some("a b"), Refusal::Protocols, 400),
        (SEC_WEBSOCKET_EXTENSIONS, Some("a; =b"), Refusal::Extensions, 400),
    ] {
        let mut headers = request();
        match value {
            Some(value) => drop(headers.insert(name.clone(), HeaderValue::from_static(value))),
            None => drop(headers.remove(&name)),
        }
        assert_eq!(check(&headers), Err(refusal), "{name}: {value:?}");
        assert_eq!(refusal.status(), status);
    }
    let mut twice = request();
    twice.append(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(check(&twice), Err(Refusal::Key));
    let post = Opening::check(&Method::POST, Version::HTTP_11, &request(), false);
    assert_eq!(post, Err(Refusal::Method));
    let old = Opening::check(&Method::GET, Version::HTTP_10, &request(), false);
    assert_eq!(old, Err(Refusal::HttpVersion));
}

/// §4.4: which version would do.
#[test]
fn a_refusal_says_what_would_do() {
    assert_eq!(Refusal::Version.headers()[SEC_WEBSOCKET_VERSION], "13");
    assert_eq!(Refusal::Upgrade.headers()[UPGRADE], "websocket");
    assert_eq!(Refusal::Method.headers()[ALLOW], "GET");
    assert!(Refusal::Key.headers().is_empty());
}

#[test]
fn client_and_server_agree() {
    for deflate in [false, true] {
        let client = ClientOpening::new([7; 16], "tidings.v1", deflate);
        let opening = check(&client.headers()).unwrap();
        let (status, answer) = opening.accept(Some("tidings.v1"), opening.deflate());
        let accepted = client.check(status, &answer).unwrap();
        assert!(accepted.has_protocol);
        assert_eq!(accepted.deflate.is_some(), deflate);
        // The server need not.
        let (status, answer) = opening.accept(None, None);
        let accepted = client.check(status, &answer).unwrap();
        assert!(!accepted.has_protocol && accepted.deflate.is_none());
    }
}

/// §4.1: what fails a client's handshake.
#[test]
fn a_client_takes_no_other_answer() {
    let client = ClientOpening::new([7; 16], "tidings.v1", true);
    let opening = check(&client.headers()).unwrap();
    let (status, answer) = opening.accept(Some("tidings.v1"), opening.deflate());
    assert_eq!(client.check(StatusCode::OK, &answer), Err(Refused::Status(StatusCode::OK)));
    let other = ClientOpening::new([8; 16], "tidings.v1", true);
    assert_eq!(other.check(status, &answer), Err(Refused::Accept));
    for (name, value, refused) in [
        (UPGRADE, "h2c", Refused::Upgrade),
        (CONNECTION, "close", Refused::Upgrade),
        (SEC_WEBSOCKET_PROTOCOL, "other", Refused::Protocol),
        (SEC_WEBSOCKET_EXTENSIONS, "other", Refused::Extension),
        // With its context, a client would have to keep an inflater.
        (SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate", Refused::Extension),
        (SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate, other", Refused::Extension),
        (
            SEC_WEBSOCKET_EXTENSIONS,
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
            Refused::Extension,
        ),
    ] {
        let mut wrong = answer.clone();
        wrong.insert(name, HeaderValue::from_static(value));
        assert_eq!(client.check(status, &wrong), Err(refused), "{value}");
    }
    let unasked = ClientOpening::new([7; 16], "tidings.v1", false);
    assert_eq!(unasked.check(status, &answer), Err(Refused::Extension));
}
