use std::ops::Deref;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tidings_engine::EngineError;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::task::AbortOnDropHandle;

use crate::error::failed;
use crate::limits::{ANSWER, STOPPED};
use crate::options::Options;

/// A connection to Postgres. It ends when it is dropped, and with it a transaction that is open.
pub(crate) struct Session {
    client: Client,
    _task: AbortOnDropHandle<()>,
}

/// What notifications say: that there may be something. They may be merged, and are lost with their connection.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    /// There may be new entries.
    pub(crate) log: Notify,
    /// Applications may have published something.
    pub(crate) outbox: Notify,
}

// === impl Session ===

impl Session {
    /// Connects to the host that takes writes.
    pub(crate) async fn connect(options: &Options, hints: &Arc<Hints>) -> Result<Self, EngineError> {
        let at = format!("connect to {}", options.shown);
        let patience = ANSWER * u32::try_from(options.config.get_ports().len()).unwrap_or(1);
        let connected = timeout(patience, options.config.connect(options.tls.connector()?)).await;
        let connected = connected
            .map_err(|_| EngineError::away(format!("failed to {at}: no answer within {patience:?}")))?;
        let (client, mut connection) = connected.map_err(|error| failed(&at, &error))?;
        let hints = Arc::clone(hints);
        let task = tokio::spawn(async move {
            let mut messages = poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notification(notification)) => hints.ring(notification.payload()),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a connection to Postgres has ended");
                        break;
                    }
                }
            }
            // Whoever waits is to find out.
            hints.log.notify_one();
            hints.outbox.notify_one();
        });
        let session = Self { client, _task: AbortOnDropHandle::new(task) };
        // Every statement here finds its rows by an index. Statistics of a table that was empty must not say otherwise.
        let settings = format!(
            "SET search_path = pg_catalog; SET default_transaction_isolation = 'read committed'; \
             SET client_min_messages = warning; SET synchronous_commit = {}; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}; SET enable_seqscan = off; SET jit = off",
            options.commit,
            ANSWER.as_millis(),
            STOPPED.as_millis(),
        );
        in_time(&at, session.batch_execute(&settings)).await?;
        Ok(session)
    }
}

impl Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Waits for an answer, but not for ever.
pub(crate) async fn in_time<T>(
    what: &str,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, EngineError> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => answer.map_err(|error| failed(what, &error)),
        Err(_) => Err(EngineError::away(format!("failed to {what}: no answer within {ANSWER:?}"))),
    }
}

// === impl Hints ===

impl Hints {
    fn ring(&self, payload: &str) {
        if payload == "outbox" { self.outbox.notify_one() } else { self.log.notify_one() }
    }
}
