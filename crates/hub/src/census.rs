use std::sync::Arc;

use tidings_protocol::{SelectorTree, Topic};

use crate::Audience;

/// Who waits, to be asked about many topics.
///
/// Patterns are looked at as they were when it was taken, so that whoever waits is not held up while they are matched.
/// Where they are more than it has room for, those of the most subscribers are looked at; and it looks at so many
/// things in all. What it says beyond that is less than there are.
pub struct Census {
    audiences: Vec<Arc<dyn Audience>>,
    /// The places of selections in `crowds`, by each of their selectors.
    patterns: SelectorTree<usize>,
    /// How many wait with each selection.
    crowds: Vec<Crowd>,
    /// How much is looked at still.
    looks: u64,
}

/// Those who wait with one selection, which counts once where several of its selectors match.
#[derive(Debug)]
struct Crowd {
    count: usize,
    /// The last question that it was counted for.
    asked: u64,
}

/// How many segments of patterns a census has room for, of some 100 bytes each; and how many selections and selectors.
const SEGMENTS: usize = 250_000;
/// How many segments and selections it looks at before it counts no more patterns; about a second of work.
const LOOKS: u64 = 10_000_000;

// === impl Census ===

impl Census {
    pub(crate) fn new(audiences: Vec<Arc<dyn Audience>>) -> Self {
        let mut patterns: Vec<_> = audiences.iter().flat_map(|audience| audience.patterns()).collect();
        patterns.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut own = Self { audiences, patterns: SelectorTree::default(), crowds: Vec::new(), looks: LOOKS };
        let mut selectors = 0;
        for (selection, count) in patterns {
            selectors += selection.topics().len() + selection.patterns().len();
            if own.patterns.segments() >= SEGMENTS || selectors > SEGMENTS {
                break;
            }
            for selector in selection.selectors() {
                own.patterns.insert(&selector, own.crowds.len());
            }
            own.crowds.push(Crowd { count, asked: u64::MAX });
        }
        own
    }

    /// How many subscribers would get an event of `topic`.
    pub fn subscribers(&mut self, topic: &Topic) -> usize {
        let named: usize = self.audiences.iter().map(|audience| audience.named(topic)).sum();
        named + self.matching(topic)
    }

    fn matching(&mut self, topic: &Topic) -> usize {
        let Self { patterns, crowds, looks, .. } = self;
        // No two questions begin with as much left.
        let (question, mut count) = (*looks, 0);
        patterns.matching_within(topic, looks, |&place| {
            if let Some(crowd) = crowds.get_mut(place).filter(|crowd| crowd.asked != question) {
                crowd.asked = question;
                count += crowd.count;
            }
        });
        count
    }
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").field("crowds", &self.crowds.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidings_protocol::{Selection, Selector};

    struct Crowd(Vec<(Arc<Selection>, usize)>);

    impl Audience for Crowd {
        fn wake(&self) {}

        fn named(&self, _: &Topic) -> usize {
            0
        }

        fn patterns(&self) -> Vec<(Arc<Selection>, usize)> {
            self.0.clone()
        }
    }

    fn selection(texts: &[&str]) -> Arc<Selection> {
        Arc::new(Selection::new(texts.iter().map(|text| Selector::new(text).unwrap())))
    }

    fn topic(text: &str) -> Topic {
        Topic::new(text).unwrap()
    }

    proptest! {
        #[test]
        fn it_counts_whom_a_topic_matches(
            crowd in prop::collection::vec(
                (prop::collection::vec("(a|b|\\*)(/(a|b|\\*)){0,3}(/\\*\\*)?|\\*\\*", 1..4), 1_usize..4),
                0..12,
            ),
            topics in prop::collection::vec("(a|b)(/(a|b)){0,4}", 1..6),
        ) {
            let crowd = crowd.into_iter().map(|(texts, count)| {
                let texts: Vec<_> = texts.iter().map(String::as_str).collect();
                (selection(&texts), count)
            });
            let crowd: Vec<_> = crowd.filter(|(selection, _)| !selection.patterns().is_empty()).collect();
            let mut census = Census::new(vec![Arc::new(Crowd(crowd.clone()))]);
            for text in topics {
                let topic = topic(&text);
                let matching = crowd.iter().filter(|(selection, _)| selection.matches_topic(&topic));
                let expected: usize = matching.map(|(_, count)| count).sum();
                prop_assert_eq!(census.subscribers(&topic), expected, "{}", text);
            }
        }
    }

    #[test]
    fn patterns_of_many_come_first_where_there_is_no_room_for_all() {
        let lonely = (0..SEGMENTS).map(|number| (selection(&[&format!("t{number}/*")]), 1));
        let crowd: Vec<_> = lonely.chain([(selection(&["z/*"]), 7)]).collect();
        let mut census = Census::new(vec![Arc::new(Crowd(crowd))]);
        assert!(census.patterns.segments() <= SEGMENTS + 2);
        assert_eq!(census.subscribers(&topic("z/1")), 7);
        assert_eq!(census.subscribers(&topic("t0/1")), 1);
        assert_eq!(census.subscribers(&topic(&format!("t{}/1", SEGMENTS - 1))), 0);
    }

    #[test]
    fn it_looks_at_so_many_things_and_no_more() {
        let patterns = ["*/*", "a/*", "*/b"];
        let mut census = Census::new(vec![Arc::new(Crowd(vec![(selection(&patterns), 2)]))]);
        census.looks = 8;
        assert_eq!(census.subscribers(&topic("a/b")), 2);
        assert_eq!(census.subscribers(&topic("a/b")), 0);
    }
}
