use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::jetstream::{self, Context, stream::Stream};
use tidings_engine::EngineError;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::epoch::Begun;
use crate::ledger::Ledger;
use crate::limits::{ANSWER, HEADROOM, PULL_BYTES};
use crate::options::Options;
use crate::subject::Subjects;

/// A connection to NATS. It ends with its TCP connection, and another is made by attaching.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: async_nats::Client,
    pub(crate) context: Context,
    pub(crate) stream: Stream,
    pub(crate) subjects: Subjects,
    pub(crate) begun: Begun,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    /// The message up to which the feed has come.
    pub(crate) progress: watch::Sender<u64>,
    pub(crate) lost: CancellationToken,
    _end: DropGuard,
}

// === impl Connection ===

impl Connection {
    /// Connects, without looking at any stream yet.
    pub(crate) async fn open(
        options: &Options,
    ) -> Result<(async_nats::Client, Context, CancellationToken), EngineError> {
        let lost = CancellationToken::new();
        let client = options.connect(lost.clone()).await?;
        let context = jetstream::ContextBuilder::new().timeout(ANSWER).build(client.clone());
        Ok((client, context, lost))
    }

    pub(crate) fn new(
        (client, context, lost): (async_nats::Client, Context, CancellationToken),
        stream: Stream,
        subjects: Subjects,
        begun: Begun,
        ledger: Arc<Mutex<Ledger>>,
        seen: u64,
    ) -> Self {
        let progress = watch::Sender::new(seen);
        let end = lost.clone().drop_guard();
        Self { client, context, stream, subjects, begun, ledger, progress, lost, _end: end }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The largest message without its headers.
    pub(crate) fn body_limit(&self) -> usize {
        self.client.server_info().max_payload.saturating_sub(HEADROOM)
    }

    /// Waits until the feed has come to a message.
    pub(crate) async fn reaches(&self, number: u64) -> Result<(), EngineError> {
        let mut progress = self.progress.subscribe();
        tokio::select! {
            reached = progress.wait_for(|now| *now >= number) => reached.map(drop).map_err(|_| lost()),
            () = self.lost.cancelled() => Err(lost()),
        }
    }
}

/// How many bytes NATS may send ahead. A message that is larger would never be sent.
pub(crate) fn pull_bytes(client: &async_nats::Client) -> usize {
    PULL_BYTES.max(client.server_info().max_payload.saturating_add(HEADROOM))
}

pub(crate) fn lost() -> EngineError {
    EngineError::away("the connection was lost")
}
