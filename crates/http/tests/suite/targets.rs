//! Targets and hosts (RFC 9112 §3.2, RFC 9113 §8.3.1): what somebody on the way may understand otherwise is refused, and
//! in words where it came to be understood at all.

use axum::Router;
use tidings_http::Api;
use tokio::net::TcpListener;

use crate::support::frames::{Frames, HEADERS, RST_STREAM};
use crate::support::{H2, Request, Running, Setup, Wire};

/// Hosts that are none.
const NO_HOSTS: [&str; 12] = [
    "",
    ":80",
    "a b",
    "a,b c",
    "user@hub",
    "hub/topics",
    "hub?x",
    "hub:port",
    "hub:65536",
    "[::1",
    "[hub]",
    "h%zzb",
];
const HOSTS: [&str; 6] = ["hub", "HUB.example.:8080", "127.0.0.1", "[::1]:80", "a_b", "hub:"];

async fn ask(hub: &Running, head: &str) -> (u16, String) {
    let mut wire = hub.connect().await;
    wire.send(format!("{head}\r\n\r\n")).await;
    let answer = wire.answer(false).await;
    if answer.status() == 400 {
        answer.problem(400, "invalid-query");
        assert_eq!(answer.header("connection"), Some("close"), "{head}");
        assert_eq!(wire.rest().await, b"", "{head}");
    }
    (answer.status(), String::from_utf8(answer.body).unwrap())
}

#[tokio::test]
async fn a_host_is_a_host() {
    let hub = Running::start().await;
    for target in ["/topics/a", "http://hub/topics/a", "/healthz"] {
        for host in NO_HOSTS {
            let (status, text) = ask(&hub, &format!("GET {target} HTTP/1.1\r\nhost: {host}")).await;
            assert_eq!(status, 400, "{target} of {host:?}: {text}");
        }
        for host in HOSTS {
            let (status, text) = ask(&hub, &format!("GET {target} HTTP/1.1\r\nHost: {host}")).await;
            assert_eq!(status, 200, "{target} of {host:?}: {text}");
        }
        assert_eq!(ask(&hub, &format!("GET {target} HTTP/1.1\r\nx: y")).await.0, 400);
        assert_eq!(ask(&hub, &format!("GET {target} HTTP/1.0\r\nx: y")).await.0, 200);
        assert_eq!(ask(&hub, &format!("GET {target} HTTP/1.0\r\nhost: a b")).await.0, 400);
    }
    let (status, text) = ask(&hub, "GET http://user@hub/topics/a HTTP/1.1\r\nhost: hub").await;
    assert_eq!(status, 400, "{text}");
}

#[tokio::test]
async fn over_http2_authority_and_host_agree() {
    let hub = Running::start().await;
    let mut h2 = H2::connect(hub.address).await;
    for (host, status) in
        [("hub", 200), ("HUB", 200), ("other", 400), ("hub:80", 400), ("a b", 400), ("", 400)]
    {
        let (came, text) = h2.ask("GET", "/topics/a", &[("host", host)], "").await;
        assert_eq!(came, status, "{host:?}: {text}");
    }
    let (came, _) = h2.ask("GET", "/topics/a", &[("host", "hub"), ("host", "hub")], "").await;
    assert_eq!(came, 400);
}

/// A request over HTTP/2 with nothing but these pseudo-fields, as literals that nobody keeps.
fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name.as_bytes(), value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text);
        }
    }
    block
}

/// Whether a request over HTTP/2 with this target or host is refused: by an answer, or by giving its stream up.
async fn is_refused(hub: &Running, fields: &[(&str, &[u8])]) -> bool {
    let mut frames = Frames::connect(hub.address, &[]).await;
    let common: [(&str, &[u8]); 2] = [(":method", b"GET"), (":scheme", b"http")];
    let fields: Vec<_> = common.into_iter().chain(fields.iter().copied()).collect();
    frames.send(&crate::support::frames::frame(HEADERS, 5, 1, &block(&fields))).await.unwrap();
    loop {
        match frames.next().await.expect("an answer") {
            frame if frame.kind == RST_STREAM => return true,
            // The status is one of the static table: 200 is 0x88, and 400 is 0x8c.
            frame if frame.kind == HEADERS => return frame.payload[0] == 0x8c,
            _ => {}
        }
    }
}

#[tokio::test]
async fn over_http2_a_request_names_a_host() {
    let hub = Running::start().await;
    let path: (&str, &[u8]) = (":path", b"/topics/a");
    assert!(!is_refused(&hub, &[path, (":authority", b"hub")]).await);
    assert!(!is_refused(&hub, &[path, ("host", b"hub")]).await);
    assert!(is_refused(&hub, &[path]).await);
    for host in NO_HOSTS {
        assert!(is_refused(&hub, &[path, (":authority", host.as_bytes())]).await, "{host:?}");
        assert!(is_refused(&hub, &[path, ("host", host.as_bytes())]).await, "{host:?}");
    }
}

