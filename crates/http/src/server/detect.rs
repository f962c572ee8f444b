use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What an HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a TLS connection begins with: the type of a record that carries a handshake (RFC 8446 §5.1). No method of
/// HTTP begins with it.
const HANDSHAKE: u8 = 22;

/// Which protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Tls,
}

/// A connection whose first bytes have been read already.
#[derive(Debug)]
pub(crate) struct Rewound<T> {
    prefix: Bytes,
    inner: T,
}

/// Reads as much of a connection as tells its protocol; `None` where it ends before that.
pub(crate) async fn detect<T: AsyncRead + Unpin>(mut io: T) -> io::Result<Option<(Protocol, Rewound<T>)>> {
    // No larger than it must be: a connection that has said nothing yet should cost next to nothing.
    let mut prefix = [0; PREFACE.len()];
    let mut known = 0;
    loop {
        let protocol = if known > 0 && prefix[0] == HANDSHAKE {
            Protocol::Tls
        } else if prefix[..known] != PREFACE[..known] {
            Protocol::Http1
        } else if known == PREFACE.len() {
            Protocol::Http2
        } else {
            match io.read(&mut prefix[known..]).await? {
                0 => return Ok(None),
                count => known += count,
            }
            continue;
        };
        return Ok(Some((protocol, Rewound::new(Bytes::copy_from_slice(&prefix[..known]), io))));
    }
}

// === impl Rewound ===

impl<T> Rewound<T> {
    pub(crate) fn new(prefix: Bytes, inner: T) -> Self {
        Self { prefix, inner }
    }

    /// What has been read and not been asked for, and the connection.
    pub(crate) fn into_parts(self) -> (Bytes, T) {
        (self.prefix, self.inner)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewound<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let count = self.prefix.len().min(buf.remaining());
            buf.put_slice(&self.prefix[..count]);
            self.prefix.advance(count);
            if self.prefix.is_empty() {
                // An empty slice of a large buffer would keep all of it.
                self.prefix = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewound<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
