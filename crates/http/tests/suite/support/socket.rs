use serde_json::Value;
use tidings_websocket::{CloseCode, Decoder, Inflater, Message, Opcode, encode_masked, encode_masked_close};

use super::{Head, Request, Wire};

/// A client's end of a WebSocket. It answers pings.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) head: Head,
    pub(crate) wire: Wire,
    decoder: Decoder,
    unread: Vec<u8>,
    /// How many bytes have come.
    pub(crate) bytes: usize,
    pub(crate) answers_pings: bool,
}

/// What each frame of a test is masked with.
const MASK: [u8; 4] = [7, 90, 200, 33];

/// A request for a WebSocket.
pub(crate) fn upgrade(target: &str) -> Request {
    Request::get(target)
        .header("upgrade", "websocket")
        .header("connection", "Upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

// === impl Socket ===

impl Socket {
    /// Asks for a WebSocket, which has to be let in.
    pub(crate) async fn open(mut wire: Wire, request: &Request) -> Self {
        wire.send(request.bytes()).await;
        let head = wire.head().await;
        assert_eq!(head.status, 101, "{head:?}");
        assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(head.header("upgrade"), Some("websocket"));
        Self::over(wire, head)
    }

    /// A WebSocket whose handshake is made.
    pub(crate) fn over(wire: Wire, head: Head) -> Self {
        let deflate = head.header("sec-websocket-extensions").is_some();
        let decoder = Decoder::client(64 << 20, deflate);
        Self { head, wire, decoder, unread: Vec::new(), bytes: 0, answers_pings: true }
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_frame(Opcode::Text, message.to_string()).await;
    }

    pub(crate) async fn send_frame(&mut self, opcode: Opcode, payload: impl AsRef<[u8]>) {
        let mut frame = Vec::new();
        encode_masked(opcode, payload.as_ref(), MASK, &mut frame);
        self.wire.send(frame).await;
    }

    /// Says that it closes.
    pub(crate) async fn send_close(&mut self, code: u16, reason: &str) {
        let mut frame = Vec::new();
        encode_masked_close(CloseCode(code), reason, MASK, &mut frame);
        self.wire.send(frame).await;
    }

    /// The next frame that is not a ping, or with a message.
    pub(crate) async fn next(&mut self) -> Message {
        let mut inflater = Inflater::default();
        loop {
            let mut input = &self.unread[..];
            let message = self.decoder.receive(&mut input, &mut inflater).unwrap();
            let left = input.len();
            self.unread.drain(..self.unread.len() - left);
            match message {
                Some(Message::Ping(payload)) if self.answers_pings => {
                    self.send_frame(Opcode::Pong, payload).await;
                }
                Some(Message::Ping(_)) => {}
                Some(message) => return message,
                None => {
                    let piece = self.wire.piece().await.expect("the connection ended without a close frame");
                    self.bytes += piece.len();
                    self.unread.extend(piece);
                }
            }
        }
    }

    /// The next message, as text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    /// The next message, as JSON.
    pub(crate) async fn message(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The next message that is no heartbeat.
    pub(crate) async fn news(&mut self) -> Value {
        loop {
            let message = self.message().await;
            let is_heartbeat = message.get("next").is_some() && message.get("subscribed").is_none();
            if !is_heartbeat {
                return message;
            }
        }
    }

    /// The `next` of a subscription that has begun, which is the next message.
    pub(crate) async fn subscribed(&mut self, name: &str) -> String {
        let message = self.message().await;
        assert_eq!(message["subscribed"], name, "{message}");
        message["next"].as_str().unwrap().to_owned()
    }

    /// The problem of the next message, by its name; the message has this reference.
    pub(crate) async fn problem(&mut self, reference: Value) -> String {
        let message = self.news().await;
        let problem = &message["problem"];
        assert_eq!(message.get("ref").cloned().unwrap_or_default(), reference, "{message}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{message}");
        problem["type"].as_str().unwrap().strip_prefix("urn:tidings:").unwrap().to_owned()
    }

    /// Waits until the hub closes the socket, with a code and a reason. Whatever else comes is passed over.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close { code, reason } = self.next().await {
                let code = code.map_or(1_005, |code| code.0);
                drop(self.wire.try_send(&[]).await);
                return (code, reason);
            }
        }
    }

    /// The same, and agrees, and sees the connection end.
    pub(crate) async fn ends(mut self) -> (u16, String) {
        let closed = self.closed().await;
        let mut frame = Vec::new();
        encode_masked_close(CloseCode(1_000), "", MASK, &mut frame);
        drop(self.wire.try_send(&frame).await);
        assert_eq!(self.wire.rest().await, b"", "nothing follows a close frame");
        closed
    }
}
