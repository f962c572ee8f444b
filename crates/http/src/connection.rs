use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::detect::{Rewound, Version, detect};
use crate::linger::Lingering;
use crate::parking::{Lot, Order, Shape, Slip, Space, Template, ticks};
use crate::socket::{HeadTimer, Progress, Watched};
use crate::{Face, defaults, head};

/// What every connection of a server works with.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) face: Face,
    pub(crate) router: Router,
    pub(crate) lot: Arc<Lot>,
}

/// What connections are made of.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether what is written to it goes to the socket as it is, so that the socket can be parked.
    const PARKS: bool;

    /// The socket itself.
    fn into_socket(self) -> io::Result<OwnedFd>;
}

/// How serving a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ended,
    /// It lives on in the lot.
    Parked,
}

/// A response that is to be given in the lot: its head so far, and how to go on.
type Leaving = Arc<Mutex<Option<(Vec<u8>, Order)>>>;

// === impl TcpStream ===

impl Wire for TcpStream {
    const PARKS: bool = true;

    fn into_socket(self) -> io::Result<OwnedFd> {
        self.into_std().map(OwnedFd::from)
    }
}

// === impl Host ===

impl Host {
    /// Serves a connection until it ends or is parked, or until it has nothing under way and the hub shuts down.
    pub(crate) async fn serve<T: Wire>(self, io: T) -> Outcome {
        let progress = Arc::new(Progress::default());
        let io = Watched::new(io, self.face.config.write_timeout, Arc::clone(&progress));
        let detected = tokio::select! {
            // A request that is there already is answered, also while the hub shuts down.
            biased;
            detected = timeout(defaults::HEAD_TIMEOUT, detect(io)) => detected,
            () = self.face.draining.cancelled() => return Outcome::Ended,
        };
        let served = match detected {
            // Boxed, so that a connection has room for them only when it has said something.
            Ok(Ok(Some((Version::Http1, io)))) => Box::pin(self.http1(io, progress)).await,
            Ok(Ok(Some((Version::Http2, io)))) => Box::pin(self.http2(io)).await.map(|()| Outcome::Ended),
            Ok(Ok(None)) | Err(_) => return Outcome::Ended,
            Ok(Err(error)) => {
                tracing::debug!(%error, "failed to read from a connection");
                return Outcome::Ended;
            }
        };
        served.unwrap_or_else(|error| {
            tracing::debug!(%error, "a connection ended with an error");
            Outcome::Ended
        })
    }

    /// Goes on with a connection that has left the lot. `unread` is what was read of it already.
    pub(crate) async fn resume<T: Wire>(self, io: T, unread: Bytes) -> Outcome {
        let progress = Arc::new(Progress::default());
        progress.request();
        let io =
            Watched::new(io, self.face.config.write_timeout, Arc::clone(&progress)).having_heard(&unread);
        self.http1(Rewound::new(unread, io), progress).await.unwrap_or(Outcome::Ended)
    }

