//! Requests that somebody on the way may understand otherwise. Each is refused, and what follows it on its connection is
//! not looked at: not on a new connection, and not on one that was parked and came back.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::{Request, Running, Wire};

/// A publication that nobody may make out in what is sent.
const SMUGGLED: &str = "POST /topics/smuggled HTTP/1.1\r\nhost: hub\r\ncontent-length: 1\r\n\r\nx";

/// Fields that say how long a body is in a way that is not beyond doubt.
const FRAMINGS: [&str; 21] = [
    "content-length: 3\r\ntransfer-encoding: chunked\r\n",
    "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
    "Content-Length: 3\r\nx: y\r\nTRANSFER-ENCODING: chunked\r\n",
    "content-length: 3\r\ncontent-length: 4\r\n",
    "content-length: 3\r\ncontent-length: 3\r\n",
    "content-length: 3, 3\r\n",
    "content-length: +3\r\n",
    "content-length: -3\r\n",
    "content-length: 0x3\r\n",
    "content-length: 3 3\r\n",
    "content-length:\r\n",
    "content-length: 18446744073709551616\r\n",
    "content-length : 3\r\n",
    "transfer-encoding: chunked, identity\r\n",
    "transfer-encoding: identity\r\n",
    "transfer-encoding: xchunked\r\n",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    "transfer-encoding: \u{b}chunked\r\n",
    "transfer-encoding : chunked\r\n",
    "transfer-encoding:\r\n chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
];

/// Heads that are not what a head is.
const HEADS: [&str; 18] = [
    "POST /topics/a HTTP/1.1\nhost: hub\ncontent-length: 3\n\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 3\r\n\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\nx: y\rcontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\nx: y\r\n z\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\n host: hub\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\nx y\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\n: y\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\nx: \0\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\nx\0: y\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\nhost: hub\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1\r\nhost: hub\r\nHost: other\r\ncontent-length: 3\r\n\r\n",
    "POST  /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a  HTTP/1.1\r\nhost: hub\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a b HTTP/1.1\r\nhost: hub\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.1 \r\nhost: hub\r\ncontent-length: 3\r\n\r\n",
    "POST /topics/a HTTP/1.0\r\nhost: hub\r\ntransfer-encoding: chunked\r\n\r\n",
];

/// Bodies in chunks that are not what chunks are.
const CHUNKS: [&str; 15] = [
    "0x3\r\nabc\r\n0\r\n\r\n",
    "+3\r\nabc\r\n0\r\n\r\n",
    "-3\r\nabc\r\n0\r\n\r\n",
    " 3\r\nabc\r\n0\r\n\r\n",
    "\r\nabc\r\n0\r\n\r\n",
    "g\r\nabc\r\n0\r\n\r\n",
    "3\nabc\r\n0\r\n\r\n",
    "3\r\nabc\n0\r\n\r\n",
    "3\r\nabcd\r\n0\r\n\r\n",
    "3;x\nabc\r\n0\r\n\r\n",
    "10000000000000003\r\nabc\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\r\n0\r\nx y\r\n\r\n",
    "3\r\nabc\r\n0\r\nx: y\n\r\n",
    "3\r\nabc\r\n0\r\nx: y\r\n z\r\n\r\n",
];

fn requests() -> impl Iterator<Item = String> {
    let start = "POST /topics/a HTTP/1.1\r\nhost: hub\r\n";
    let framings =
        FRAMINGS.iter().map(move |fields| format!("{start}{fields}\r\n3\r\nabc\r\n0\r\n\r\n{SMUGGLED}"));
    let heads = HEADS.iter().map(|head| format!("{head}abc{SMUGGLED}"));
    let chunks =
        CHUNKS.iter().map(move |body| format!("{start}transfer-encoding: chunked\r\n\r\n{body}{SMUGGLED}"));
    framings.chain(heads).chain(chunks)
}