#[tokio::test]
async fn a_target_is_written_in_the_characters_that_targets_have() {
    let hub = Running::start().await;
    for target in
        ["/topics/a b", "/topics/a\tb", "/topics/a\u{1}", "/topics/a\u{7f}", "/topics/\u{fc}", "*", ""]
    {
        let mut wire = hub.connect().await;
        wire.send(format!("GET {target} HTTP/1.1\r\nhost: hub\r\n\r\n")).await;
        assert_eq!(wire.answer(false).await.status(), 400, "{target:?}");
        let fields: [(&str, &[u8]); 2] = [(":authority", b"hub"), (":path", target.as_bytes())];
        assert!(is_refused(&hub, &fields).await, "{target:?}");
    }
    for path in ["/topics/\u{fc}", "/events?topic=\u{fc}"] {
        let (_, text) = ask(&hub, &format!("GET {path} HTTP/1.1\r\nhost: hub")).await;
        assert!(text.contains("percent-encoded"), "{text}");
        let (status, text) = H2::connect(hub.address).await.ask("GET", path, &[], "").await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("percent-encoded"), "{text}");
    }
}

#[tokio::test]
async fn a_raw_hash_cuts_no_target() {
    let hub = Running::start().await;
    for target in ["/topics/a#b", "/topics/a#", "/topics/a?event=x#b", "/topics/#a", "http://hub/topics/a#b"]
    {
        let (status, text) = ask(&hub, &format!("GET {target} HTTP/1.1\r\nhost: hub")).await;
        assert!(status == 400 && text.contains("%23"), "{target}: {text}");
        let post = Request::post(target, "x");
        hub.ask(post.clone()).await.problem(400, "invalid-query");
        // Whatever came before it on its connection, and however it comes.
        let mut wire = hub.connect().await;
        wire.send([Request::get("/healthz").bytes(), post.bytes(), post.bytes()].concat()).await;
        assert_eq!(wire.answer(false).await.status(), 200);
        wire.answer(false).await.problem(400, "invalid-query");
        assert_eq!(wire.rest().await, b"");
        let mut wire = hub.connect().await;
        for byte in post.bytes() {
            wire.send([byte]).await;
        }
        wire.answer(false).await.problem(400, "invalid-query");
        // After a poll that was held.
        let mut wire = hub.connect().await;
        wire.ask(&Request::get("/topics/a?wait=20ms")).await.page();
        wire.ask(&post).await.problem(400, "invalid-query");
    }
    // Elsewhere it is a character like others.
    let id = hub.ask(Request::post("/topics/a%23b", "# x").header("x", "#")).await.id();
    assert_eq!(id, hub.cursor(1));
    assert_eq!(hub.read("/topics/a%23b").await, ["# x"]);
}

#[tokio::test]
async fn blanks_around_a_value_are_no_part_of_it() {
    let hub = Running::start().await;
    let first = hub.ask(Request::post("/topics/a", "x").key("k")).await.id();
    let again = hub.ask(Request::post("/topics/a", "x").key(" \t k \t ")).await;
    assert_eq!((again.status(), again.json()["id"].as_str()), (200, Some(first.as_str())));
    let mut h2 = H2::connect(hub.address).await;
    for key in [" k", "k ", "\tk", "k\t"] {
        let (status, text) = h2.ask("POST", "/topics/a", &[("idempotency-key", key)], "x").await;
        assert!(status == 400 && text.contains("idempotency-key"), "{key:?}: {text}");
    }
    assert_eq!(h2.ask("POST", "/topics/a", &[("idempotency-key", "k")], "x").await.0, 200);
}

#[tokio::test]
async fn a_router_in_another_program_is_as_strict_where_it_can_be() {
    let api = Api::builder(Setup::new().hub(), Setup::new().http).open_to_everyone().build();
    let app = Router::new().nest("/push", api.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, app).await }));
    for (head, status) in [
        ("GET /push/topics/a HTTP/1.1\r\nhost: a b", 400),
        ("GET /push/topics/a HTTP/1.1\r\nhost: hub\r\nhost: hub", 400),
        ("GET /push/topics/\u{fc} HTTP/1.1\r\nhost: hub", 400),
        ("GET /push/topics/a HTTP/1.1\r\nhost: hub", 200),
    ] {
        let mut wire = Wire::connect(address).await;
        wire.send(format!("{head}\r\n\r\n")).await;
        assert_eq!(wire.answer(false).await.status(), status, "{head}");
    }
    let mut h2 = H2::connect(address).await;
    let (status, _) = h2.ask("GET", "/push/topics/a", &[("host", "other")], "").await;
    assert_eq!(status, 400);
}
