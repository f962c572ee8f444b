//! Publications whose body is packed (RFC 9110 §8.4).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::support::{Answer, H2, Request, Running, Setup};

/// Something that packs well.
fn text(bytes: usize) -> String {
    "0123456789abcdef".repeat(bytes / 16)
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// As a program packs that does not know beforehand how much there is, with a window larger than what it packs.
fn zstd(data: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 19).unwrap();
    encoder.window_log(27).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

type Pack = fn(&[u8]) -> Vec<u8>;
const CODINGS: [(&str, Pack); 4] = [("gzip", gzip), ("X-GZip", gzip), ("deflate", deflate), ("zstd", zstd)];

fn post(target: &str, coding: &str, body: impl AsRef<[u8]>) -> Request {
    Request::post(target, body).header("content-encoding", coding)
}

#[tokio::test]
async fn a_body_is_unpacked() {
    let hub = Running::start().await;
    let large = text(300_000);
    for (coding, pack) in CODINGS {
        for data in ["x", "{\"a\": 1}", &large] {
            let id = hub.ask(post("/topics/a", coding, pack(data.as_bytes()))).await.id();
            let page = hub.poll("/topics/a?since=-1").await;
            assert_eq!((&page.next, page.events[0].bytes().as_ref()), (&id, data.as_bytes()), "{coding}");
        }
        let json = post("/topics/j", coding, pack(b"{\"n\": 1.50}")).json();
        hub.ask(json).await.id();
        assert_eq!(hub.poll("/topics/j?since=-1").await.events[0].data.get(), "{\"n\": 1.50}");
        let lines = post("/topics/l", coding, pack(b"{\"data\":1}\n{\"data\":2}\n")).ndjson();
        assert_eq!(hub.ask(lines).await.ids().len(), 2);
        let array = post("/events", coding, pack(b"[{\"topic\":\"b\",\"data\":1}]")).json();
        assert_eq!(hub.ask(array).await.ids().len(), 1);
        // What is in it is checked as ever.
        hub.ask(post("/topics/a", coding, pack(b"{")).json()).await.problem(400, "invalid-data");
        hub.ask(post("/topics/a", coding, pack(b"\xff"))).await.problem(400, "invalid-data");
        let mut h2 = H2::connect(hub.address).await;
        let (status, _) = h2.ask("POST", "/topics/a", &[("content-encoding", coding)], pack(b"x")).await;
        assert_eq!(status, 201, "{coding}");
    }
    // The same key again, however it is packed.
    let id = hub.ask(Request::post("/topics/a", "k").key("k")).await.id();
    let again = hub.ask(post("/topics/a", "gzip", gzip(b"k")).key("k")).await;
    assert_eq!((again.status(), again.json()["id"].as_str()), (200, Some(&*id)));
    for coding in ["identity", "", ", ,"] {
        hub.ask(post("/topics/a", coding, "plain")).await.id();
    }
    hub.ask(post("/topics/a", " , gzip,identity", gzip(b"listed"))).await.id();
    assert_eq!(hub.read("/topics/a?since=-1").await, ["listed"]);
    // Nothing is nothing, and ends the topic.
    hub.ask(post("/topics/a?close=true", "gzip", "")).await.id();
    hub.ask(post("/topics/b?close=true", "gzip", gzip(b""))).await.id();
}

#[tokio::test]
async fn a_coding_that_is_not_known_is_refused_with_those_that_are() {
    let hub = Running::start().await;
    let refused = |answer: Answer| {
        answer.problem(415, "unsupported-media-type");
        assert_eq!(answer.header("accept-encoding"), Some("gzip, deflate, zstd"));
    };
    for coding in ["br", "compress", "gzip, gzip", "gzip, zstd", "x", "gzip;q=1", "aws-chunked"] {
        refused(hub.ask(post("/topics/a", coding, gzip(b"x"))).await);
        refused(hub.ask(post("/events", coding, gzip(b"[]")).json()).await);
    }
    refused(hub.ask(post("/topics/a", "gzip", gzip(b"x")).header("content-encoding", "gzip")).await);
    assert_eq!(hub.hub.latest(), 0);
}

#[tokio::test]
async fn what_is_not_packed_as_it_says_is_refused() {
    let hub = Running::start().await;
    for (coding, pack) in CODINGS {
        let whole = pack(text(100_000).as_bytes());
        let cut = &whole[..whole.len() - 1];
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x55;
        let followed = [&whole[..], b"more"].concat();
        for body in [b"plain".as_slice(), cut, &damaged, &followed] {
            let answer = hub.ask(post("/topics/a", coding, body)).await;
            assert!(answer.problem(400, "invalid-data").contains("Content-Encoding"), "{coding}");
        }
    }
    assert_eq!(hub.hub.latest(), 0);
}

#[tokio::test]
async fn what_unpacks_to_more_than_may_be_is_refused() {
    let mut setup = Setup::new();
    (setup.http.max_event_bytes, setup.http.max_batch_bytes) = (100_000, 1_000_000);
    let hub = setup.start().await;
    for (coding, pack) in CODINGS {
        let exact = text(100_000);
        hub.ask(post("/topics/a", coding, pack(exact.as_bytes()))).await.id();
        for bytes in [100_016, 64 << 20] {
            let answer = hub.ask(post("/topics/a", coding, pack(text(bytes).as_bytes()))).await;
            answer.problem(413, "event-too-large");
        }
        let lines = format!("{{\"data\":1}}\n{}", " ".repeat(64 << 20));
        hub.ask(post("/topics/a", coding, pack(lines.as_bytes())).ndjson())
            .await
            .problem(413, "event-too-large");
        hub.ask(post("/events", coding, pack(lines.as_bytes())).ndjson())
            .await
            .problem(413, "event-too-large");
    }
    assert_eq!(hub.hub.latest(), CODINGS.len() as u64);
}
