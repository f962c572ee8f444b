use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::within;

/// Something that is asked, and says nothing by itself.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    asked: mpsc::Receiver<Asked>,
}

/// A request that has come to it.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    stream: TcpStream,
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tell = tell.clone();
                tokio::spawn(async move {
                    if let Some(asked) = Asked::read(stream).await {
                        drop(tell.send(asked).await);
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request.
    pub(crate) async fn asked(&mut self) -> Asked {
        within("a request at the endpoint", self.asked.recv()).await.unwrap()
    }

    /// Whether there is no other request so far.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

// === impl Asked ===

impl Asked {
    async fn read(mut stream: TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let mut body = bytes.split_off(end);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while body.len() < length {
            stream.read_buf(&mut body).await.ok()?;
        }
        Some(Self { head, body, stream })
    }

    /// The value of a field of the request.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Writes it as it is, but that the connection is for this answer alone.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let mut bytes = bytes.as_ref().to_vec();
        if bytes.starts_with(b"HTTP/1.1 ") {
            let end = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
            bytes.splice(end..end, *b"connection: close\r\n");
        }
        within("the hub to read", self.stream.write_all(&bytes)).await.unwrap();
    }

    /// The same to somebody who may stop reading.
    pub(crate) async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        within("the hub to read", self.stream.write_all(bytes.as_ref())).await
    }

    /// Begins an answer with events.
    pub(crate) async fn begin(&mut self, content_type: &str) {
        self.write(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\nx-request-id: 7\r\n\r\n"
        ))
        .await;
    }

    pub(crate) async fn events(mut self) -> Self {
        self.begin("text/event-stream; charset=utf-8").await;
        self
    }

    /// Sends a part of it.
    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.write(chunk(text.as_ref())).await;
    }

    /// Ends it as it should be.
    pub(crate) async fn finish(mut self) {
        self.write("0\r\n\r\n").await;
    }

    /// Waits until the hub wants nothing more.
    pub(crate) async fn cancelled(mut self) {
        let mut rest = Vec::new();
        drop(within("the hub to cancel the request", self.stream.read_to_end(&mut rest)).await);
    }
}

pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
