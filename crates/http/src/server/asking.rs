//! A request of a connection that a shard has, with the routes, in a task of its own.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, DATE};
use http::response::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tidings_hub::panic_message;
use tidings_protocol::ProblemKind;
use tokio::sync::Semaphore;

use crate::api::problem::Refusal;
use crate::api::reply::Reply;
use crate::delivery::head::upgrade_head;
use crate::delivery::parking::{Asking, NewRequest, Piece, RequestFault, Requests, Said};
use crate::server::service::Service;
use crate::{api::authority, defaults};

/// Tells the shard where a task ends before its answer does.
struct Ending {
    asking: Asking,
    ended: bool,
}

impl Requests for Service {
    fn answer(self: Arc<Self>, request: NewRequest) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut ending = Ending { asking: request.asking.clone(), ended: false };
            let answered = AssertUnwindSafe(self.answer_stream(request)).catch_unwind().await;
            match answered {
                Ok(whole) => ending.ended = whole,
                Err(panic) => tracing::error!(
                    panic = panic_message(&*panic),
                    "a stream ended with a panic; this is a bug of the hub"
                ),
            }
        })
    }
}

impl Service {
    /// Answers a request. One that is refused does not come to the routes. Says whether the answer is whole.
    async fn answer_stream(&self, asked: NewRequest) -> bool {
        let NewRequest { request, fault, origin, answering, credit, asking } = asked;
        let refused = fault.map(|fault| match fault {
            RequestFault::HeadTooLarge => {
                let most = self.api.config.max_head_bytes;
                Refusal::new(ProblemKind::HeadTooLarge, format!("the limit is {most} bytes"))
            }
            RequestFault::Fragment => authority::fragment(),
            RequestFault::Target(reason) => Refusal::query(format!("the target cannot be read: {reason}")),
        });
        let checked = refused.map_or_else(|| authority::check(&request, true), Err);
        let (reply, share) = match checked {
            Ok(()) => self.answer(request, origin).await,
            Err(refusal) => (self.refuse(&request, origin.peer, refusal).await.into(), None),
        };
        let _answering = answering.begun();
        let (mut parts, body) = match reply {
            Reply::Whole(response) => response.into_parts(),
            Reply::Held { head, reader, .. } | Reply::Streamed { head, reader, .. } => {
                // The stream ends with what is sent.
                let reader = reader.headed(&head.into_parts().0, true);
                asking.say(Said::Wait(Box::new((reader, share))));
                return true;
            }
            Reply::Socket { head, socket } => {
                let head = upgrade_head(&head.into_parts().0);
                asking.say(Said::Open(Box::new((*socket, head, share))));
                return true;
            }
        };
        let date = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()));
        if let Ok(date) = date {
            parts.headers.entry(DATE).or_insert(date);
        }
        let parts = Box::new(parts);
        give(&asking, &credit, parts, body).await
    }
}

/// Gives an answer away. What is small goes at once, and what is large in pieces, few at a time.
async fn give(
    asking: &Asking,
    credit: &Semaphore,
    mut parts: Box<Parts>,
    mut body: axum::body::Body,
) -> bool {
    if body.is_end_stream() {
        asking.say(Said::Answer(parts, Piece { bytes: Bytes::new(), end: true }));
        return true;
    }
    let length = body.size_hint().exact();
    if let Some(length) = length {
        parts.headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    if length.is_some_and(|length| length <= defaults::HTTP2_PIECE_BYTES as u64) {
        let Ok(whole) = body.collect().await else { return false };
        asking.say(Said::Answer(parts, Piece { bytes: whole.to_bytes(), end: true }));
        return true;
    }
    // The head goes at once, as what follows may take its time.
    asking.say(Said::Answer(parts, Piece { bytes: Bytes::new(), end: false }));
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Ok(mut data) = frame.into_data() else { continue };
        while !data.is_empty() {
            let Ok(permit) = credit.acquire().await else { return false };
            permit.forget();
            let bytes = data.split_to(data.len().min(defaults::HTTP2_PIECE_BYTES));
            let end = data.is_empty() && body.is_end_stream();
            asking.say(Said::Piece(Piece { bytes, end }));
            if end {
                return true;
            }
        }
    }
    asking.say(Said::Piece(Piece { bytes: Bytes::new(), end: true }));
    true
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.ended {
            self.asking.say(Said::Broken);
        }
    }
}
