use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tidings_protocol::ProblemKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::problem::Refusal;
use crate::{Tls, defaults, status};

/// Answers for a hub whose log is not open yet, until it is dropped: `/healthz` with 200, and everything else with
/// 503, `Retry-After` and what is waited for. So an operator sees a process that lives and is not ready, and clients
/// come back.
///
/// Each connection is closed with its answer, so that none is left when the hub takes over the listeners. With a
/// certificate, it takes TLS and what is in clear.
pub async fn answer_while_opening(
    listeners: &[TcpListener],
    tls: Option<&Tls>,
    waiting: watch::Receiver<String>,
) {
    let places = Arc::new(Semaphore::new(defaults::OPENING_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match accept(listeners).await {
            Ok(stream) => {
                let (waiting, acceptor) = (waiting.clone(), tls.map(|tls| tls.acceptor().clone()));
                connections.spawn(async move {
                    drop(timeout(defaults::HEAD_TIMEOUT, greet(stream, acceptor, waiting)).await);
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

/// What the first byte of a TLS connection is.
const HANDSHAKE: u8 = 0x16;

async fn greet(stream: TcpStream, acceptor: Option<TlsAcceptor>, waiting: watch::Receiver<String>) {
    let mut first = [0];
    let Ok(1) = stream.peek(&mut first).await else { return };
    match acceptor.filter(|_| first == [HANDSHAKE]) {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, waiting).await;
            }
        }
        None => serve(stream, waiting).await,
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    waiting: watch::Receiver<String>,
) {
    let answer = |request: Request<Incoming>| {
        let waiting = waiting.borrow().clone();
        async move { Ok::<_, Infallible>(respond(request.uri().path(), waiting)) }
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(defaults::HEAD_TIMEOUT)
        .max_headers(defaults::HEAD_FIELDS);
    // Who leaves before the answer is nobody's trouble.
    drop(http.serve_connection(TokioIo::new(stream), service_fn(answer)).await);
}

fn respond(path: &str, waiting: String) -> Response {
    let mut response = match path {
        "/healthz" => status::alive(),
        _ => Refusal::new(ProblemKind::Unavailable, waiting).into_response(),
    };
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
