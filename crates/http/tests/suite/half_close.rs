//! RFC 9112 §9.6: a client that has sent its request may stop sending, and gets its answer whole. What is held or streamed
//! ends: its client may have left.

use std::sync::Arc;

use rustix::net::{Shutdown, shutdown};
use tidings_http::Cleartext;
use tidings_hub::Hub;
use tidings_log::{DiskConfig, DiskLog, Log};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, frame, get};
use crate::support::{Answer, Authority, Request, Running, Setup, Wire, eventually, texts, within};

/// How a client says that it sends nothing more.
#[derive(Debug, Clone, Copy)]
enum End {
    /// In clear.
    Fin,
    /// Over TLS, with the alert that says so.
    CloseNotify,
    /// Over TLS, without it.
    Cut,
}

const ENDS: [End; 3] = [End::Fin, End::CloseNotify, End::Cut];
const TIMES: usize = 20;

struct Hubs {
    authority: Authority,
    _folder: tempfile::TempDir,
    running: Vec<Running>,
}

impl Hubs {
    /// One over memory, and one over a disk, which takes its time.
    async fn start() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let disk = DiskLog::open(folder.path().join("log"), DiskConfig::default()).unwrap();
        let logs: [Arc<dyn Log>; 2] = [Arc::new(Setup::new().log()), Arc::new(disk)];
        let mut running = Vec::new();
        for (number, log) in (1..).zip(logs) {
            let mut setup = Setup::new();
            // What is read is read from the log.
            setup.hub.tail_bytes = 1;
            setup.tls = Some((authority.issue("hub", number).open(), Cleartext::Loopback));
            running.push(setup.clone().start_over(Hub::new(log, setup.hub)).await);
        }
        Self { authority, _folder: folder, running }
    }

    /// Sends bytes, and that nothing will follow.
    async fn send(&self, hub: &Running, end: End, bytes: &[u8]) -> Wire {
        async fn write(mut socket: impl AsyncWrite + Unpin, bytes: &[u8]) {
            within(async { socket.write_all(bytes).await.and(socket.flush().await) }).await.unwrap();
        }
        if matches!(end, End::Fin) {
            let mut socket = TcpStream::connect(hub.address).await.unwrap();
            write(&mut socket, bytes).await;
            shutdown(&socket, Shutdown::Write).unwrap();
            return Wire::over(socket);
        }
        let mut socket = self.authority.connect(hub.address, "http/1.1").await;
        write(&mut socket, bytes).await;
        if matches!(end, End::Cut) {
            shutdown(socket.get_ref().0, Shutdown::Write).unwrap();
        } else {
            socket.shutdown().await.unwrap();
        }
        Wire::over(socket)
    }

    async fn ask(&self, hub: &Running, end: End, request: &Request) -> Answer {
        let mut wire = self.send(hub, end, &request.bytes()).await;
        let answer = wire.answer(false).await;
        assert_eq!(wire.rest().await, b"", "it ends with its answer");
        answer
    }
}

#[tokio::test]
async fn every_request_is_answered_whole() {
    let hubs = Hubs::start().await;
    for hub in &hubs.running {
        // Each of these is six bytes of JSON.
        let data = "\u{1}".repeat(1 << 20);
        hub.publish("large", &data).await;
        for end in ENDS {
            for time in 0..TIMES {
                let topic = format!("/topics/{end:?}");
                hubs.ask(hub, end, &Request::post(&topic, time.to_string())).await.id();
                let page = hubs.ask(hub, end, &Request::get(&topic)).await.page();
                assert_eq!(page.events.len(), time + 1);
                // There is something, so it is not held.
                let held = format!("{topic}?since=-1&wait=60");
                assert_eq!(texts(&hubs.ask(hub, end, &Request::get(&held)).await.page()), [time.to_string()]);
            }
            for _ in 0..3 {
                let answer = hubs.ask(hub, end, &Request::get("/topics/large")).await;
                assert!(answer.body.len() > 6 << 20, "{}", answer.body.len());
                assert_eq!(texts(&answer.page()), [&*data]);
            }
            let listed = hubs.ask(hub, end, &Request::get("/topics")).await;
            assert_eq!(listed.status(), 200);
            assert_eq!(hubs.ask(hub, end, &Request::get("/nowhere")).await.status(), 404);
        }
    }
}

#[tokio::test]
async fn requests_that_came_at_once_are_all_answered() {
    let hubs = Hubs::start().await;
    for hub in &hubs.running {
        for end in ENDS {
            let requests: Vec<_> = (0..5)
                .flat_map(|n| [Request::post("/topics/a", n.to_string()), Request::get("/topics/a?since=-1")])
                .flat_map(|request| request.bytes())
                .collect();
            let mut wire = hubs.send(hub, end, &requests).await;
            for number in 0..5 {
                wire.answer(false).await.id();
                assert_eq!(texts(&wire.answer(false).await.page()), [number.to_string()]);
            }
            assert_eq!(wire.rest().await, b"");
        }
    }
}

