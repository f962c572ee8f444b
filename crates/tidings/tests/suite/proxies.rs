//! Behind the proxies that people have, as their packages configure them.

mod cache;
mod haproxy;
mod nginx;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tidings_event_stream::{Event, Item, Parser};
use tidings_websocket::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::websocket::Socket;
use crate::support::{Connection, Hub, Proxy, Version, within};

/// A stream through a proxy, as it comes.
struct Stream {
    body: Incoming,
    parser: Parser,
    items: std::collections::VecDeque<Item>,
    _connection: Connection,
}

// === impl Stream ===

impl Stream {
    async fn open(address: SocketAddr, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Request::get(path).header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let mut connection = Connection::open(address, Version::Http1).await.unwrap();
        let request = request.body(Full::default()).unwrap();
        let response = within("the head of a stream", connection.send(request)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body();
        Self { body, parser: Parser::new(), items: Default::default(), _connection: connection }
    }

    /// What the stream says next; `None` at its end.
    async fn item(&mut self) -> Option<Item> {
        while self.items.is_empty() {
            let frame = within("something on a stream", self.body.frame()).await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.parser.feed(&data, |item| self.items.push_back(item)).unwrap();
            }
        }
        self.items.pop_front()
    }

    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Item::Event(event) = self.item().await? {
                return Some(event);
            }
        }
    }
}

/// Nothing is held back, and nothing of what a stream needs is lost on the way.
async fn streams_pass(hub: &Hub, proxy: &Proxy) {
    let mut stream = Stream::open(proxy.address(), "/topics/a?heartbeat=1", None).await;
    // The head and the first block come while there is nothing to say.
    assert!(matches!(stream.item().await, Some(Item::Retry(_))));
    assert!(matches!(stream.item().await, Some(Item::Id(_))));
    // Each event comes without another after it, and a heartbeat without any.
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(hub.publish("a", number.to_string()).await.id);
        let event = stream.event().await.unwrap();
        assert_eq!((event.id.as_str(), event.data), (ids[number].as_str(), number.to_string()));
    }
    assert_eq!(stream.item().await, Some(Item::Comment));

    let mut again = Stream::open(proxy.address(), "/topics/a", Some(&ids[0])).await;
    assert_eq!(again.event().await.unwrap().id, ids[1]);
    assert_eq!(again.event().await.unwrap().id, ids[2]);
}

/// A WebSocket of a page of the hub's own opens, and nothing is held back on it.
async fn websockets_pass(hub: &Hub, proxy: &Proxy) {
    let connection = Connection::open(proxy.address(), Version::Http1).await.unwrap();
    let request = Request::get("/topics/socket?heartbeat=1").header("host", proxy.address().to_string());
    let request =
        request.header("origin", format!("http://{}", proxy.address())).body(Full::default()).unwrap();
    let opened = Socket::open(connection, Version::Http1, request, true);
    let mut socket = within("a WebSocket to open", opened).await.unwrap().unwrap();
    let mut hear = async || match within("a message", socket.next(usize::MAX)).await.unwrap() {
        Some(Message::Text(text)) => serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        other => panic!("{other:?} on a WebSocket"),
    };
    assert_eq!(hear().await["subscribed"], "");
    for number in 0..3 {
        let id = hub.publish("socket", number.to_string()).await.id;
        // There may be a heartbeat before it.
        let event = loop {
            let message = hear().await;
            if message.get("data").is_some() {
                break message;
            }
        };
        assert_eq!((event["id"].as_str(), event["data"].as_str()), (Some(&*id), Some(&*number.to_string())));
    }
    assert!(hear().await["next"].is_string());
}

/// A long poll is held, and answered with what it waited for.
async fn long_polls_pass(hub: &Hub, proxy: &Proxy) {
    let held = ask(proxy.address(), "/topics/polled?wait=30");
    let publish = async {
        hub_waits(hub, "polled").await;
        hub.publish("polled", "x").await
    };
    let (page, published) = tokio::join!(held, publish);
    assert_eq!(page["events"][0]["id"], published.id);
}

