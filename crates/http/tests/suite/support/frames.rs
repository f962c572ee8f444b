use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::within;

/// An HTTP/2 connection on which anything may be said, frame by frame.
#[derive(Debug)]
pub(crate) struct Frames {
    socket: TcpStream,
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// The code of a reset that is the server's way to give a stream up.
pub(crate) const CANCEL: u32 = 8;
/// The code for those who make too much work.
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

// === impl Frames ===

impl Frames {
    /// Opens a connection with settings of the client's own.
    pub(crate) async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::over(within(TcpStream::connect(address)).await.unwrap(), settings).await
    }

    /// The same, where the client's system takes few bytes that the client does not read.
    pub(crate) async fn narrow(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        Self::over(within(socket.connect(address)).await.unwrap(), settings).await
    }

    async fn over(mut socket: TcpStream, settings: &[(u16, u32)]) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut own = Self { socket };
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        own.send(&frame(SETTINGS, 0, 0, &payload)).await.unwrap();
        own
    }

    /// Sends frames, as far as the other side takes them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        within(self.socket.write_all(bytes)).await
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&self) {
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write).unwrap();
    }

    /// Takes some bytes, whatever they are; `None` at the end of the connection.
    pub(crate) async fn take(&mut self, most: usize) -> Option<usize> {
        let mut bytes = vec![0; most];
        within(self.socket.read(&mut bytes)).await.ok().filter(|count| *count > 0)
    }

    /// The next frame; `None` at the end of the connection, however it ends.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        within(self.socket.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        within(self.socket.read_exact(&mut payload)).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads until a frame of this kind comes, and answers what has to be answered meanwhile.
    pub(crate) async fn until(&mut self, kind: u8) -> Option<Frame> {
        let found = async {
            loop {
                let next = self.next().await?;
                let acknowledges = matches!(kind, SETTINGS | PING) && next.flags & ACK != 0;
                if next.kind == kind && !acknowledges {
                    return Some(next);
                }
                self.acknowledge(&next).await;
            }
        };
        within(found).await
    }

    async fn acknowledge(&mut self, next: &Frame) {
        if next.flags & ACK != 0 {
            return;
        }
        let answer = match next.kind {
            SETTINGS => frame(SETTINGS, ACK, 0, &[]),
            PING => frame(PING, ACK, 0, &next.payload),
            _ => return,
        };
        drop(self.send(&answer).await);
    }
}

// === impl Frame ===

impl Frame {
    /// The code of a reset, or of the end of a connection.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A frame as it is sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The fields of a GET request, encoded without a table.
pub(crate) fn get(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04];
    block.extend(text(path));
    block.push(0x01);
    block.extend(text("hub"));
    for (name, value) in fields {
        block.push(0);
        block.extend(text(name));
        block.extend(text(value));
    }
    block
}

/// A string with its length.
fn text(text: &str) -> Vec<u8> {
    let length = text.len();
    let mut bytes = if length < 127 { vec![u8::try_from(length).unwrap()] } else { vec![127] };
    if length >= 127 {
        let mut rest = length - 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    bytes.extend(text.as_bytes());
    bytes
}
