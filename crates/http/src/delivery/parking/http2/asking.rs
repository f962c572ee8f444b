//! A request with the routes, in a task of its own.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, DATE};
use http::response::Parts;
use http::{HeaderValue, Request};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tidings_http2::StreamId;
use tidings_hub::panic_message;
use tokio::sync::Semaphore;

use super::stream::Piece;
use super::upload::Upload;
use crate::api::problem::Refusal;
use crate::api::reply::Reply;
use crate::delivery::parking::mailbox::{Mailbox, Message};
use crate::delivery::parking::new_reader::NewReader;
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::websocket::NewSocket;
use crate::server::head::upgrade_head;
use crate::server::permits::Share;
use crate::server::service::{Origin, Service};
use crate::{api::authority, defaults, server::socket};

/// How a request's task speaks to the shard.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) name: StreamName,
}

/// Names a stream of a shard's connections, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamName {
    /// The shard, of those that have had the mailbox.
    pub(crate) shard: u32,
    pub(crate) connection: Key,
    pub(crate) stream: StreamId,
}

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Said {
    /// The head of the answer, and the first piece of its body.
    Answer(Box<Parts>, Piece),
    /// Another piece.
    Piece(Piece),
    /// The stream waits for events.
    Wait(Box<(NewReader, Option<Share>)>),
    /// The stream is a WebSocket from now on.
    Open(Box<(NewSocket, Vec<u8>, Option<Share>)>),
    /// So much of the request's body was taken.
    Consumed(usize),
    /// Nobody reads the rest of the request's body.
    Unwanted,
    /// There is no more to come, and the answer is not whole.
    Broken,
}

/// What a request's task works with.
pub(crate) struct Answering {
    pub(crate) service: Arc<Service>,
    pub(crate) origin: Origin,
    pub(crate) answering: socket::Answering,
    /// The pieces that it may give.
    pub(crate) credit: Arc<Semaphore>,
    pub(crate) asking: Asking,
}

/// Tells the shard where a task ends before its answer does.
struct Ending {
    asking: Asking,
    ended: bool,
}

// === impl Asking ===

impl Asking {
    pub(crate) fn say(&self, said: Said) {
        self.mailbox.post(Message::Stream(self.name, said));
    }
}

// === impl Answering ===

impl Answering {
    /// Answers a request. One that is refused does not come to the routes.
    pub(crate) async fn run(self, request: Request<Upload>, refused: Option<Refusal>) {
        let mut ending = Ending { asking: self.asking.clone(), ended: false };
        let answered = AssertUnwindSafe(self.answer(request, refused)).catch_unwind().await;
        match answered {
            Ok(whole) => ending.ended = whole,
            Err(panic) => tracing::error!(
                panic = panic_message(&*panic),
                "a stream ended with a panic; this is a bug of the hub"
            ),
        }
    }

    /// Says whether the answer is whole.
    async fn answer(self, request: Request<Upload>, refused: Option<Refusal>) -> bool {
        let Self { service, origin, answering, credit, asking } = self;
        let checked = refused.map_or_else(|| authority::check(&request, true), Err);
        let (reply, share) = match checked {
            Ok(()) => service.answer(request, origin).await,
            Err(refusal) => (service.refuse(&request, origin.peer, refusal).await.into(), None),
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
