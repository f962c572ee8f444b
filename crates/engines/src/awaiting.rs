use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidings_log::{AppendError, Appended};
use tidings_protocol::{Epoch, Sequence};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Where it waits.
pub(crate) type Answer = oneshot::Sender<Result<Appended, AppendError>>;

/// A publisher that waits for its answer, and its share of the queue.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) answer: Answer,
    pub(crate) share: OwnedSemaphorePermit,
}

/// Publishers whose batches are in the log, and who are told when this hub's readers can see them.
#[derive(Debug, Default)]
pub(crate) struct Awaiting {
    by_last: BTreeMap<(Sequence, u64), Entry>,
    number: u64,
}

#[derive(Debug)]
struct Entry {
    appended: Appended,
    publisher: Publisher,
    since: Instant,
}

// === impl Publisher ===

impl Publisher {
    pub(crate) fn tell(self, answer: Result<Appended, AppendError>) {
        drop(self.share);
        // Who does not wait any more has left.
        drop(self.answer.send(answer));
    }
}

// === impl Awaiting ===

impl Awaiting {
    pub(crate) fn add(&mut self, appended: Appended, publisher: Publisher) {
        self.number += 1;
        let entry = Entry { appended, publisher, since: Instant::now() };
        self.by_last.insert((appended.last(), self.number), entry);
    }

    /// Takes out those whose batch is followed.
    pub(crate) fn reached(
        &mut self,
        latest: Sequence,
    ) -> impl Iterator<Item = (Publisher, Appended)> + use<> {
        let rest = self.by_last.split_off(&(latest.saturating_add(1), 0));
        std::mem::replace(&mut self.by_last, rest)
            .into_values()
            .map(|Entry { appended, publisher, .. }| (publisher, appended))
    }

    /// Takes out those who have waited for longer than `patience`, and those who wait for another log than `epoch`.
    pub(crate) fn lost(
        &mut self,
        epoch: Epoch,
        patience: Duration,
    ) -> impl Iterator<Item = Publisher> + use<> {
        let now = Instant::now();
        let is_lost =
            |entry: &Entry| entry.appended.epoch != epoch || now.duration_since(entry.since) > patience;
        let lost = self.by_last.iter().filter(|(_, entry)| is_lost(entry));
        let lost: Vec<_> = lost.map(|(key, _)| *key).collect();
        let lost: Vec<_> = lost.iter().filter_map(|key| self.by_last.remove(key)).collect();
        lost.into_iter().map(|entry| entry.publisher)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_last.is_empty()
    }
}
