use std::convert::Infallible;
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use futures_util::future::join_all;
use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tidings_protocol::ProblemKind;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::problem::Refusal;
use crate::{defaults, status};

/// Answers for a hub whose log is not open yet, until it is dropped: `/healthz` with 200, and everything else with
/// 503, `Retry-After` and what is waited for. So an operator sees a process that lives and is not ready, and clients
/// come back.
///
/// Each connection is closed with its answer, so that none is left when the hub takes over the listeners.
pub async fn answer_while_opening(listeners: &[TcpListener], waiting: watch::Receiver<String>) {
    join_all(listeners.iter().map(|listener| answer(listener, waiting.clone()))).await;
}

async fn answer(listener: &TcpListener, waiting: watch::Receiver<String>) {
    let places = Arc::new(Semaphore::new(defaults::OPENING_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let waiting = waiting.clone();
                connections.spawn(async move {
                    drop(timeout(defaults::HEAD_TIMEOUT, serve(stream, waiting)).await);
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

async fn serve(stream: TcpStream, waiting: watch::Receiver<String>) {
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
    response
}
