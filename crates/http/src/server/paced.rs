use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body as AnyBody;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// A body that is given away in small pieces. With each that is taken, its client shows that it reads; and what is not
/// taken stays here, rather than in the buffers of the library, which would take all of it at once.
#[derive(Debug)]
struct Paced {
    body: AnyBody,
    /// What is left of a frame.
    rest: Bytes,
    piece: usize,
}

/// Gives the body of a response away in pieces of so many bytes.
pub(crate) fn pace(response: Response, piece: usize) -> Response {
    response.map(|body| AnyBody::new(Paced { body, rest: Bytes::new(), piece }))
}

// === impl Paced ===

impl Body for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        let count = self.rest.len().min(self.piece);
        let piece = self.rest.split_to(count);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}
