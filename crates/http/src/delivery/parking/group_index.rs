use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidings_protocol::{Selection, SelectorTree, SmallSet, Topic};

/// Which groups of a shard want what, by their numbers. The shard asks it for each event, and others ask it how many
/// subscribers a topic has.
#[derive(Debug, Default)]
pub(super) struct GroupIndex {
    by_topic: HashMap<Topic, SmallSet<u32>>,
    /// Those whose selection has a pattern, by each of its selectors.
    by_pattern: SelectorTree<u32>,
    /// How many entries wait in each group.
    waiting: Vec<u32>,
}

/// Nothing is done under the lock that fails half way.
pub(super) fn lock(index: &Mutex<GroupIndex>) -> MutexGuard<'_, GroupIndex> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl GroupIndex ===

impl GroupIndex {
    /// Adds a group, in which nobody waits.
    pub(super) fn insert(&mut self, selection: &Selection, number: u32) {
        if selection.patterns().is_empty() {
            for topic in selection.topics() {
                self.by_topic.entry(topic.clone()).or_default().insert(number);
            }
        } else {
            for selector in selection.selectors() {
                self.by_pattern.insert(&selector, number);
            }
        }
        let place = number as usize;
        if self.waiting.len() <= place {
            self.waiting.resize(place + 1, 0);
        }
        self.waiting[place] = 0;
    }

    /// Takes out a group.
    pub(super) fn remove(&mut self, selection: &Selection, number: u32) {
        if selection.patterns().is_empty() {
            for topic in selection.topics() {
                if let Some(numbers) = self.by_topic.get_mut(topic.as_str()) {
                    numbers.remove(&number);
                    if numbers.is_empty() {
                        self.by_topic.remove(topic.as_str());
                    }
                }
            }
        } else {
            for selector in selection.selectors() {
                self.by_pattern.remove(&selector, &number);
            }
        }
        if self.is_empty() {
            // What a crowd needed goes with it.
            *self = Self::default();
        }
    }

    /// One entry more waits in a group.
    pub(super) fn arrive(&mut self, number: u32) {
        self.waiting[number as usize] += 1;
    }

    /// One entry less waits in a group.
    pub(super) fn leave(&mut self, number: u32) {
        self.waiting[number as usize] -= 1;
    }

    /// Calls back with each group that wants a topic, once for each of its selectors that matches.
    pub(super) fn matching(&self, topic: &Topic, mut found: impl FnMut(u32)) {
        self.by_topic
            .get(topic.as_str())
            .into_iter()
            .flat_map(SmallSet::iter)
            .for_each(|number| found(*number));
        self.by_pattern.matching(topic, |number| found(*number));
    }

    /// How many entries wait for a topic, for as long as there are `steps`.
    pub(super) fn subscribers(&self, topic: &Topic, steps: &mut u64) -> usize {
        let waiting = |number: &u32| self.waiting[*number as usize] as usize;
        let named: usize =
            self.by_topic.get(topic.as_str()).into_iter().flat_map(SmallSet::iter).map(waiting).sum();
        let mut found = Vec::new();
        self.by_pattern.matching_within(topic, steps, |number| found.push(*number));
        // Several patterns of one may match.
        found.sort_unstable();
        found.dedup();
        named + found.iter().map(waiting).sum::<usize>()
    }

    /// Whether there is no group.
    pub(super) fn is_empty(&self) -> bool {
        self.by_topic.is_empty() && self.by_pattern.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidings_protocol::Selector;

    use super::*;

    proptest! {
        #[test]
        fn those_are_counted_whom_a_topic_matches(
            groups in prop::collection::vec(
                (prop::collection::vec("(a|b|\\*)(/(a|b|\\*)){0,3}(/\\*\\*)?|\\*\\*", 1..4), 0_u32..4, any::<bool>()),
                0..12,
            ),
            topics in prop::collection::vec("(a|b)(/(a|b)){0,4}", 1..6),
        ) {
            let mut index = GroupIndex::default();
            let mut kept = Vec::new();
            for (number, (texts, entries, stays)) in (0..).zip(groups) {
                let selection = Selection::new(texts.iter().map(|text| Selector::new(text).unwrap()));
                index.insert(&selection, number);
                (0..=entries).for_each(|_| index.arrive(number));
                index.leave(number);
                if stays {
                    kept.push((selection, number, entries as usize));
                } else {
                    index.remove(&selection, number);
                }
            }
            for text in topics {
                let topic = Topic::new(&text).unwrap();
                let matching = kept.iter().filter(|(selection, ..)| selection.matches_topic(&topic));
                let expected: usize = matching.map(|(_, _, entries)| entries).sum();
                prop_assert_eq!(index.subscribers(&topic, &mut 1_000_000), expected, "{}", text);
            }
            for (selection, number, _) in kept {
                index.remove(&selection, number);
            }
            prop_assert!(index.is_empty() && index.waiting.is_empty());
        }
    }

    #[test]
    fn so_much_is_looked_at_and_no_more() {
        let mut index = GroupIndex::default();
        let all = Selection::new([Selector::new("*/*").unwrap()]);
        index.insert(&all, 0);
        index.arrive(0);
        let topic = Topic::new("a/b").unwrap();
        assert_eq!(index.subscribers(&topic, &mut 100), 1);
        assert_eq!(index.subscribers(&topic, &mut 2), 0);
    }
}
