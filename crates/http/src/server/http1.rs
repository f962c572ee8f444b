//! Connections that speak HTTP/1.1.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::api::reply::Reply;
use crate::delivery::head::upgrade_head;
use crate::delivery::parking::{
    Link, NewReader, NewSocket, Origin, PollResponse, Shape, SocketArrival, Space, Template, ticks,
};
use crate::metrics::Speaks;
use crate::server::connection::{Host, Peer, Wire};
use crate::server::kept::keep;
use crate::server::permits::Share;
use crate::server::socket::{HeadTimer, Progress};
use crate::server::strict::{Fragments, Strict};
use crate::{api::authority, defaults};

/// What a connection leaves hyper for, when it does, and its share of what its address may have.
type Leaving = Arc<Mutex<Option<(Leaver, Option<Share>)>>>;

/// What a connection leaves hyper for.
enum Leaver {
    Reader(Box<NewReader>),
    /// A WebSocket, with the head of the answer to its handshake.
    Socket(Box<NewSocket>, Vec<u8>),
}

impl Host {
    pub(crate) async fn http1<T: Wire>(self: Arc<Self>, io: T, progress: Arc<Progress>, mut peer: Peer) {
        peer.permit.speaks(Speaks { version: 1, tls: T::ENCRYPTED });
        let leaving = Leaving::default();
        let fragments = Arc::new(Fragments::default());
        let service = service_fn({
            let fragments = Arc::clone(&fragments);
            let (host, leaving, progress) = (Arc::clone(&self), Arc::clone(&leaving), Arc::clone(&progress));
            let address = peer.address;
            move |mut request: Request<Incoming>| {
                progress.request();
                request.extensions_mut().insert(Space);
                request.extensions_mut().insert(progress.attention());
                let answering = progress.answering(request.method());
                let has_fragment = fragments.next_has_one();
                let (host, leaving) = (Arc::clone(&host), Arc::clone(&leaving));
                async move {
                    let answer = host.answer_or_leave::<T>(request, address, has_fragment, leaving);
                    let (response, share) = answer.await;
                    Ok::<_, Infallible>(keep(response, (answering.begun(), share)))
                }
            }
        });
        let timer = HeadTimer::new(&self.api, &progress);
        let mut connection = http1::Builder::new()
            .timer(timer)
            .header_read_timeout(self.api.config.head_timeout)
            .max_headers(defaults::HEAD_FIELDS)
            .max_buf_size(self.api.config.max_head_bytes)
            .serve_connection(TokioIo::new(Strict::new(io, fragments, Arc::clone(&progress))), service);

        // The response that leaves never comes to hyper, so its connection waits from then on, and can be taken
        // apart as soon as what came before it has been written.
        let mut is_draining = false;
        let ended = loop {
            let mut run = |cx: &mut std::task::Context<'_>| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(served) => Poll::Ready(Some(served)),
                Poll::Pending if progress.is_flushed() && is_leaving(&leaving) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
            tokio::select! {
                biased;
                ended = poll_fn(&mut run) => break ended,
                () = self.api.draining.cancelled(), if !is_draining => is_draining = true,
            }
            Pin::new(&mut connection).graceful_shutdown();
        };
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "a connection ended with an error"),
            None => {
                let parts = connection.into_parts();
                let (io, heard) = parts.io.into_inner().into_parts();
                if let Ok(own) = io.into_parts() {
                    let unread = join(&parts.read_buf, &own.unread);
                    // What was read beyond the request belongs to another, and so may what was heard last.
                    let heard = heard.filter(|_| unread.is_empty());
                    self.park(own.link, unread, heard.as_deref(), &leaving, peer);
                }
            }
        }
    }

    /// Parks a connection. `unread` is what was read of it beyond the request, and `heard` the request's head, where it
    /// is known and short.
    fn park(&self, link: Link, mut unread: Bytes, heard: Option<&[u8]>, leaving: &Leaving, mut peer: Peer) {
        let leaving = leaving.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((leaver, share)) = leaving else { return };
        if let Some(share) = share {
            peer.permit.count_for(share);
        }
        let mut reader = match leaver {
            Leaver::Reader(reader) => *reader,
            Leaver::Socket(socket, head) => {
                let permit = Some(peer.permit);
                return self.parked.open(SocketArrival { link, socket: *socket, head, unread, permit });
            }
        };
        match &mut reader.interest.shape {
            // The connection ends with the stream.
            Shape::Stream { .. } => unread = Bytes::new(),
            Shape::Poll { response: None, .. } => {}
            Shape::Poll { response: Some(PollResponse { close, .. }), .. } => {
                // Whoever sends very much ahead sends it again on another connection (RFC 9112 §9.3.2).
                *close |= unread.len() > defaults::PIPELINED_BYTES;
                if *close {
                    unread = Bytes::new();
                }
                let asked = heard.zip(reader.asked);
                reader.template =
                    asked.and_then(|(heard, cursor)| Template::new(heard, cursor, ticks(reader.wait)));
            }
        }
        self.parked.park(link, reader, unread, Some(peer.permit));
    }

    /// Answers a request, or leaves the answer for a shard to give, and then never returns.
    async fn answer_or_leave<T: Wire>(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
        has_fragment: bool,
        leaving: Leaving,
    ) -> (Response, Option<Share>) {
        let fragment = if has_fragment { Err(authority::fragment()) } else { Ok(()) };
        if let Err(refusal) = fragment.and_then(|()| authority::check(&request, true)) {
            return (closing(self.service.refuse(&request, peer, refusal).await), None);
        }
        // A client that waits for leave to send its body, and is refused, cannot know whether the body is still asked
        // for unless it is told (RFC 9110 §10.1.1).
        let waits = request.version() == Version::HTTP_11 && request.headers().contains_key(EXPECT);
        let origin = Origin { peer, encrypted: T::ENCRYPTED };
        let (reply, share) = self.service.answer(request, origin).await;
        let leaver = match reply {
            Reply::Whole(response) if waits && !response.status().is_success() => {
                return (closing(response), share);
            }
            Reply::Whole(response) => return (response, share),
            Reply::Held { head, reader, .. } | Reply::Streamed { head, reader, .. } => {
                Leaver::Reader(Box::new(reader.headed(&head.into_parts().0, false)))
            }
            Reply::Socket { head, socket } => Leaver::Socket(socket, upgrade_head(&head.into_parts().0)),
        };
        *leaving.lock().unwrap_or_else(PoisonError::into_inner) = Some((leaver, share));
        std::future::pending().await
    }
}

fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn is_leaving(leaving: &Leaving) -> bool {
    leaving.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// A copy, as the originals may be pieces of larger buffers.
fn join(first: &Bytes, second: &Bytes) -> Bytes {
    if first.is_empty() {
        return Bytes::copy_from_slice(second);
    }
    let mut both = BytesMut::from(&first[..]);
    both.extend_from_slice(second);
    both.freeze()
}
