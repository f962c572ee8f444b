use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::{Face, connection, defaults};

/// Serves the face of a hub on a port of its own: HTTP/1.1 and, by prior knowledge, HTTP/2, in clear.
#[derive(Debug)]
pub struct Server {
    face: Face,
    listener: TcpListener,
}

// === impl Server ===

impl Server {
    /// Takes a listening socket.
    #[must_use]
    pub fn new(face: Face, listener: TcpListener) -> Self {
        Self { face, listener }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// As the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` resolves, then drains (§4): no new connection is taken, held polls and streams
    /// end, and publishes that were accepted are finished. Connections that do not end by themselves are
    /// closed after [`defaults::DRAIN_TIMEOUT`].
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { face, listener } = self;
        let router = face.router();
        let places = Arc::new(Semaphore::new(face.config.max_connections.min(Semaphore::MAX_PERMITS)));
        // Dropping it ends every connection, so none outlives the server.
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let serving =
                connection::serve(stream, router.clone(), Arc::clone(&face.config), face.draining.clone());
            let open = face.metrics.connections.clone();
            connections.spawn(async move {
                open.inc();
                serving.await;
                open.dec();
                drop(place);
            });
        }
        drop(listener);
        face.drain();
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(defaults::DRAIN_TIMEOUT, all_ended).await.is_err() {
            tracing::warn!(open = connections.len(), "closed connections that did not end in time");
        }
    }
}

/// The next connection, once there is a place for it. Where the system has no more open files, those that are
/// open are served on, and accepting goes on when some have been closed.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // An event is to leave at once, whatever was sent before it.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "failed to set TCP_NODELAY");
            }
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "failed to accept a connection");
            sleep(defaults::ACCEPT_PAUSE).await;
            None
        }
    }
}
