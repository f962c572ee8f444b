//! What clients can make a hub keep: bounded, whatever carries it, and given back.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{Empty, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Authority, Connection, Hub, Version, within};

/// The most that a hub may take, in KiB: what its tail, its bodies and its answers may have, and itself.
const MOST: u64 = 300 << 10;
/// What is left when everybody has gone, in KiB: its tail, and itself.
const LEFT: u64 = 200 << 10;
const EVENT_BYTES: usize = 1_000_000;

/// Large events whose data is line feeds, each of which becomes a line of its own in a stream.
async fn publish_line_feeds(hub: &Hub, topic: &str, count: usize) {
    for _ in 0..count {
        hub.publish(topic, Bytes::from(vec![b'\n'; EVENT_BYTES])).await;
    }
}

/// A connection of which the client's system takes few bytes that the client does not read.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    within("a connection", socket.connect(address)).await.unwrap()
}

/// A line of what the system says of the hub's memory, in KiB.
fn memory(hub: &Hub, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.process().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap()
}

/// Waits until so many readers wait, and until nobody is given anything any more.
async fn settled(hub: &Hub, transport: &str, count: u64) {
    let (mut last, mut same) = (0, 0);
    let settled = async {
        while same < 5 {
            let delivered =
                hub.metric(&format!("tidings_delivered_bytes_total{{transport=\"{transport}\"}}")).await;
            let readers = hub.metric(&format!("tidings_subscribers{{transport=\"{transport}\"}}")).await;
            same = if delivered == last && readers == count { same + 1 } else { 0 };
            last = delivered;
            sleep(Duration::from_millis(200)).await;
        }
    };
    within("the readers", settled).await;
}

fn check(hub: &Hub, what: &str) {
    let peak = memory(hub, "VmHWM:");
    println!("{what}: a peak of {peak} KiB, now {} KiB", memory(hub, "VmRSS:"));
    assert!(peak < MOST, "{what}: {peak} KiB");
}

async fn given_back(hub: &Hub) {
    let given_back = async {
        while memory(hub, "VmRSS:") > LEFT {
            sleep(Duration::from_millis(100)).await;
        }
    };
    within("memory to be given back", given_back).await;
}

#[tokio::test]
async fn polls_with_older_cursors_that_do_not_read() {
    const POLLS: u64 = 200;
    // On a page each byte of such data is six, which is more than the system takes for a connection.
    let hub = Hub::in_memory(&[]).await;
    let poll = |since: &str, limit: u64| {
        format!(
            "GET /topics/a?wait=60&limit={limit}&since={since} HTTP/1.1\r\nhost: {}\r\n\r\n",
            hub.address()
        )
    };
    let first = hub.publish("b", "x").await.id;
    hub.publish("a", Bytes::from(vec![1; EVENT_BYTES])).await;
    let latest = hub.publish("b", "x").await.id;
    // Those that asked for the same share a group, and the others have one each.
    let limit = |number: u64| if number.is_multiple_of(2) { 1_000 } else { number + 1 };
    let mut polls = Vec::new();
    for number in 0..POLLS {
        let mut socket = narrow(hub.address()).await;
        socket.write_all(poll(&latest, limit(number)).as_bytes()).await.unwrap();
        polls.push(socket);
    }
    settled(&hub, "long-poll", POLLS).await;
    hub.publish("a", Bytes::from(vec![1; EVENT_BYTES])).await;
    settled(&hub, "long-poll", POLLS).await;
    check(&hub, "the same event for everybody");
    drop(polls);
    settled(&hub, "long-poll", 0).await;

    let mut polls = Vec::new();
    for _ in 0..POLLS {
        let mut socket = narrow(hub.address()).await;
        // The answer to the first is small, and so it stays where it is for the second.
        socket.write_all(poll(&latest, 1_000).replace("/a?", "/c?").as_bytes()).await.unwrap();
        polls.push(socket);
    }
    settled(&hub, "long-poll", POLLS).await;
    hub.publish("c", "x").await;
    settled(&hub, "long-poll", 0).await;
    hub.publish("c", Bytes::from(vec![1; EVENT_BYTES])).await;
    for socket in &mut polls {
        socket.write_all(poll(&first, 1_000).replace("/a?", "/c?").as_bytes()).await.unwrap();
    }
    settled(&hub, "long-poll", POLLS).await;
    check(&hub, "an older cursor");
    // Others are served meanwhile.
    assert_eq!(hub.get("/topics/c?limit=4").await.status, 200);
    drop(polls);
    given_back(&hub).await;
}

