use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Value, pipe};
use tidings_engine::{EngineError, Fed, Feed};
use tidings_log::BoxFuture;
use tidings_protocol::Sequence;
use tokio::time::timeout;

use crate::connection::{Connection, Keys, because, is_master};
use crate::entry::{Entry, streams};
use crate::limits::{ANSWER, BLOCK};

/// What comes into the stream, by a reader that Redis holds until something does.
pub(crate) struct RedisFeed {
    pub(crate) held: MultiplexedConnection,
    pub(crate) connection: Arc<Connection>,
    pub(crate) keys: Keys,
    pub(crate) after: Sequence,
}

// === impl RedisFeed ===

impl RedisFeed {
    async fn next_now(&mut self) -> Result<Fed, EngineError> {
        let mut read = pipe();
        read.cmd("XREAD").arg("COUNT").arg(self.connection.count());
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        read.arg("STREAMS").arg(&self.keys.log).arg(format!("{}-0", self.after));
        // The others are asked for when there is an answer to the first.
        read.cmd("ROLE").cmd("HMGET").arg(&self.keys.meta).arg("largest").arg("earliest");
        let read = read.query_async::<(Value, Value, (Option<u64>, Option<u64>))>(&mut self.held);
        let reply = timeout(ANSWER, read).await;
        let reply = reply.map_err(|_| EngineError::away("Redis has not answered in time"))?;
        let (reply, role, (largest, earliest)) =
            reply.map_err(|error| because("failed to follow", &error))?;
        if !is_master(&role) {
            return Err(EngineError::away("the server has become a replica"));
        }
        self.connection.note_size(largest.unwrap_or(0));
        let mut fed = Fed { entries: Vec::new(), next: self.after };
        let entries = streams(&self.keys.log, reply)?;
        let next = self.after.saturating_add(1);
        let is_next = entries.first().is_some_and(|(sequence, ..)| *sequence == next);
        if next < earliest.unwrap_or(0) && !is_next {
            return Err(EngineError::away("entries were discarded before this hub had read them"));
        }
        for (sequence, entry, bytes) in entries {
            self.connection.note_size(bytes as u64);
            match entry {
                Entry::Event(event) => fed.entries.push(event),
                Entry::Epoch(epoch) if epoch == self.connection.epoch.as_str() => {}
                Entry::Epoch(_) => return Err(EngineError::Renewed),
            }
            fed.next = sequence;
        }
        if let Some(last) = fed.entries.last() {
            self.connection.note_last(last);
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
