use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tidings_websocket::{CloseCode, Decoder, Inflater, Message, Opcode, Opening, encode, encode_close};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Request;

/// The server's side of a WebSocket that follows a script.
pub(crate) struct ServerSocket {
    stream: TcpStream,
    decoder: Decoder,
    inflater: Inflater,
    read: Vec<u8>,
}

impl Request {
    pub(crate) fn wants_socket(&self) -> bool {
        self.header("upgrade").is_some_and(|protocol| protocol == "websocket")
    }

    fn headers(&self) -> HeaderMap {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| {
            (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value.trim()).unwrap())
        });
        fields.collect()
    }
}

impl ServerSocket {
    pub(crate) async fn accept(request: &Request, mut stream: TcpStream) -> Self {
        let opening = Opening::check(&Method::GET, Version::HTTP_11, &request.headers(), false).unwrap();
        let (status, headers) = opening.accept(Some("tidings.v1"), opening.deflate());
        let mut head = format!("HTTP/1.1 {} Switching\r\n", status.as_u16());
        for (name, value) in &headers {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        let decoder = Decoder::server(1 << 20, opening.deflate().is_some());
        Self { stream, decoder, inflater: Inflater::default(), read: Vec::new() }
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes()).await;
    }

    pub(crate) async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut out = Vec::new();
        encode(opcode, payload, &mut out);
        // The client may have left.
        drop(self.stream.write_all(&out).await);
    }

    /// What the client says next; `None` once it has left.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            let mut left = &self.read[..];
            let message = self.decoder.receive(&mut left, &mut self.inflater).unwrap();
            let length = self.read.len() - left.len();
            self.read.drain(..length);
            if message.is_some() {
                return message;
            }
            if self.stream.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// The next text, as JSON.
    pub(crate) async fn next_json(&mut self) -> serde_json::Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let mut out = Vec::new();
        encode_close(CloseCode(code), reason, &mut out);
        drop(self.stream.write_all(&out).await);
        while self.next().await.is_some() {}
    }
}
