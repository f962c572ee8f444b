use std::collections::{HashMap, HashSet};
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
    by_pattern: HashSet<Waiter>,
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
            state.by_pattern.insert(waiter.clone());
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
        for waiter in state.by_topic.values().flat_map(SmallSet::iter).chain(&state.by_pattern) {
            waiter.notify.notify_one();
        }
    }

    /// How many wait for a topic: see [`Audience::subscribers`](crate::Audience::subscribers).
    pub(crate) fn subscribers(&self, topic: &Topic, steps: &mut u64) -> usize {
        let state = self.state();
        let named = state.by_topic.get(topic.as_str()).map_or(0, SmallSet::len);
        let mut found = Vec::new();
        state.patterns.matching_within(topic, steps, |waiter| found.push(waiter.number));
        drop(state);
        // Several patterns of one may match.
        found.sort_unstable();
        found.dedup();
        named + found.len()
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
    use proptest::prelude::*;
    use tidings_protocol::Selector;

    use super::*;

    fn selection(texts: &[String]) -> Arc<Selection> {
        Arc::new(Selection::new(texts.iter().map(|text| Selector::new(text).unwrap())))
    }

    proptest! {
        #[test]
        fn those_are_counted_whom_a_topic_matches_for_as_long_as_they_wait(
            crowd in prop::collection::vec(
                (prop::collection::vec("(a|b|\\*)(/(a|b|\\*)){0,3}(/\\*\\*)?|\\*\\*", 1..4), any::<bool>()),
                0..12,
            ),
            topics in prop::collection::vec("(a|b)(/(a|b)){0,4}", 1..6),
        ) {
            let waiting = Arc::new(Waiters::default());
            let mut places = Vec::new();
            for (texts, stays) in crowd {
                let selection = selection(&texts);
                let place = waiting.join(&selection);
                if stays {
                    places.push((selection, place));
                }
            }
            for text in topics {
                let topic = Topic::new(&text).unwrap();
                let expected = places.iter().filter(|(selection, _)| selection.matches_topic(&topic)).count();
                prop_assert_eq!(waiting.subscribers(&topic, &mut 1_000_000), expected, "{}", text);
            }
            drop(places);
            let state = waiting.state();
            prop_assert!(state.by_topic.is_empty() && state.by_pattern.is_empty() && state.patterns.is_empty());
        }
    }

    #[test]
    fn so_much_is_looked_at_and_no_more() {
        let waiting = Arc::new(Waiters::default());
        let places = ["*/*", "a/*", "*/b"].map(|text| waiting.join(&selection(&[text.to_owned()])));
        let topic = Topic::new("a/b").unwrap();
        let mut steps = 8;
        let counted = waiting.subscribers(&topic, &mut steps);
        assert!((1..=places.len()).contains(&counted), "{counted}");
        assert_eq!(waiting.subscribers(&topic, &mut 0), 0);
    }
}
