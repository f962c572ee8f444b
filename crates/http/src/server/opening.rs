use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use axum::response::Response;
use http::header::{CONNECTION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tidings_protocol::ProblemKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::api::problem::Refusal;
use crate::server::detect::{Protocol, detect};
use crate::{Cors, Tls, api::read, api::status, defaults};

/// What is said while there is no hub yet, and to whom.
#[derive(Debug)]
struct Desk {
    tls: Option<Tls>,
    cors: Cors,
    waiting: watch::Receiver<String>,
}

/// Answers for a hub whose log is not open yet, until it is dropped: `/healthz` with 200, streams with one that ends and
/// says when to come back, and everything else with 503, `Retry-After` and what is waited for. So an operator sees a
/// process that lives and is not ready, and clients come back.
///
/// Each connection is closed with its answer, so that none is left when the hub takes over the listeners. With a
/// certificate, it takes TLS and what is in clear.
pub async fn answer_while_opening(
    listeners: &[TcpListener],
    tls: Option<&Tls>,
    cors: &Cors,
    waiting: watch::Receiver<String>,
) {
    let desk = Arc::new(Desk { tls: tls.cloned(), cors: cors.clone(), waiting });
    let places = Arc::new(Semaphore::new(defaults::OPENING_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match accept(listeners).await {
            Ok(stream) => {
                let desk = Arc::clone(&desk);
                connections.spawn(async move {
                    drop(timeout(defaults::HEAD_TIMEOUT, desk.greet(stream)).await);
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                sleep(defaults::ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn accept(listeners: &[TcpListener]) -> io::Result<TcpStream> {
    poll_fn(|context| {
        for listener in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    })
    .await
}

// === impl Desk ===

impl Desk {
    async fn greet(self: Arc<Self>, stream: TcpStream) {
        match (detect(stream).await, &self.tls) {
            (Ok(Some((Protocol::Tls, io))), Some(tls)) => {
                let Ok(io) = tls.accept(io).await else { return };
                if io.is_http2() {
                    self.http2(io).await;
                } else {
                    self.http1(io).await;
                }
            }
            (Ok(Some((Protocol::Http1, io))), _) => self.http1(io).await,
            (Ok(Some((Protocol::Http2, io))), _) => self.http2(io).await,
            _ => {}
        }
    }

    // Who leaves before the answer is nobody's trouble.
    async fn http1(self: Arc<Self>, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            // Nothing is held here: whoever has sent a request and stops sending gets the answer.
            .half_close(true)
            .header_read_timeout(defaults::HEAD_TIMEOUT)
            .max_headers(defaults::HEAD_FIELDS);
        let answer = service_fn(move |request| {
            let desk = Arc::clone(&self);
            async move { Ok::<_, Infallible>(desk.answer(&request).await) }
        });
        drop(http.serve_connection(TokioIo::new(io), answer).await);
    }

    async fn http2(self: Arc<Self>, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let answered = Arc::new(Notify::new());
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(defaults::MAX_HEAD_BYTES).unwrap_or(u32::MAX));
        let asked = Arc::clone(&answered);
        let answer = service_fn(move |request| {
            asked.notify_one();
            let desk = Arc::clone(&self);
            async move { Ok::<_, Infallible>(desk.answer(&request).await) }
        });
        let connection = http.serve_connection(TokioIo::new(io), answer);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = answered.notified() => connection.as_mut().graceful_shutdown(),
        }
        drop(connection.await);
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response {
        let response = if request.uri().path() == "/healthz" {
            status::alive()
        } else {
            read::refuse(request, Refusal::new(ProblemKind::Unavailable, self.waiting.borrow().clone()))
        };
        let mut response = self.cors.show(request, response).await;
        let headers = response.headers_mut();
        if request.version() < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}