#[tokio::test]
async fn streams_of_http_2_that_do_not_read() {
    const STREAMS: u64 = 250;
    let hub = Hub::in_memory(&[]).await;
    publish_line_feeds(&hub, "a", 3).await;
    let socket = within("a connection", TcpStream::connect(hub.address())).await.unwrap();
    let mut client = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = client
        .initial_stream_window_size(1)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(socket))
        .await
        .unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async { drop(connection.await) });
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let request = Request::get(hub.url("/topics/a?since=earliest")).header("accept", "text/event-stream");
        within("the connection", sender.ready()).await.unwrap();
        let response = sender.send_request(request.body(Empty::new()).unwrap());
        streams.push(within("a stream", response).await.unwrap());
    }
    settled(&hub, "sse", STREAMS).await;
    publish_line_feeds(&hub, "a", 1).await;
    check(&hub, "250 streams");
    drop((streams, driver));
    given_back(&hub).await;
}

#[tokio::test]
async fn streams_over_tls_that_do_not_read() {
    const STREAMS: u64 = 150;
    let authority = Authority::new();
    let hub = Hub::over_tls(&authority, &[]).await;
    let connector = authority.connector("http/1.1");
    publish_line_feeds(&hub, "a", 6).await;
    let mut readers = Vec::new();
    for number in 0..STREAMS {
        let socket = narrow(hub.address()).await;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = within("TLS", connector.connect(name, socket)).await.unwrap();
        let form = if number.is_multiple_of(2) { "" } else { "&envelope=true" };
        let head = format!(
            "GET /topics/a?since=earliest{form} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        readers.push(stream);
    }
    settled(&hub, "sse", STREAMS).await;
    check(&hub, "150 streams over TLS");
    drop(readers);
    given_back(&hub).await;
}

#[tokio::test]
async fn batches_of_tiny_events() {
    const BATCHES: usize = 16;
    // The events that are taken are kept by the log, which is another's bound.
    let hub = Hub::in_memory(&["--retain-bytes", "16MiB"]).await;
    for (lines, done) in [((16 << 20) / 11, false), (60_000, true)] {
        let body = Bytes::from("{\"data\":1}\n".repeat(lines));
        let mut batches = JoinSet::new();
        for _ in 0..BATCHES {
            let (body, address) = (body.clone(), hub.address());
            batches.spawn(async move {
                let mut connection = Connection::open(address, Version::Http1).await.unwrap();
                let request = Request::post("/topics/a").header("content-type", "application/x-ndjson");
                // Where it is refused while it is being sent, that may be all that is known of it.
                connection
                    .ask(request.body(Full::from(body)).unwrap())
                    .await
                    .map_or(0, |answer| answer.status.as_u16())
            });
        }
        // Others are served meanwhile.
        for _ in 0..20 {
            hub.publish("b", "x").await;
        }
        let statuses = within("the batches", batches.join_all()).await;
        println!("{lines} events: {statuses:?}");
        assert!(statuses.iter().all(|status| [0, 413, 503, 201].contains(status)), "{statuses:?}");
        assert_eq!(statuses.contains(&201), done, "{statuses:?}");
        check(&hub, "16 batches");
    }
    given_back(&hub).await;
}
