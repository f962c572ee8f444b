use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidings_protocol::{Event, Selection, SelectorTree, SmallSet, Topic};
use tokio::sync::Notify;

/// The subscriptions that wait in tasks of their own, found by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// How many wait.
    places: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    by_topic: HashMap<Topic, SmallSet<Waiter>>,
    /// Those whose selection has a pattern.
    by_pattern: HashMap<Waiter, Arc<Selection>>,
    /// The same, by each selector of theirs.
    patterns: SelectorTree<Waiter>,
}

#[derive(Debug, Clone)]
struct Waiter {
    number: u64,
    notify: Arc<Notify>,
}

/// A place among those who wait, which is given up when it is dropped.
#[derive(Debug)]
pub(crate) struct WaiterGuard {
    waiting: Arc<Waiters>,
    selection: Arc<Selection>,
    waiter: Waiter,
}

// === impl Waiters ===

impl Waiters {
    pub(crate) fn join(self: &Arc<Self>, selection: &Arc<Selection>) -> WaiterGuard {
        self.places.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.next += 1;
        let waiter = Waiter { number: state.next, notify: Arc::new(Notify::new()) };
        if selection.patterns().is_empty() {
            for topic in selection.topics() {
                state.by_topic.entry(topic.clone()).or_default().insert(waiter.clone());
            }
        } else {
            for selector in selection.selectors() {
                state.patterns.insert(&selector, waiter.clone());
            }
            state.by_pattern.insert(waiter.clone(), Arc::clone(selection));
        }
        drop(state);
        WaiterGuard { waiting: Arc::clone(self), selection: Arc::clone(selection), waiter }
    }

    /// Wakes those who wait for an event like this.
    pub(crate) fn wake(&self, event: &Event) {
        let state = self.state();
        for waiter in state.by_topic.get(event.topic.as_str()).into_iter().flat_map(SmallSet::iter) {
            waiter.notify.notify_one();
        }
        // Whoever is found twice is woken once.
        state.patterns.matching(&event.topic, |waiter| waiter.notify.notify_one());
    }

    /// Whether nobody waits. Whoever joins after this was asked reads after it too, and so finds what was there.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.load(Ordering::Relaxed) == 0
    }

    /// Wakes everyone.
    pub(crate) fn wake_all(&self) {
        let state = self.state();
        for waiter in state.by_topic.values().flat_map(SmallSet::iter).chain(state.by_pattern.keys()) {
            waiter.notify.notify_one();
        }
    }

    /// How many wait for topics that they name, this one among them.
    pub(crate) fn named(&self, topic: &Topic) -> usize {
        self.state().by_topic.get(topic.as_str()).map_or(0, SmallSet::len)
    }

    /// The selections with a pattern that somebody waits for.
    pub(crate) fn patterns(&self) -> Vec<(Arc<Selection>, usize)> {
        self.state().by_pattern.values().map(|selection| (Arc::clone(selection), 1)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl WaiterGuard ===

impl WaiterGuard {
    /// Waits for a wake-up. One that came since the last wait is kept, so that none is missed between a read
    /// that found nothing and this.
    pub(crate) async fn woken(&self) {
        self.waiter.notify.notified().await;
    }
}

impl Drop for WaiterGuard {
    fn drop(&mut self) {
        self.waiting.places.fetch_sub(1, Ordering::Relaxed);
        let mut state = self.waiting.state();
        if self.selection.patterns().is_empty() {
            for topic in self.selection.topics() {
                if let Some(waiters) = state.by_topic.get_mut(topic.as_str()) {
                    waiters.remove(&self.waiter);
                    if waiters.is_empty() {
                        state.by_topic.remove(topic.as_str());
                    }
                }
            }
        } else {
            for selector in self.selection.selectors() {
                state.patterns.remove(&selector, &self.waiter);
            }
            state.by_pattern.remove(&self.waiter);
        }
    }
}

// === impl Waiter ===

impl PartialEq for Waiter {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Waiter {}

impl Hash for Waiter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_protocol::Selector;

    #[test]
    fn a_place_is_given_up_by_dropping_it() {
        let waiting = Arc::new(Waiters::default());
        let (a, b) = (Topic::new("a").unwrap(), Topic::new("b").unwrap());
        let exact = Arc::new(Selection::new([a.clone().into(), b.clone().into()]));
        let pattern = Arc::new(Selection::new([Selector::all()]));
        let places = [waiting.join(&exact), waiting.join(&pattern), waiting.join(&exact)];
        let counts = || (waiting.named(&a), waiting.named(&b), waiting.patterns().len());
        assert_eq!(counts(), (2, 2, 1));
        drop(places);
        assert_eq!(counts(), (0, 0, 0));
        let state = waiting.state();
        assert!(state.by_topic.is_empty() && state.patterns.is_empty());
    }
}
