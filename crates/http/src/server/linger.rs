use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::defaults;

/// The body of a request on a connection. What a refusal leaves of it unread is thrown away for a while: to close a
/// connection with bytes that nobody has read resets it, and a client that is still sending would lose its answer.
#[derive(Debug)]
pub(crate) struct Lingering<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    body: Option<B>,
}

// === impl Lingering ===

impl<B> Lingering<B>
where
    B: Body<Data = Bytes, Error: Into<axum::BoxError>> + Send + Unpin + 'static,
{
    pub(crate) fn wrap(request: Request<B>) -> Request<axum::body::Body> {
        // A client that waits for leave to send its body has not sent it, and after a refusal does not.
        let waits = request.headers().contains_key(EXPECT);
        request.map(|body| {
            if waits || body.is_end_stream() {
                axum::body::Body::new(body)
            } else {
                axum::body::Body::new(Self { body: Some(body) })
            }
        })
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Lingering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Lingering<B> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream())
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn(timeout(defaults::LINGER_TIMEOUT, discard(body))));
        }
    }
}

async fn discard(mut body: impl Body<Data = Bytes> + Unpin) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > defaults::LINGER_BYTES {
            break;
        }
    }
}
