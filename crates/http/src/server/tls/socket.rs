use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::{Read, Session};

/// A TLS connection as the HTTP library wants it: bytes to read and bytes to write.
#[derive(Debug)]
pub(crate) struct TlsSocket<T> {
    io: T,
    session: Box<Session>,
    /// What was opened and not asked for: no more than what is read at once.
    opened: Bytes,
}

// === impl TlsSocket ===

impl<T> TlsSocket<T> {
    pub(crate) fn new(io: T, session: Box<Session>, opened: Bytes) -> Self {
        Self { io, session, opened }
    }

    /// Whether HTTP/2 was agreed on.
    pub(crate) fn is_http2(&self) -> bool {
        self.session.is_http2()
    }

    pub(crate) fn into_parts(self) -> (T, Box<Session>, Bytes) {
        (self.io, self.session, self.opened)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> TlsSocket<T> {
    /// Hands on what was sealed. Says whether all of it was taken; else the task is woken when more is.
    fn flush_sealed(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Self { io, session, .. } = self;
        session.flush(|bytes| send(io, cx, bytes))
    }

    fn write<B: Deref<Target = [u8]>>(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[B],
    ) -> Poll<io::Result<usize>> {
        let Self { io, session, .. } = self;
        let written = session.write(parts, |bytes| send(io, cx, bytes))?;
        if written.blocked && written.taken == 0 { Poll::Pending } else { Poll::Ready(Ok(written.taken)) }
    }

    /// Something is wrong, and the client is told so as far as its socket takes it.
    fn fail(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        if let Ok(true) = self.flush_sealed(cx) {
            drop(Pin::new(&mut self.io).poll_shutdown(cx));
        }
        error
    }
}

/// Writes until all is taken, or the task will be woken when more is.
fn send<T: AsyncWrite + Unpin>(io: &mut T, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut sent = 0;
    while sent < bytes.len() {
        match Pin::new(&mut *io).poll_write(cx, &bytes[sent..]) {
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => sent += count,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    Ok(Some(sent))
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsSocket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while buf.remaining() > 0 && buf.filled().len() == before {
            if !self.opened.is_empty() {
                let count = self.opened.len().min(buf.remaining());
                buf.put_slice(&self.opened[..count]);
                self.opened.advance(count);
                if self.opened.is_empty() {
                    // An empty slice of a large buffer would keep all of it.
                    self.opened = Bytes::new();
                }
                break;
            }
            let Self { io, session, .. } = &mut *self;
            let mut rest = Vec::new();
            let receive = |into: &mut [u8]| {
                let mut into = ReadBuf::new(into);
                match Pin::new(io).poll_read(cx, &mut into) {
                    Poll::Ready(read) => read.map(|()| Some(into.filled().len())),
                    Poll::Pending => Ok(None),
                }
            };
            let read = session.read(receive, |data| {
                let (first, beyond) = data.split_at(data.len().min(buf.remaining()));
                buf.put_slice(first);
                rest.extend_from_slice(beyond);
            });
            self.opened = rest.into();
            let read = read.map_err(|error| self.fail(cx, error))?;
            // An answer of this layer. What is not taken of it goes with what is written next.
            self.flush_sealed(cx)?;
            match read {
                Read::Some => {}
                Read::Blocked => return Poll::Pending,
                Read::Ended => break,
                Read::Cut => {
                    let error = "the client closed the connection without close_notify";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsSocket<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[buf])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.flush_sealed(cx)? {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.end();
        if !self.flush_sealed(cx)? {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
