use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::detect::{Rewound, Version, detect};
use crate::linger::Lingering;
use crate::socket::{HeadTimer, Progress, Watched};
use crate::{HttpConfig, defaults};

/// Serves one connection until it ends, or until it has nothing under way and the hub shuts down.
pub(crate) async fn serve<T>(io: T, router: Router, config: Arc<HttpConfig>, draining: CancellationToken)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let progress = Arc::new(Progress::default());
    let io = Watched::new(io, config.write_timeout, Arc::clone(&progress));
    let detected = tokio::select! {
        detected = timeout(defaults::HEAD_TIMEOUT, detect(io)) => detected,
        () = draining.cancelled() => return,
    };
    let served = match detected {
        Ok(Ok(Some((Version::Http1, io)))) => http1(io, router, progress, draining).await,
        Ok(Ok(Some((Version::Http2, io)))) => http2(io, router, draining).await,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            tracing::debug!(%error, "failed to read from a connection");
            return;
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

async fn http1<T>(
    io: Rewound<Watched<T>>,
    router: Router,
    progress: Arc<Progress>,
    draining: CancellationToken,
) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let timer = HeadTimer { progress: Arc::clone(&progress), idle: defaults::IDLE_TIMEOUT };
    let service = service_fn(move |request| {
        progress.request();
        call(router.clone(), request)
    });
    let connection = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(defaults::HEAD_TIMEOUT)
        .max_headers(defaults::HEAD_FIELDS)
        .max_buf_size(defaults::HEAD_BYTES)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return served,
        () = draining.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn http2<T>(io: Rewound<Watched<T>>, router: Router, draining: CancellationToken) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(defaults::HTTP2_STREAMS)
        .max_header_list_size(u32::try_from(defaults::HEAD_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(defaults::STREAM_CHUNK_BYTES)
        .keep_alive_interval(defaults::HTTP2_PING)
        .keep_alive_timeout(defaults::HTTP2_PING)
        .serve_connection(TokioIo::new(io), service_fn(move |request| call(router.clone(), request)));
    tokio::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return served,
        () = draining.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn call(router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    // A client that waits for leave to send its body, and is refused, cannot know whether the body is still asked
    // for unless it is told (RFC 9110 §10.1.1).
    let waits = request.version() == http::Version::HTTP_11 && request.headers().contains_key(EXPECT);
    let mut response = router.oneshot(Lingering::wrap(request)).await?;
    if waits && !response.status().is_success() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
