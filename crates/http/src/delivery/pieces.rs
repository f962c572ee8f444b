use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tidings_protocol::Selection;

use crate::defaults;
use crate::delivery::context::Context;
use crate::delivery::remainder::{Lost, Remainder};

/// A remainder that its reader takes in pieces.
pub(crate) struct Pieces {
    context: Context,
    selection: Arc<Selection>,
    remainder: Remainder,
}

/// A body of pieces that are so many bytes together.
struct Measured<S> {
    pieces: S,
    left: u64,
}

// === impl Pieces ===

impl Pieces {
    pub(crate) fn new(context: Context, selection: Arc<Selection>, mut remainder: Remainder) -> Self {
        remainder.settle(&context.lately);
        Self { context, selection, remainder }
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Lost>> {
        loop {
            let piece = self.remainder.compose(defaults::STREAM_PIECE_BYTES);
            if !piece.is_empty() {
                self.remainder.advance(piece.len());
                self.remainder.settle(&self.context.lately);
                return Some(Ok(Bytes::from(piece)));
            }
            let ((epoch, after), look) = self.remainder.wants()?;
            if self.remainder.recall(&self.context.lately) {
                continue;
            }
            let found = match self.context.hub.read_folded(epoch, after, &self.selection, look).await {
                Ok(found) => self.remainder.feed(&found.recent, &self.selection),
                Err(error) => {
                    tracing::debug!(%error, "failed to go on with an answer");
                    Err(Lost)
                }
            };
            if let Err(lost) = found {
                return Some(Err(lost));
            }
        }
    }

    /// All of it as a body whose length is known.
    pub(crate) fn into_body(self, length: usize) -> Body {
        let pieces = stream::unfold(self, |mut pieces| async {
            let piece = pieces.next().await?;
            Some((piece, pieces))
        });
        Body::new(Measured { pieces: Box::pin(pieces), left: length as u64 })
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("remainder", &self.remainder).finish_non_exhaustive()
    }
}

// === impl Measured ===

impl<S: Stream<Item = Result<Bytes, Lost>> + Unpin> HttpBody for Measured<S> {
    type Data = Bytes;
    type Error = Lost;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Lost>>> {
        let piece = ready!(Pin::new(&mut self.pieces).poll_next(cx));
        if let Some(Ok(piece)) = &piece {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