/// One answer, that the request was bad, and the end of the connection.
async fn is_refused(hub: &Running, wire: &mut Wire, request: &str) {
    let Ok(rest) = timeout(Duration::from_secs(5), wire.rest()).await else {
        panic!("{request:?} left the connection open")
    };
    let answers = String::from_utf8(rest).unwrap();
    assert!(answers.starts_with("HTTP/1.1 400 "), "{request:?} was answered with {answers:?}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{request:?} was answered with {answers:?}");
    for topic in ["a", "smuggled"] {
        let page = hub.poll(&format!("/topics/{topic}")).await;
        assert!(page.events.is_empty(), "{request:?} published to {topic}");
    }
}

#[tokio::test]
async fn on_a_new_connection() {
    let hub = Running::start().await;
    for request in requests() {
        let mut wire = hub.connect().await;
        // It may be closed before it has taken everything.
        drop(wire.try_send(&request).await);
        is_refused(&hub, &mut wire, &request).await;
    }
}

#[tokio::test]
async fn byte_by_byte() {
    let hub = Running::start().await;
    for request in requests() {
        let mut wire = hub.connect().await;
        for byte in request.bytes() {
            if wire.try_send([byte]).await.is_err() {
                break;
            }
        }
        is_refused(&hub, &mut wire, &request).await;
    }
}

#[tokio::test]
async fn after_requests_with_and_without_bodies() {
    let hub = Running::start().await;
    for request in requests() {
        let mut wire = hub.connect().await;
        let before = [
            Request::get("/healthz").bytes(),
            Request::post("/topics/b", "12345").bytes(),
            b"POST /topics/b HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n".to_vec(),
            b"POST /topics/b HTTP/1.1\r\nhost: hub\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n".to_vec(),
        ];
        // Also where everything comes at once.
        drop(wire.try_send([&before.concat()[..], request.as_bytes()].concat()).await);
        for status in [200, 201, 201, 201] {
            assert_eq!(wire.answer(false).await.status(), status);
        }
        is_refused(&hub, &mut wire, &request).await;
    }
}

#[tokio::test]
async fn on_a_connection_that_was_parked() {
    let hub = Running::start().await;
    for request in requests() {
        for held in [false, true] {
            let mut wire = hub.connect().await;
            let poll =
                Request::get(&format!("/topics/b?wait=30&since={}", hub.cursor(hub.hub.latest()))).bytes();
            wire.send(&poll).await;
            hub.waiting("b", 1).await;
            if held {
                drop(wire.try_send(&request).await);
            }
            hub.publish("b", "x").await;
            assert_eq!(wire.answer(false).await.page().events.len(), 1);
            if !held {
                drop(wire.try_send(&request).await);
            }
            is_refused(&hub, &mut wire, &request).await;
        }
    }
}

#[tokio::test]
async fn what_is_unusual_but_beyond_doubt_is_answered() {
    let hub = Running::start().await;
    for request in [
        "POST /topics/a HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\nabc",
        "POST /topics/a HTTP/1.1\r\nhost:hub\r\ncontent-length:\t3 \r\n\r\nabc",
        "POST /topics/a HTTP/1.1\r\nhost: hub\r\ntransfer-encoding:  Chunked\t\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "POST /topics/a HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n\r\n03;x=\"y\"\r\nabc\r\n00\r\nx: y\r\n\r\n",
        "\r\nPOST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 3\r\n\r\nabc",
        "POST /topics/a HTTP/1.1\r\nhost: hub\r\nx:\r\ncontent-length: 3\r\n\r\nabc",
        "POST http://hub/topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 3\r\n\r\nabc",
        "POST /topics/a HTTP/1.0\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
    ] {
        let mut wire = hub.connect().await;
        wire.send(request).await;
        let answer = wire.answer(false).await;
        assert_eq!(answer.status(), 201, "{request:?}: {}", answer.text());
        assert_eq!(wire.ask(&Request::get("/healthz")).await.text(), "ok\n", "{request:?}");
    }
}
