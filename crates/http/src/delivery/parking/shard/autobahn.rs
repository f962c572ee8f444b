//! Autobahn's test suite for WebSockets against those of a hub, which send back what they are sent in these tests alone: what
//! is read and what is sent goes the way of every socket.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tidings_hub::{Hub, HubConfig};
use tidings_log::{MemoryLog, Retention};
use tidings_websocket::{Decoder, Deflate, Deflater, Inflater, Message, Opcode, encode, encode_compressed};

use crate::{Api, HttpConfig, Server};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

/// What a client of the suite sent, and was content with (`crates/websocket/tests/autobahn`).
#[derive(Deserialize)]
struct Case {
    case: String,
    deflate: bool,
    /// Whether this is all of it.
    whole: bool,
    sent: String,
    answered: String,
}

/// A message as it is sent back; `None` for what has an answer of its own.
pub(super) fn echo(message: &Message, deflate: Option<Deflate>) -> Option<Vec<u8>> {
    let (opcode, payload) = match message {
        Message::Text(text) => (Opcode::Text, text.as_bytes()),
        Message::Binary(bytes) => (Opcode::Binary, &bytes[..]),
        Message::Ping(_) | Message::Pong(_) | Message::Close { .. } => return None,
    };
    let mut out = Vec::new();
    let may_compress = deflate.is_some_and(|deflate| deflate.takes(payload.len()));
    match may_compress.then(|| Deflater::new().compress(payload)).flatten() {
        Some(compressed) => encode_compressed(opcode, &compressed, &mut out),
        None => encode(opcode, payload, &mut out),
    }
    Some(out)
}

/// A hub that echoes, for as long as the runtime lives.
async fn start() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = HttpConfig { websocket_echo: true, max_event_bytes: 20 << 20, ..HttpConfig::default() };
    let log = Arc::new(MemoryLog::new(Retention::default(), Duration::ZERO));
    let hub = Hub::new(log, HubConfig::default());
    let api = Api::builder(hub, config).open_to_everyone().build();
    let server = Server::new(api, [listener]);
    tokio::spawn(server.serve(std::future::pending()));
    address
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What a client is told; how it was compressed does not matter.
fn told(mut bytes: &[u8], deflate: bool) -> Vec<Message> {
    let (mut decoder, mut inflater) = (Decoder::client(1 << 20, deflate), Inflater::default());
    std::iter::from_fn(|| decoder.receive(&mut bytes, &mut inflater).unwrap()).collect()
}

/// Sends what a client has to say, in pieces, and reads what it is told until that is so many bytes, or the end. Without a
/// count, the client leaves when it has said all.
fn exchange(address: SocketAddr, deflate: bool, sent: &[u8], piece: usize, count: Option<usize>) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let extensions = if deflate { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    let head = format!(
        "GET /socket HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extensions}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let head = loop {
        if let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break head;
        }
        assert!(read(&mut stream, &mut answer) > 0, "the connection was closed: {}", answer.escape_ascii());
    };
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer[..head].escape_ascii());
    let mut answer = answer.split_off(head + 4);
    for piece in sent.chunks(piece) {
        // The hub may have closed it meanwhile.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    if count.is_none() {
        drop(stream.shutdown(Shutdown::Write));
    }
    while answer.len() < count.unwrap_or(usize::MAX) && read(&mut stream, &mut answer) > 0 {}
    answer
}

/// Reads more, and says how much; nothing at the end.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> usize {
    let mut buffer = [0; 16 << 10];
    let count = stream.read(&mut buffer).unwrap();
    bytes.extend_from_slice(&buffer[..count]);
    count
}

#[test]
fn its_cases_are_answered_by_a_hub_as_they_were_when_it_was_content() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let address = runtime.block_on(start());
    let cases = include_str!("../../../../../websocket/tests/autobahn/cases.json");
    let Cases { cases } = serde_json::from_str(cases).unwrap();
    assert!(cases.len() > 250);
    for Case { case, deflate, whole, sent, answered } in cases {
        let (sent, answered) = (bytes(&sent), bytes(&answered));
        let expected = told(&answered, deflate);
        for piece in [sent.len().max(1), 11] {
            // Of a long exchange, what was sent is not all that the answers belong to.
            let count = whole.then_some(answered.len());
            let told = told(&exchange(address, deflate, &sent, piece, count), deflate);
            if whole {
                assert!(told == expected, "{case}: {told:?} instead of {expected:?}");
            } else {
                let common = told.len().min(expected.len());
                assert!(told[..common] == expected[..common], "{case}: another beginning");
            }
        }
    }
}

/// For `crates/websocket/tests/autobahn/run --url`: prints where it is, and serves until it is ended.
#[test]
#[ignore = "it serves until it is ended"]
#[allow(clippy::print_stdout, reason = "it says where it is")]
fn serve_its_client() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("ws://{}/socket", runtime.block_on(start()));
    runtime.block_on(std::future::pending::<()>());
}
