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

/// What is on its way to the engine. Its publisher's share of the queue is its size.
#[derive(Debug)]
pub(crate) enum Append {
    One {
        batch: Batch,
        publisher: Publisher,
    },
    /// Each is appended only where those before it were.
    Chain {
        batches: Vec<Batch>,
        publishers: Vec<Publisher>,
    },
}

/// What is written at once.
#[derive(Debug)]
struct Group {
    batches: Vec<Batch>,
    publishers: Vec<Publisher>,
    is_chain: bool,
}

/// Writes until nobody brings anything more. What was brought is finished.
pub(crate) async fn run(shared: Arc<EngineState>, mut queue: UnboundedReceiver<Append>) {
    let mut writes = JoinSet::new();
    // What was taken from the queue and belongs to no group yet.
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => match queue.recv().await {
                Some(first) => first,
                None => break,
            },
        };
        while writes.len() >= shared.engine.writes().max(1) {
            drop(writes.join_next().await);
        }
        let group = match first {
            Append::Chain { batches, publishers } => Group { batches, publishers, is_chain: true },
            Append::One { batch, publisher } => {
                let mut bytes = publisher.share.num_permits();
                let (mut batches, mut publishers) = (vec![batch], vec![publisher]);
                while bytes < GROUP_BYTES && batches.len() < GROUP_BATCHES {
                    match queue.try_recv() {
                        Ok(Append::One { batch, publisher }) => {
                            bytes += publisher.share.num_permits();
                            batches.push(batch);
                            publishers.push(publisher);
                        }
                        Ok(chain @ Append::Chain { .. }) => {
                            next = Some(chain);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                Group { batches, publishers, is_chain: false }
            }
        };
        writes.spawn(write(Arc::clone(&shared), group));
        while writes.try_join_next().is_some() {}
    }
    while writes.join_next().await.is_some() {}
}

async fn write(shared: Arc<EngineState>, group: Group) {
    let Group { batches, publishers, is_chain } = group;
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
    let writing = if is_chain { shared.engine.write_chain(batches) } else { shared.engine.write(batches) };
    let written = timeout(PATIENCE, writing)
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