/// A poll that is known by its bytes is answered where it is parked.
#[tokio::test]
async fn a_repeated_poll_is_answered_whole() {
    let hubs = Hubs::start().await;
    for hub in &hubs.running {
        let data = "\u{1}".repeat(1 << 20);
        for _ in 0..5 {
            let cursor = hub.publish("start", "x").await;
            let poll = |cursor: &str| Request::get(&format!("/topics/a?wait=60&since={cursor}")).bytes();
            let mut socket = TcpStream::connect(hub.address).await.unwrap();
            socket.write_all(&poll(&cursor)).await.unwrap();
            hub.waiting("a", 1).await;
            hub.publish("a", &data).await;
            let known = hub.metric("tidings_repeated_polls_total").await;
            let mut wire = Wire::over(socket);
            wire.answer(false).await.page();
            hub.waiting("a", 0).await;
            wire.send(poll(&cursor)).await;
            wire.finish_sending().await;
            let page = wire.answer(false).await.page();
            assert_eq!(texts(&page), [&*data]);
            assert_eq!(wire.rest().await, b"");
            assert_eq!(hub.metric("tidings_repeated_polls_total").await, known + 1);
        }
    }
}

#[tokio::test]
async fn what_is_held_or_streamed_ends() {
    let hubs = Hubs::start().await;
    for hub in &hubs.running {
        for end in ENDS {
            for request in [
                Request::get("/topics/a?wait=60"),
                // These are not parked.
                Request::get("/topics/a?wait=60").header("if-none-match", "\"x\""),
                Request::stream("/topics/a"),
                Request::lines("/topics/a"),
            ] {
                let mut wire = hubs.send(hub, end, &request.bytes()).await;
                wire.rest().await;
                hub.waiting("a", 0).await;
            }
        }
        for transport in ["sse", "ndjson", "long-poll"] {
            hub.readers(transport, 0).await;
        }
    }
}

/// It cannot be answered, and nobody waits for the rest.
#[tokio::test]
async fn a_request_that_is_cut_off_ends() {
    let hubs = Hubs::start().await;
    let hub = &hubs.running[0];
    for end in ENDS {
        for bytes in [
            &b"GET /topics/a HT"[..],
            b"GET /topics/a HTTP/1.1\r\nhost: hub\r\n",
            b"POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 10\r\n\r\nabc",
            b"POST /topics/a HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ] {
            hubs.send(hub, end, bytes).await.rest().await;
        }
    }
    assert!(hub.read("/topics/a").await.is_empty());
    eventually("they are gone", async || hub.metric("tidings_connections").await <= 1).await;
}

/// What ends a stream of HTTP/2 for its client is the end of its request, as of every one (RFC 9113 §8.1). A client that
/// says that it opens no more streams (§6.8), or stops sending at all, gets what it asked for before, as far as its
/// windows allow.
#[tokio::test]
async fn over_http_2_answers_are_finished_too() {
    let hubs = Hubs::start().await;
    for hub in &hubs.running {
        hub.publish("a", "some data").await;
        for goes_away in [false, true] {
            for _ in 0..TIMES {
                let mut frames = Frames::connect(hub.address, &[]).await;
                let mut post = get("/topics/b", &[]);
                post[0] = POST;
                let mut bytes = [
                    frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/topics/a", &[])),
                    frame(HEADERS, END_HEADERS, 3, &post),
                    frame(DATA, END_STREAM, 3, b"x"),
                ]
                .concat();
                if goes_away {
                    bytes.extend(frame(GOAWAY, 0, 0, &[0; 8]));
                }
                frames.send(&bytes).await.unwrap();
                frames.finish_sending();
                let (mut page, mut id, mut ends) = (Vec::new(), Vec::new(), 0);
                while let Some(next) = within(frames.next()).await {
                    match (next.kind, next.stream) {
                        (DATA, 1) => page.extend(&next.payload),
                        (DATA, 3) => id.extend(&next.payload),
                        _ => {}
                    }
                    ends += u8::from(next.kind == DATA && next.flags & END_STREAM != 0);
                }
                let (page, id) = (String::from_utf8(page).unwrap(), String::from_utf8(id).unwrap());
                assert!(page.contains("some data") && id.contains("\"id\""), "{page} {id}");
                assert_eq!(ends, 2);
            }
        }
    }
}

const DATA: u8 = 0;
/// The entry of HPACK's table for the method.
const POST: u8 = 0x83;
