//! A WebSocket, from its handshake to its end.

mod driver;
mod reply;
mod wakers;

use std::sync::Arc;

use reqwest::{Method, StatusCode, Url, Version};
use tidings_websocket::ClientOpening;
use tokio::time::{Instant, timeout_at};

pub(crate) use driver::Shared;
pub(crate) use reply::Acknowledgement;

use crate::answer::{self, Failure};
use crate::client::ask;
use crate::received::Received;
use crate::stream::Patience;
use crate::{Client, Interruption, defaults};

/// What both sides speak in the socket's messages.
const PROTOCOL: &str = "tidings.v1";

/// An open WebSocket with one subscription. It is closed when this is dropped.
pub(crate) struct Socket {
    shared: Arc<Shared>,
    opened: Instant,
}

// === impl Socket ===

impl Socket {
    /// Opens a socket, and waits for its first message. `None` where the topic has ended.
    pub(crate) async fn open(
        client: &Client,
        url: Url,
        patience: Patience,
        event_bytes: usize,
    ) -> Result<Option<Self>, Failure> {
        let late = || Failure::from(Interruption::Stalled { after: patience.first_byte });
        let deadline = Instant::now() + patience.first_byte;
        let opening = ClientOpening::new(random(), PROTOCOL, true);
        let request = client.socket_request(Method::GET, url).await?.headers(opening.headers());
        let response = match ask(client, request.version(Version::HTTP_11), patience.first_byte).await {
            Err(Failure::Passing { reason: Interruption::TimedOut { .. }, .. }) => return Err(late()),
            answer => answer?,
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return match answer::check(response, "").await {
                Ok(None) => Ok(None),
                Ok(Some(response)) => {
                    let what = format!("status {}", response.status());
                    Err(Interruption::NoSocket { what }.into())
                }
                Err(failure) => Err(not_opened(failure)),
            };
        }
        let accepted = opening
            .check(response.status(), response.headers())
            .map_err(|refused| Interruption::NoSocket { what: refused.to_string() })?;
        let io = response.upgrade().await.map_err(Interruption::of_request)?;
        let shared = Arc::new(Shared::new(Box::new(io), accepted, event_bytes));
        let socket = Self { shared, opened: Instant::now() };
        timeout_at(deadline, socket.shared.has_told()).await.map_err(|_| late())??;
        client.has_socket(&socket.shared);
        Ok(Some(socket))
    }

    /// Whether it has lasted long enough to count as a success.
    pub(crate) fn is_settled(&self) -> bool {
        self.opened.elapsed() >= defaults::SETTLED
    }

    /// Takes what comes next. What was complete before a failure is told before it.
    pub(crate) async fn read(&self, patience: Patience) -> (Vec<Received>, Result<(), Failure>) {
        loop {
            let silent_at = self.shared.heard() + patience.silence;
            match timeout_at(silent_at, self.shared.told()).await {
                Ok(Ok(told)) => return (told, Ok(())),
                Ok(Err(failure)) => return (Vec::new(), Err(failure)),
                // Somebody who publishes may have heard of the hub meanwhile.
                Err(_) if self.shared.heard() + patience.silence > Instant::now() => {}
                Err(_) => {
                    let silent = Interruption::Silent { after: patience.silence };
                    return (Vec::new(), Err(silent.into()));
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Something other than a hub that refuses it: one that knows no sockets, or a proxy that lets none through.
fn not_opened(failure: Failure) -> Failure {
    match failure {
        Failure::Passing { reason: Interruption::Unexpected { what }, .. } => {
            Interruption::NoSocket { what }.into()
        }
        Failure::Lasting(problem) if problem.status == StatusCode::UPGRADE_REQUIRED.as_u16() => {
            Interruption::NoSocket { what: problem.detail }.into()
        }
        failure => failure,
    }
}

/// Bytes that nobody foresees (RFC 6455 §5.3).
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    bytes
}
