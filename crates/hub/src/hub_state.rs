use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use tidings_log::{Bounds, Follower};
use tidings_protocol::{Event, Sequence};

use crate::ends::Ends;
use crate::journal::Journal;
use crate::leases::Leases;
use crate::producer::ProducerCounts;
use crate::seats::Seats;
use crate::supervisor::panic_message;
use crate::tail::Tail;
use crate::waiters::Waiters;
use crate::{Audience, Entry};

/// What the log's writer and the readers share. It does not hold the log, which holds it.
pub(crate) struct HubState {
    tail: RwLock<Tail>,
    audiences: RwLock<Vec<Arc<dyn Audience>>>,
    pub(crate) waiting: Arc<Waiters>,
    pub(crate) ends: Arc<Ends>,
    pub(crate) seats: Arc<Seats>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) leases: Arc<Leases>,
    /// Whether the hub was closed.
    pub(crate) is_closed: AtomicBool,
    pub(crate) producers: ProducerCounts,
    /// Reads that were answered from memory, and those that were not.
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
}

// === impl HubState ===

impl HubState {
    pub(crate) fn new(tail: Tail) -> Self {
        Self {
            tail: RwLock::new(tail),
            audiences: RwLock::default(),
            waiting: Arc::default(),
            ends: Arc::default(),
            seats: Arc::default(),
            journal: Arc::default(),
            leases: Arc::default(),
            is_closed: AtomicBool::new(false),
            producers: ProducerCounts::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    pub(crate) fn with_tail<T>(&self, look: impl FnOnce(&Tail) -> T) -> T {
        look(&self.tail.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn tail_mut(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn audiences(&self) -> Vec<Arc<dyn Audience>> {
        self.audiences.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn attach(&self, audience: Arc<dyn Audience>) {
        self.audiences.write().unwrap_or_else(PoisonError::into_inner).push(audience);
    }

    pub(crate) fn detach(&self, audience: &Arc<dyn Audience>) {
        let mut audiences = self.audiences.write().unwrap_or_else(PoisonError::into_inner);
        audiences.retain(|own| !Arc::ptr_eq(own, audience));
    }

    /// Wakes everyone. An audience that fails keeps nobody else from being woken.
    fn wake(&self) {
        for audience in self.audiences.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| audience.wake())) {
                tracing::error!(panic = panic_message(&*panic), "an audience of the hub failed to be woken");
            }
        }
    }

    /// Changes the tail. Where that fails, memory is emptied, and everything up to `latest` is read from the log instead:
    /// what the log has called its follower for is never missing.
    fn follow(&self, latest: Sequence, change: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(change)) {
            tracing::error!(
                panic = panic_message(&*panic),
                latest,
                "failed to keep new events in memory, they are read from the log"
            );
            let mut tail = self.tail_mut();
            let latest = latest.max(tail.latest());
            let lineage = tail.lineage().clone();
            tail.renew(lineage, latest);
        }
    }
}

impl Follower for HubState {
    fn appended(&self, entries: &[Arc<Event>]) {
        let Some(last) = entries.last().map(|entry| entry.sequence) else { return };
        self.follow(last, || {
            let (lineage, framed) =
                self.with_tail(|tail| (tail.lineage().clone(), Arc::clone(tail.framed())));
            // What memory has to be asked for is asked for before the lock is taken.
            let entry = |event: &Arc<Event>| {
                Arc::new(Entry::counted(Arc::clone(event), lineage.epoch_of(event.sequence), &framed))
            };
            let entries: Vec<_> = entries.iter().map(entry).collect();
            let mut tail = self.tail_mut();
            for entry in entries {
                tail.push(entry);
            }
        });
        self.ends.appended(entries);
        self.wake();
    }

    fn passed(&self, place: Sequence) {
        self.follow(place, || self.tail_mut().pass(place));
    }

    fn trimmed(&self, earliest: Sequence) {
        self.follow(0, || self.tail_mut().trim(earliest));
    }

    fn renewed(&self, bounds: Bounds) {
        self.tail_mut().renew(bounds.lineage, bounds.latest);
        self.ends.renewed();
        self.wake();
    }
}

impl std::fmt::Debug for HubState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubState").field("end", &self.with_tail(Tail::end)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tidings_protocol::{Closing, Epoch, Format, Lineage, Timestamp, Topic};

    use crate::PullLimits;

    fn event(sequence: Sequence) -> Arc<Event> {
        Arc::new(Event {
            sequence,
            time: Timestamp::from_millis(sequence),
            topic: Topic::new("a").unwrap(),
            event_type: None,
            format: Format::Text,
            data: Bytes::new(),
            closing: Closing::No,
            expires: None,
        })
    }

    #[test]
    fn what_could_not_be_kept_in_memory_is_left_to_the_log() {
        let shared = HubState::new(Tail::new(Lineage::of(Epoch::from_random(0)), 0, 1 << 20));
        shared.appended(&[event(1)]);
        shared.follow(3, || std::panic::resume_unwind(Box::new("no memory")));
        shared.appended(&[event(4)]);
        let read = |after| shared.with_tail(|tail| tail.all(after, PullLimits::default()));
        assert!(read(0).is_none() && read(2).is_none(), "the log has what is missing");
        assert_eq!(read(3).unwrap().next, 4);
    }
}