/// What a client wrote into `X-Forwarded-For` itself is not taken for its address, a token that it sent is in no line of
/// either log, and the metrics are not for it.
async fn clients_are_told_apart(hub: &Hub, proxy: &Proxy) {
    let forged = "/topics/forged?access_token=s3cret";
    assert_eq!(status_from_elsewhere(proxy, forged).await, 200);
    assert_eq!(status_from_elsewhere(proxy, "/metrics").await, 403);
    let line = async {
        loop {
            if let Some(line) = hub.log().lines().find(|line| line.contains("/topics/forged")) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let line = within("the request's line", line).await;
    assert!(line.contains("client=127.0.0.2"), "{line}");
    let own = std::fs::read_to_string(proxy.folder().join("tidings.log")).unwrap_or_default()
        + &std::fs::read_to_string(proxy.folder().join("tidings-error.log")).unwrap_or_default();
    assert!(!(proxy.log() + &own + &hub.log()).contains("s3cret"));
}

/// The settings that are handed out with the unit for systemd.
const HANDED_OUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd/tidings.toml");
/// Everybody may do everything, through this machine's proxy.
const OPEN: [&str; 9] = [
    "--trusted-proxies",
    "127.0.0.1",
    "--auth-anonymous-publish",
    "**",
    "--auth-anonymous-subscribe",
    "**",
    "--auth-anonymous-metrics",
    "--log-level",
    "tidings::access=debug",
];

/// Whoever is elsewhere gets nothing of a hub that was not told who may use it, nor does whoever asks from here.
async fn nobody_is_let_in(proxy: &Proxy) {
    for from in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST] {
        for (method, path) in [
            ("POST", "/topics/a"),
            ("POST", "/topics/a?close=true"),
            ("POST", "/events"),
            ("GET", "/topics/a"),
            ("GET", "/topics/a?wait=30"),
            ("GET", "/events?topic=**"),
            ("GET", "/topics"),
            ("GET", "/metrics"),
            ("GET", "/openapi.json"),
            ("GET", "/"),
        ] {
            let answer = answer_to(proxy, from, &format!("{method} {path}"), "Content-Length: 0\r\n").await;
            assert_eq!(status(&answer), 403, "{method} {path} from {from}: {answer}");
            // The metrics are refused to others by the proxies already.
            let is_told = answer.contains("urn:tidings:forbidden") && answer.contains("[auth.anonymous]");
            assert!(is_told || path == "/metrics", "{answer}");
        }
    }
}

/// While the hub is away, a native `EventSource` is not given an error, which would end it for good. Others are.
async fn streams_are_put_off(proxy: &Proxy, error: u16) {
    for (accept, expected) in [("text/event-stream", 200), ("application/json", error)] {
        let fields = format!("Accept: {accept}\r\nOrigin: https://app.example\r\n");
        let answer = answer_to(proxy, Ipv4Addr::LOCALHOST, "GET /topics/a", &fields).await;
        assert_eq!(status(&answer), expected, "{accept}: {answer}");
        let head = answer.to_lowercase();
        assert_eq!(head.contains("content-type: text/event-stream"), expected == 200, "{answer}");
        let shown = "access-control-allow-origin: https://app.example";
        assert_eq!(head.contains(shown), expected == 200, "{answer}");
    }
    let answer = answer_to(proxy, Ipv4Addr::LOCALHOST, "POST /topics/a", "Content-Length: 0\r\n").await;
    assert_eq!(status(&answer), error, "{answer}");
}

/// The hub knows by which name its proxy was asked, so its own pages may publish, and others may not.
async fn own_pages_publish(proxy: &Proxy) {
    let port = proxy.address().port();
    for (origin, expected) in [
        (format!("http://hub.example:{port}"), 201),
        (format!("http://hub.example:{}", port ^ 1), 403),
        (format!("https://hub.example:{port}"), 403),
        ("http://hub.example".into(), 403),
        ("null".into(), 403),
    ] {
        let fields = format!("Origin: {origin}\r\nContent-Length: 0\r\n");
        let answer = answer_to(proxy, Ipv4Addr::LOCALHOST, "POST /topics/own", &fields).await;
        assert_eq!(status(&answer), expected, "{origin}: {answer}");
    }
}

/// Asks from another address than the proxy's own, and claims a third.
async fn status_from_elsewhere(proxy: &Proxy, path: &str) -> u16 {
    let fields = "X-Forwarded-For: 192.0.2.1\r\n";
    status(&answer_to(proxy, Ipv4Addr::new(127, 0, 0, 2), &format!("GET {path}"), fields).await)
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
}

/// The whole answer to a request from an address of this machine.
async fn answer_to(proxy: &Proxy, from: Ipv4Addr, request: &str, fields: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let answered = async {
        let mut socket = socket.connect(proxy.address()).await.unwrap();
        let host = format!("hub.example:{}", proxy.address().port());
        let head = format!("{request} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    };
    within("an answer", answered).await
}

/// Waits until somebody waits for a topic's events.
async fn hub_waits(hub: &Hub, topic: &str) {
    let waits = async {
        while !hub.get("/metrics").await.text().contains("tidings_subscribers{transport=\"long-poll\"} 1") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(&format!("somebody to wait for {topic}"), waits).await;
}

async fn ask(address: SocketAddr, path: &str) -> serde_json::Value {
    let mut connection = Connection::open(address, Version::Http1).await.unwrap();
    let request = Request::get(path).body(Full::default()).unwrap();
    let answer = within("an answer", connection.ask(request)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

const STREAMS: usize = 20;
const POLLERS: usize = 10;
const RELOADS: usize = 3;
/// Events between two reloads.
const EVENTS: u64 = 100;

/// A proxy is reloaded again and again while events go through it: streams go on, and whoever polls or publishes may
/// find its connection closed between two requests, and tries again.
async fn a_reload_loses_nothing(proxy: &Proxy) {
    let address = proxy.address();
    let (published, mut counted) = watch::channel(0_u64);
    let mut readers = JoinSet::new();
    for _ in 0..STREAMS {
        let mut stream = Stream::open(address, "/topics/load?since=earliest", None).await;
        readers.spawn(async move {
            for number in 0..EVENTS * (RELOADS as u64 + 1) {
                let event = stream.event().await.expect("a reload cuts no stream");
                assert_eq!(event.data, number.to_string());
            }
        });
    }
    for _ in 0..POLLERS {
        readers.spawn(poll_all(address));
    }
    let publisher = tokio::spawn(publish_all(address, published));
    for reload in 1..=RELOADS as u64 {
        counted.wait_for(|count| *count >= reload * EVENTS).await.unwrap();
        proxy.reload().await;
    }
    within("the publisher to end", publisher).await.unwrap();
    while let Some(read) = within("the readers to end", readers.join_next()).await {
        read.unwrap();
    }
}

async fn publish_all(address: SocketAddr, published: watch::Sender<u64>) {
    let mut connection = None;
    for number in 0..EVENTS * (RELOADS as u64 + 1) {
        let answer = loop {
            let request = Request::post("/topics/load").header("idempotency-key", number.to_string());
            let request = request.body(Full::new(Bytes::from(number.to_string()))).unwrap();
            if let Some(answer) = attempt(address, &mut connection, request).await {
                break answer;
            }
        };
        assert!(answer.status.is_success(), "{}", answer.text());
        published.send_modify(|count| *count += 1);
    }
}

async fn poll_all(address: SocketAddr) {
    let (mut connection, mut path) = (None, "/topics/load?wait=20&since=earliest".to_owned());
    let mut seen = 0;
    while seen < EVENTS * (RELOADS as u64 + 1) {
        let request = Request::get(&path).body(Full::default()).unwrap();
        let Some(answer) = attempt(address, &mut connection, request).await else { continue };
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        assert_eq!(page["gap"], serde_json::Value::Null);
        for event in page["events"].as_array().unwrap() {
            assert_eq!(event["data"], seen.to_string());
            seen += 1;
        }
        path = format!("/topics/load?wait=20&since={}", page["next"].as_str().unwrap());
    }
}

/// Asks on a connection that is kept; `None` where it has ended.
async fn attempt(
    address: SocketAddr,
    kept: &mut Option<Connection>,
    request: Request<Full<Bytes>>,
) -> Option<crate::support::Answer> {
    let answered = async {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(address, Version::Http1).await?,
        };
        let answer = connection.ask(request).await?;
        *kept = Some(connection);
        Ok::<_, crate::support::connection::Failure>(answer)
    };
    within("an answer", answered).await.ok()
}
