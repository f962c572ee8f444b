use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};
use tidings_engine::{EngineError, Fed, Feed};
use tidings_log::BoxFuture;
use tidings_protocol::Sequence;
use tokio::time::timeout;

use crate::connection::{Connection, because};
use crate::entry::{Entry, streams};
use crate::limits::{ANSWER, BLOCK};

/// What comes into the stream, by a reader that Redis holds until something does.
pub(crate) struct RedisFeed {
    pub(crate) held: MultiplexedConnection,
    pub(crate) connection: Arc<Connection>,
    pub(crate) log: String,
    pub(crate) after: Sequence,
}

// === impl RedisFeed ===

impl RedisFeed {
    async fn next_now(&mut self) -> Result<Fed, EngineError> {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(self.connection.count()).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        read.arg("STREAMS").arg(&self.log).arg(format!("{}-0", self.after));
        let reply = timeout(ANSWER, read.query_async::<Value>(&mut self.held)).await;
        let reply = reply.map_err(|_| EngineError::away("Redis has not answered in time"))?;
        let reply = reply.map_err(|error| because("failed to follow", &error))?;
        let mut fed = Fed { entries: Vec::new(), next: self.after };
        for (sequence, entry, bytes) in streams(reply)? {
            self.connection.note_size(bytes);
            match entry {
                Entry::Event(event) => fed.entries.push(event),
                Entry::Epoch(epoch) if epoch == self.connection.epoch.as_str() => {}
                Entry::Epoch(_) => return Err(EngineError::Renewed),
            }
            fed.next = sequence;
        }
        self.after = fed.next;
        self.connection.note_seen(fed.next);
        Ok(fed)
    }
}

impl Feed for RedisFeed {
    fn next(&mut self) -> BoxFuture<'_, Result<Fed, EngineError>> {
        Box::pin(self.next_now())
    }
}
