//! Exchanges with another implementation: the client of the `h2` crate.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, StatusCode};
use tidings_http2::{Connection, ErrorCode, Event, Settings, StreamId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

/// What goes through the pipe at once: little, so that frames are cut.
const PIPE_BYTES: usize = 1_000;

/// A server that sends back what it gets, and speaks of it in trailers.
struct Echo {
    connection: Connection,
    bodies: BTreeMap<StreamId, (Vec<u8>, bool)>,
    tunnels: BTreeSet<StreamId>,
    out: Vec<u8>,
}

// === impl Echo ===

impl Echo {
    async fn serve(settings: Settings, mut io: DuplexStream) -> Self {
        let mut out = Vec::new();
        let connection = Connection::new(settings.into(), &mut out);
        let mut echo = Self { connection, bodies: BTreeMap::new(), tunnels: BTreeSet::new(), out };
        let (mut read, mut buffer) = (0, [0; 777]);
        loop {
            let failed = echo.take(&buffer[..read]).is_err();
            let out = std::mem::take(&mut echo.out);
            if io.write_all(&out).await.is_err() || failed {
                return echo;
            }
            match io.read(&mut buffer).await {
                Ok(count @ 1..) => read = count,
                Ok(_) | Err(_) => return echo,
            }
        }
    }

    fn take(&mut self, mut input: &[u8]) -> Result<(), tidings_http2::ConnectionError> {
        while let Some(event) = self.connection.receive(&mut input, 0, &mut self.out)? {
            match event {
                Event::Request { stream, head, end } => {
                    let method = head.method.clone();
                    if head.protocol.as_deref() == Some("websocket") {
                        self.tunnels.insert(stream);
                    }
                    let request = head.into_request(()).unwrap();
                    if request.uri().path() == "/reset" {
                        self.connection.reset(stream, ErrorCode::REFUSED_STREAM, &mut self.out);
                        continue;
                    }
                    let mut headers = request.headers().clone();
                    headers.insert("target", request.uri().to_string().parse().unwrap());
                    let is_whole = method == Method::HEAD;
                    self.connection
                        .respond(stream, StatusCode::OK, &headers, is_whole, &mut self.out)
                        .unwrap();
                    if !is_whole {
                        self.bodies.insert(stream, (Vec::new(), end));
                        self.send(stream);
                    }
                }
                Event::HeadTooLarge { stream, .. } => {
                    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                    self.connection.respond(stream, status, &HeaderMap::new(), true, &mut self.out).unwrap();
                }
                Event::Data { stream, bytes, end, .. } => {
                    let body = self.bodies.get_mut(&stream).unwrap();
                    body.0.extend(bytes);
                    body.1 = end;
                    self.send(stream);
                }
                Event::Trailers { stream, fields, .. } => {
                    assert_eq!(fields["from"], "client");
                    self.bodies.get_mut(&stream).unwrap().1 = true;
                    self.send(stream);
                }
                Event::Room { stream, .. } => self.send(stream),
                Event::Reset { stream, .. } => drop(self.bodies.remove(&stream)),
                Event::GoAway { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    }

    fn send(&mut self, stream: StreamId) {
        let Some((body, is_whole)) = self.bodies.get_mut(&stream) else { return };
        let sent = self.connection.send(stream, body, false, &mut self.out).unwrap();
        self.connection.consumed(stream, sent, &mut self.out);
        body.drain(..sent);
        if *is_whole && body.is_empty() {
            self.bodies.remove(&stream);
            if self.tunnels.contains(&stream) {
                self.connection.send(stream, b"", true, &mut self.out).unwrap();
                return;
            }
            let trailers = HeaderMap::from_iter([("from".parse().unwrap(), "server".parse().unwrap())]);
            self.connection.trailers(stream, &trailers, &mut self.out).unwrap();
        }
    }
}

struct Pair {
    client: SendRequest<Bytes>,
    client_task: tokio::task::JoinHandle<Result<(), h2::Error>>,
    server: tokio::task::JoinHandle<Echo>,
}

async fn connect(builder: &client::Builder, settings: Settings) -> Pair {
    let (near, far) = duplex(PIPE_BYTES);
    let server = tokio::spawn(Echo::serve(settings, far));
    let (client, connection) = builder.handshake(near).await.unwrap();
    Pair { client, client_task: tokio::spawn(connection), server }
}

/// Sends a body in pieces as the windows allow, and gives back what comes back.
async fn echo(
    client: &SendRequest<Bytes>,
    path: &str,
    body: Vec<u8>,
    trailers: bool,
) -> (HeaderMap, Vec<u8>) {
    let mut client = client.clone().ready().await.unwrap();
    let request = Request::post(format!("https://hub{path}")).header("x", "y".repeat(300)).body(()).unwrap();
    let (response, mut sending) = client.send_request(request, false).unwrap();
    let received = tokio::spawn(async move {
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let (head, body) = response.into_parts();
        (head.headers, read(body).await)
    });
    let mut rest = &body[..];
    while !rest.is_empty() {
        sending.reserve_capacity(rest.len());
        let room = std::future::poll_fn(|cx| sending.poll_capacity(cx)).await.unwrap().unwrap();
        let (piece, after) = rest.split_at(room.min(rest.len()));
        sending.send_data(Bytes::copy_from_slice(piece), !trailers && after.is_empty()).unwrap();
        rest = after;
    }
    if trailers {
        let trailers = HeaderMap::from_iter([("from".parse().unwrap(), "client".parse().unwrap())]);
        sending.send_trailers(trailers).unwrap();
    }
    received.await.unwrap()
}

async fn read(mut body: RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        bytes.extend(piece);
    }
    assert_eq!(body.trailers().await.unwrap().unwrap()["from"], "server");
    bytes
}

#[tokio::test]
async fn large_bodies_go_both_ways_at_once() {
    let settings =
        Settings { initial_window_size: 20_000, connection_window_size: 70_000, ..Settings::default() };
    let pair = connect(client::Builder::new().initial_window_size(30_000), settings).await;
    let bodies = (0..10_u8).map(|number| {
        let client = pair.client.clone();
        tokio::spawn(async move {
            let body = (0..200_000_u32).map(|at| at.to_le_bytes()[0] ^ number).collect::<Vec<_>>();
            let (headers, back) = echo(&client, &format!("/{number}?q"), body.clone(), number % 2 == 0).await;
            assert_eq!(headers["target"], format!("https://hub/{number}?q"));
            assert_eq!(headers["x"], "y".repeat(300));
            assert!(back == body);
        })
    });
    for body in bodies.collect::<Vec<_>>() {
        body.await.unwrap();
    }
    drop(pair.client);
    pair.client_task.await.unwrap().unwrap();
    assert!(pair.server.await.unwrap().connection.is_idle());
}

/// RFC 8441.
#[tokio::test]
async fn another_protocol_goes_through_a_tunnel() {
    let settings = Settings { enable_connect_protocol: true, ..Settings::default() };
    let Pair { client, client_task, server } = connect(&client::Builder::new(), settings).await;
    let mut client = client.ready().await.unwrap();
    // Until the settings have come, it may not be asked for.
    assert_eq!(echo(&client, "/first", b"abc".to_vec(), false).await.1, b"abc");
    assert!(client.is_extended_connect_protocol_enabled());
    let mut request = Request::connect("https://hub/topics/a?since=latest").body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from("websocket"));
    let (response, mut sending) = client.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["target"], "https://hub/topics/a?since=latest");
    let mut body = response.into_body();
    for message in [&b"one"[..], b"two"] {
        sending.send_data(Bytes::copy_from_slice(message), false).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), message);
    }
    sending.send_data(Bytes::new(), true).unwrap();
    while let Some(piece) = body.data().await {
        assert_eq!(piece.unwrap(), b""[..]);
    }
    assert!(body.trailers().await.unwrap().is_none());
    drop((client, sending, body));
    client_task.await.unwrap().unwrap();
    assert!(server.await.unwrap().connection.is_idle());
}

