use std::net::SocketAddr;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Block, Head, Socket, Wire, wire, within};

/// A connection that speaks HTTP/2 from its first byte.
#[derive(Debug)]
pub(crate) struct H2 {
    sender: SendRequest<Full<Bytes>>,
    pub(crate) connection: JoinHandle<hyper::Result<()>>,
}

/// An event stream over HTTP/2.
#[derive(Debug)]
pub(crate) struct H2Stream {
    pub(crate) response: Response<Incoming>,
    buffer: Vec<u8>,
}

// === impl H2 ===

impl H2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(within(TcpStream::connect(address)).await.unwrap()).await
    }

    pub(crate) async fn over(socket: impl wire::Socket + 'static) -> Self {
        let (sender, connection) =
            within(handshake(TokioExecutor::new(), TokioIo::new(socket))).await.unwrap();
        Self { sender, connection: tokio::spawn(connection) }
    }

    /// Sends a request; the answer's body is still to come.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let mut request = http::Request::builder().method(method).uri(format!("http://hub{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        within(self.sender.ready()).await.unwrap();
        within(self.sender.send_request(request)).await.unwrap()
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> (u16, String) {
        let response = self.send(method, target, headers, body).await;
        let status = response.status().as_u16();
        let body = within(response.into_body().collect()).await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Opens a WebSocket (RFC 8441).
    pub(crate) async fn socket(&mut self, target: &str) -> Socket {
        // What the hub offers has to be known first.
        self.ask("GET", "/healthz", &[], "").await;
        let request = http::Request::builder().method("CONNECT").uri(format!("http://hub{target}"));
        let request = request.header("sec-websocket-version", "13");
        let mut request = request.body(Full::new(Bytes::new())).unwrap();
        request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
        within(self.sender.ready()).await.unwrap();
        let response = within(self.sender.send_request(request)).await.unwrap();
        let mut head = format!("HTTP/2 {} -\r\n", response.status().as_u16());
        for (name, value) in response.headers() {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        let head = Head::new(&head);
        assert_eq!(head.status, 200, "{head:?}");
        let upgraded = within(hyper::upgrade::on(response)).await.unwrap();
        Socket::over(Wire::over(TokioIo::new(upgraded)), head)
    }

    /// Opens an event stream and reads its first block.
    pub(crate) async fn stream(&mut self, target: &str) -> H2Stream {
        let response = self.send("GET", target, &[("accept", "text/event-stream")], "").await;
        assert_eq!(response.status(), 200);
        let mut stream = H2Stream { response, buffer: Vec::new() };
        assert!(stream.block().await.unwrap().retry.is_some());
        stream
    }
}

// === impl H2Stream ===

impl H2Stream {
    /// The next block; `None` at the proper end.
    pub(crate) async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\n\n") {
                let text = String::from_utf8(self.buffer.drain(..at + 2).collect()).unwrap();
                return Some(Block::new(&text));
            }
            let frame = within(self.response.body_mut().frame()).await?.unwrap();
            self.buffer.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// The next block that is not a heartbeat.
    pub(crate) async fn event(&mut self) -> Block {
        loop {
            let block = self.block().await.unwrap();
            if !block.is_comment {
                return block;
            }
        }
    }
}