    async fn http1<T: Wire>(
        &self,
        io: Rewound<Watched<T>>,
        progress: Arc<Progress>,
    ) -> hyper::Result<Outcome> {
        let leaving = Leaving::default();
        let service = service_fn({
            let (progress, leaving, router) =
                (Arc::clone(&progress), Arc::clone(&leaving), self.router.clone());
            move |mut request: Request<Incoming>| {
                progress.request();
                if T::PARKS {
                    request.extensions_mut().insert(Space);
                }
                call_or_leave(router.clone(), request, Arc::clone(&leaving))
            }
        });
        let timer = HeadTimer { progress: Arc::clone(&progress), idle: defaults::IDLE_TIMEOUT };
        let mut connection = http1::Builder::new()
            .timer(timer)
            .header_read_timeout(defaults::HEAD_TIMEOUT)
            .max_headers(defaults::HEAD_FIELDS)
            .max_buf_size(defaults::HEAD_BYTES)
            .serve_connection(TokioIo::new(io), service);

        // The response that leaves never comes to hyper, so its connection waits from then on, and can be
        // taken apart as soon as the responses before it have been written.
        let ended = {
            let mut run = |cx: &mut Context<'_>| match Pin::new(&mut connection).poll(cx) {
                Poll::Ready(served) => Poll::Ready(Some(served)),
                Poll::Pending if progress.is_flushed() && is_leaving(&leaving) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
            tokio::select! {
                biased;
                ended = poll_fn(&mut run) => Some(ended),
                () = self.face.draining.cancelled() => None,
            }
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                    Poll::Ready(served) => Poll::Ready(Some(served)),
                    Poll::Pending if progress.is_flushed() && is_leaving(&leaving) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                })
                .await
            }
        };
        if let Some(served) = ended {
            return served.map(|()| Outcome::Ended);
        }
        let parts = connection.into_parts();
        let (rest, watched) = parts.io.into_inner().into_parts();
        Ok(self.park(watched, &leaving, join(parts.read_buf, rest)))
    }

    fn park<T: Wire>(&self, io: Watched<T>, leaving: &Leaving, unread: Bytes) -> Outcome {
        let left = leaving.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (io, heard) = io.into_parts();
        let (Some((mut head, mut order)), Ok(socket)) = (left, io.into_socket()) else {
            return Outcome::Ended;
        };
        match &mut order.interest.shape {
            Shape::Stream { .. } => {
                head::write_stream_end(&mut head);
                head.append(&mut order.opening);
                order.opening = head;
            }
            Shape::Poll { head: own, .. } => {
                *own = head.into();
                order.template =
                    order.asked.and_then(|cursor| Template::new(&heard, cursor, ticks(order.wait)));
            }
        }
        self.lot.park(socket, order, unread);
        Outcome::Parked
    }

    async fn http2<T: Wire>(&self, io: Rewound<Watched<T>>) -> hyper::Result<()> {
        let router = self.router.clone();
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(defaults::HTTP2_STREAMS)
            .max_header_list_size(u32::try_from(defaults::HEAD_BYTES).unwrap_or(u32::MAX))
            .max_send_buf_size(defaults::STREAM_CHUNK_BYTES)
            .keep_alive_interval(defaults::HTTP2_PING)
            .keep_alive_timeout(defaults::HTTP2_PING)
            .serve_connection(
                TokioIo::new(io),
                service_fn(move |request| router.clone().oneshot(Lingering::wrap(request))),
            );
        tokio::pin!(connection);
        tokio::select! {
            served = connection.as_mut() => return served,
            () = self.face.draining.cancelled() => {}
        }
        // The streams end by themselves now. The connection speaks of its own end only after them: there are
        // clients that read nothing more once it has.
        tokio::select! {
            served = connection.as_mut() => return served,
            () = sleep(defaults::HTTP2_DRAIN) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

fn is_leaving(leaving: &Leaving) -> bool {
    leaving.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Answers a request, or leaves the answer for the lot to give, and then never returns.
async fn call_or_leave(
    router: Router,
    request: Request<Incoming>,
    leaving: Leaving,
) -> Result<Response, Infallible> {
    // A client that waits for leave to send its body, and is refused, cannot know whether the body is still asked
    // for unless it is told (RFC 9110 §10.1.1).
    let waits = request.version() == http::Version::HTTP_11 && request.headers().contains_key(EXPECT);
    let mut response = router.oneshot(Lingering::wrap(request)).await?;
    if waits && !response.status().is_success() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let Some(order) = response.extensions_mut().remove::<Slip>().and_then(|slip| slip.take()) else {
        return Ok(response);
    };
    let mut head = Vec::new();
    head::write(&response.into_parts().0, &mut head);
    *leaving.lock().unwrap_or_else(PoisonError::into_inner) = Some((head, order));
    std::future::pending().await
}

fn join(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    let mut both = BytesMut::from(first);
    both.extend_from_slice(&second);
    both.freeze()
}
