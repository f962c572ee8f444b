use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{Answer, Head, Request, within};

/// A connection, byte by byte.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Box<dyn Socket>,
    buffer: Vec<u8>,
}

/// A socket, or what is encrypted over one.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Socket for T {}

// === impl Wire ===

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(within(TcpStream::connect(address)).await.unwrap())
    }

    /// A connection of which the client's system takes few bytes that the client does not read.
    pub(crate) async fn narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        Self::new(within(socket.connect(address)).await.unwrap())
    }

    fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        Self::over(socket)
    }

    pub(crate) fn over(socket: impl Socket + 'static) -> Self {
        Self { socket: Box::new(socket), buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.socket.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends as much as the other side takes.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        within(self.socket.write_all(bytes.as_ref())).await
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish_sending(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// Sends a request and reads the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &Request) -> impl Future<Output = Answer> {
        let (bytes, is_head) = (request.bytes(), request.method == "HEAD");
        within(async move {
            self.send(bytes).await;
            self.answer(is_head).await
        })
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self, to_head: bool) -> Answer {
        let head = self.head().await;
        let mut body = Vec::new();
        if to_head || head.status == 204 || head.status == 304 {
        } else if head.is_chunked() {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        } else if let Some(length) = head.header("content-length") {
            body = self.take(length.parse().unwrap()).await;
        } else {
            body = self.rest().await;
        }
        Answer { head, body }
    }

    /// Reads one answer, or the end of the connection before any of it.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let read = within(self.socket.read_buf(&mut self.buffer)).await;
        if matches!(read, Err(_) | Ok(0)) && self.buffer.is_empty() {
            return None;
        }
        Some(self.answer(false).await)
    }

    /// Reads the status and headers of an answer.
    pub(crate) async fn head(&mut self) -> Head {
        Head::new(&String::from_utf8(self.take_until(b"\r\n\r\n").await).unwrap())
    }

    /// Reads one chunk of a chunked body; `None` is its proper end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.take_until(b"\r\n").await).unwrap();
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let mut chunk = self.take(length + 2).await;
        assert_eq!(chunk.split_off(length), b"\r\n");
        (length > 0).then_some(chunk)
    }

    /// Reads what comes next; `None` is the proper end of the connection.
    pub(crate) async fn piece(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty() {
            within(self.socket.read_buf(&mut self.buffer)).await.unwrap();
        }
        (!self.buffer.is_empty()).then(|| std::mem::take(&mut self.buffer))
    }

    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            self.more().await;
        }
        self.buffer.drain(..count).collect()
    }

    pub(crate) async fn take_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut from = 0;
        loop {
            if let Some(at) = self.buffer[from..].windows(end.len()).position(|window| window == end) {
                return self.buffer.drain(..from + at + end.len()).collect();
            }
            from = self.buffer.len().saturating_sub(end.len() - 1);
            self.more().await;
        }
    }

    /// Reads until the other side closes the connection, properly or not.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let read = within(self.socket.read_to_end(&mut self.buffer)).await;
        if let Err(error) = read {
            // The second is TLS that is cut off.
            let kinds = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::UnexpectedEof];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
        std::mem::take(&mut self.buffer)
    }

    async fn more(&mut self) {
        let count = within(self.socket.read_buf(&mut self.buffer)).await.unwrap();
        let so_far = String::from_utf8_lossy(&self.buffer);
        assert_ne!(count, 0, "the connection ended after {so_far:?}");
    }
}
