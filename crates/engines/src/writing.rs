//! The task that writes what publishers bring, in groups: whoever arrives while a group is written is in the next.

use std::sync::Arc;

use tidings_log::{AppendError, Batch, LogUnavailable};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::EngineError;
use crate::awaiting::Publisher;
use crate::engine_state::EngineState;
use crate::limits::{GROUP_BATCHES, GROUP_BYTES, PATIENCE};

/// A batch on its way to the engine. Its publisher's share of the queue is its size.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) batch: Batch,
    pub(crate) publisher: Publisher,
}

/// Writes until nobody brings anything more. What was brought is finished.
pub(crate) async fn run(shared: Arc<EngineState>, mut queue: UnboundedReceiver<Append>) {
    let mut writes = JoinSet::new();
    while let Some(first) = queue.recv().await {
        while writes.len() >= shared.engine.writes().max(1) {
            drop(writes.join_next().await);
        }
        let mut bytes = first.publisher.share.num_permits();
        let (mut batches, mut publishers) = (vec![first.batch], vec![first.publisher]);
        while bytes < GROUP_BYTES && batches.len() < GROUP_BATCHES {
            let Ok(Append { batch, publisher }) = queue.try_recv() else { break };
            bytes += publisher.share.num_permits();
            batches.push(batch);
            publishers.push(publisher);
        }
        writes.spawn(write(Arc::clone(&shared), batches, publishers));
        while writes.try_join_next().is_some() {}
    }
    while writes.join_next().await.is_some() {}
}

async fn write(shared: Arc<EngineState>, batches: Vec<Batch>, publishers: Vec<Publisher>) {
    let fail = |publishers: Vec<Publisher>, reason: &LogUnavailable| {
        let answers = publishers.into_iter().map(|publisher| (publisher, Err(reason.clone().into())));
        shared.tell(answers);
    };
    // Nothing is half done where nothing is begun.
    if let Err(reason) = shared.present() {
        return fail(publishers, &reason);
    }
    let mut attachment = shared.attachment();
    if shared.engine.is_severed() {
        // Nothing is sent yet: the publisher need not know that the connection was closed while it was idle.
        shared.doubt(attachment, EngineError::away("a connection was closed"));
        if !shared.attached_after(attachment).await {
            return fail(publishers, &shared.unavailable());
        }
        attachment = shared.attachment();
    }
    let written = timeout(PATIENCE, shared.engine.write(batches))
        .await
        .unwrap_or_else(|_| Err(EngineError::away(format!("a write was not answered within {PATIENCE:?}"))));
    match written {
        Ok(answers) => {
            for (publisher, answer) in publishers.into_iter().zip(answers) {
                match answer {
                    Ok(appended) => {
                        shared.takes_writes(attachment);
                        shared.written(attachment, appended, publisher);
                    }
                    Err(error) => {
                        match &error {
                            AppendError::Unavailable(LogUnavailable { reason }) => {
                                shared.refuses(attachment, reason);
                            }
                            AppendError::Full { reason } => shared.full(attachment, reason),
                            _ => {}
                        }
                        shared.tell([(publisher, Err(error))]);
                    }
                }
            }
        }
        Err(error) => {
            shared.doubt(attachment, error);
            fail(publishers, &shared.unavailable());
        }
    }
}
