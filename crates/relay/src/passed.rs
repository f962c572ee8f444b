//! Answers that have no events, and are passed on as they are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame};
use tidings_http::ClientWatch;
use tokio::time::{Sleep, sleep};

use crate::caller::Broken;
use crate::fields;
use crate::lanes::InLane;

/// A body on its way to the caller, which may pause for so long.
struct Passed {
    body: reqwest::Body,
    silence: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    _watch: ClientWatch,
    _in_lane: InLane,
}

/// Passes an answer on.
pub(crate) fn pass(
    (response, in_lane): (reqwest::Response, InLane),
    silence: Duration,
    watch: ClientWatch,
) -> Response {
    let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    let mut passed =
        Response::new(Body::new(Passed { body, silence, deadline: None, _watch: watch, _in_lane: in_lane }));
    *passed.status_mut() = parts.status;
    *passed.headers_mut() = fields::for_caller(&parts.headers);
    // What a page of the endpoint's may do, it may not do in the name of the hub.
    let policy = HeaderValue::from_static("sandbox");
    passed.headers_mut().append(CONTENT_SECURITY_POLICY, policy);
    passed
        .headers_mut()
        .insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    passed
}

// === impl Passed ===

impl HttpBody for Passed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let own = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut own.body).poll_frame(cx) {
            own.deadline = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|_| Broken)));
        }
        let silence = own.silence;
        let deadline = own.deadline.get_or_insert_with(|| Box::pin(sleep(silence)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
