use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as AnyBody;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The body of a response, with what has to be kept for as long as it lasts.
#[derive(Debug)]
struct Kept<G> {
    body: AnyBody,
    _guard: G,
}

/// Keeps something for as long as a response lasts.
pub(crate) fn keep<G: Send + Unpin + 'static>(response: Response, guard: G) -> Response {
    response.map(|body| AnyBody::new(Kept { body, _guard: guard }))
}

impl<G: Unpin> Body for Kept<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
