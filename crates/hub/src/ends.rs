//! Who is told at once when a topic ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tidings_protocol::{EndReason, Event, Topic};

/// The topics whose end somebody waits for. Nothing is looked at while there are none, and nobody is woken for an event.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    count: AtomicUsize,
    watched: Mutex<HashMap<Topic, Vec<Arc<Watch>>>>,
}

/// Whoever waits for the end of a topic, until it is dropped.
#[derive(Debug)]
pub(crate) struct EndWatch {
    ends: Arc<Ends>,
    topic: Topic,
    watch: Arc<Watch>,
}

/// What is known of the end of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It has ended, and why, where that was no clean end.
    Told(Option<EndReason>),
    /// The log was renewed: what came meanwhile is to be looked for in it.
    Doubtful,
}

#[derive(Debug, Default)]
struct Watch(Mutex<WatchState>);

#[derive(Debug, Default)]
struct WatchState {
    end: Option<End>,
    waker: Option<Waker>,
}

// === impl Ends ===

impl Ends {
    pub(crate) fn watch(self: &Arc<Self>, topic: Topic) -> EndWatch {
        let watch = Arc::<Watch>::default();
        self.count.fetch_add(1, Ordering::SeqCst);
        self.watched().entry(topic.clone()).or_default().push(Arc::clone(&watch));
        EndWatch { ends: Arc::clone(self), topic, watch }
    }

    /// Tells of the ends among these entries.
    pub(crate) fn appended(&self, entries: &[Arc<Event>]) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for entry in entries.iter().filter(|entry| entry.closes()) {
            let watches = self.watched().get(&entry.topic).cloned().unwrap_or_default();
            watches.iter().for_each(|watch| watch.tell(End::Told(entry.end_reason())));
        }
    }

    /// Some ends may have been missed.
    pub(crate) fn renewed(&self) {
        let watches: Vec<_> = self.watched().values().flatten().cloned().collect();
        watches.iter().for_each(|watch| watch.tell(End::Doubtful));
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<Topic, Vec<Arc<Watch>>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Watch ===

impl Watch {
    fn tell(&self, end: End) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An end is for ever.
        if !matches!(state.end, Some(End::Told(_))) {
            state.end = Some(end);
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

// === impl EndWatch ===

impl EndWatch {
    /// Takes what was told, once; until something is, whoever asks is woken.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<End> {
        let mut state = self.watch.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = state.end.take() {
            return Poll::Ready(end);
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for EndWatch {
    fn drop(&mut self) {
        let mut watched = self.ends.watched();
        if let Some(watches) = watched.get_mut(&self.topic) {
            watches.retain(|watch| !Arc::ptr_eq(watch, &self.watch));
            if watches.is_empty() {
                watched.remove(&self.topic);
            }
        }
        drop(watched);
        self.ends.count.fetch_sub(1, Ordering::SeqCst);
    }
}
