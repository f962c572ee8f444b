//! Connections that speak HTTP/2.

use std::convert::Infallible;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};

use crate::connection::{Host, Peer, Wire};
use crate::kept::keep;
use crate::limit::Limit;
use crate::metrics::Speaks;
use crate::paced::pace;
use crate::service::Origin;
use crate::socket::{Patient, Progress};
use crate::streams::Streams;
use crate::{authority, defaults};

impl Host {
    pub(crate) async fn http2<T: Wire>(self: Arc<Self>, io: T, progress: Arc<Progress>, mut peer: Peer) {
        peer.permit.speaks(Speaks { version: 2, tls: T::ENCRYPTED });
        let config = &self.face.config;
        // Dropping them ends every stream.
        let streams = Streams::new(&self.face, Arc::clone(&progress));
        let io = Patient::new(io, Arc::clone(&progress));
        let service = service_fn({
            let (host, address) = (Arc::clone(&self), peer.address);
            move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(progress.attention());
                let answering = progress.answering(request.method());
                let host = Arc::clone(&host);
                async move {
                    let origin = Origin { peer: address, encrypted: T::ENCRYPTED };
                    let (response, share) = match authority::check(&request, true) {
                        Ok(()) => host.service.answer(request, origin).await,
                        Err(refusal) => (host.service.refuse(&request, address, refusal).await, None),
                    };
                    let response = pace(response, defaults::HTTP2_PIECE_BYTES);
                    Ok::<_, Infallible>(keep(response, (answering.begun(), share)))
                }
            }
        });
        let connection = http2::Builder::new(streams.clone())
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.max_streams_per_connection)
            .max_header_list_size(u32::try_from(config.max_head_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(defaults::STREAM_PIECE_BYTES)
            .keep_alive_interval(defaults::HTTP2_PING)
            .keep_alive_timeout(defaults::HTTP2_PING)
            .serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => Some(served),
            () = self.face.draining.cancelled() => {
                // The streams end by themselves now. The connection speaks of its own end only after them: there are
                // clients that read nothing more once it has.
                tokio::select! {
                    served = connection.as_mut() => Some(served),
                    () = sleep(defaults::HTTP2_DRAIN) => None,
                }
            }
            () = streams.idle() => {
                self.face.metrics.count_limit(Limit::IdleTimeout);
                None
            }
        };
        let served = match served {
            Some(served) => Ok(served),
            None => {
                connection.as_mut().graceful_shutdown();
                // What was left of responses may be on its way still.
                timeout(config.write_timeout, connection).await
            }
        };
        match served {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended with an error"),
            Err(_) => tracing::debug!("closed a connection that did not end when it was told to"),
        }
    }
}