#[tokio::test]
async fn many_requests_with_tables_of_any_size() {
    for table in [0, 100, 4_096, 65_536] {
        for announced in [0, 1_000, 4_096, 65_536] {
            let settings = Settings { header_table_size: announced, ..Settings::default() };
            let pair = connect(client::Builder::new().header_table_size(table), settings).await;
            for number in 0..30 {
                let (headers, body) = echo(&pair.client, &format!("/{number}"), b"abc".to_vec(), false).await;
                assert_eq!(headers["target"], format!("https://hub/{number}"));
                assert_eq!(body, b"abc");
            }
            drop(pair.client);
            pair.client_task.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn heads_alone_and_heads_that_are_too_large() {
    let settings = Settings { max_header_list_size: 4_000, ..Settings::default() };
    let Pair { client, .. } = connect(&client::Builder::new(), settings).await;
    let mut client = client.ready().await.unwrap();
    let head = Request::head("https://hub/a").body(()).unwrap();
    let (response, _) = client.send_request(head, true).unwrap();
    assert!(response.await.unwrap().into_body().is_end_stream());
    let large = Request::get("https://hub/a").header("x", "y".repeat(5_000)).body(()).unwrap();
    let (response, _) = client.send_request(large, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 431);
}

#[tokio::test]
async fn streams_that_are_reset() {
    let Pair { mut client, server, client_task } =
        connect(&client::Builder::new(), Settings::default()).await;
    let request = Request::post("https://hub/reset").body(()).unwrap();
    let (response, mut sending) = client.send_request(request, false).unwrap();
    assert_eq!(response.await.unwrap_err().reason(), Some(Reason::REFUSED_STREAM));
    drop(sending.send_data(Bytes::from_static(b"late"), true));
    drop(sending);
    let request = Request::post("https://hub/left").body(()).unwrap();
    let (response, sending) = client.send_request(request, false).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    drop(sending);
    assert_eq!(echo(&client, "/after", vec![7; 10], true).await.1, [7; 10]);
    drop(client);
    client_task.await.unwrap().unwrap();
    let server = server.await.unwrap();
    assert!(server.connection.is_idle() && server.bodies.is_empty());
}

#[tokio::test]
async fn a_client_is_asked_to_leave_and_leaves_when_it_has_its_answers() {
    let mut out = Vec::new();
    let mut connection = Connection::new(Settings::default().into(), &mut out);
    let (near, mut far) = duplex(1 << 20);
    let (mut client, client_connection) = client::handshake(near).await.unwrap();
    let client_task = tokio::spawn(client_connection);
    let (response, _) = client.send_request(Request::get("https://hub/a").body(()).unwrap(), true).unwrap();
    let mut buffer = [0; 10_000];
    let mut request = None;
    while !connection.has_gone_away() {
        far.write_all(&std::mem::take(&mut out)).await.unwrap();
        let count = far.read(&mut buffer).await.unwrap();
        let mut input = &buffer[..count];
        while let Some(event) = connection.receive(&mut input, 0, &mut out).unwrap() {
            if let Event::Request { stream, .. } = event {
                request = Some(stream);
                connection.go_away(&mut out);
            }
        }
    }
    connection.respond(request.unwrap(), StatusCode::OK, &HeaderMap::new(), true, &mut out).unwrap();
    far.write_all(&out).await.unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    // The client ends the connection by itself.
    client_task.await.unwrap().unwrap();
}
