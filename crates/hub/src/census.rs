use std::collections::HashMap;
use std::sync::Arc;

use tidings_protocol::{Selection, Selector, Topic};

use crate::Audience;

/// Who waits, to be asked about many topics.
///
/// Patterns are looked at as they were when it was taken, so that whoever waits is not held up while they are matched.
/// Where they are more than it has room for, those of the most subscribers are looked at; and it looks at so many
/// things in all. What it says beyond that is less than there are.
pub struct Census {
    audiences: Vec<Arc<dyn Audience>>,
    /// The patterns by their segments. The first node is where all begin.
    nodes: Vec<Node>,
    /// How many wait with each selection that has several patterns, which counts once where several match.
    unions: Vec<Union>,
    /// How many nodes and unions are looked at still.
    looks: usize,
}

/// What the patterns with the same first segments have in common.
#[derive(Debug, Default)]
struct Node {
    next: HashMap<Box<str>, usize>,
    any: Option<usize>,
    /// Those who wait for what ends here.
    here: Waiters,
    /// Those who wait for everything from here on.
    rest: Waiters,
}

#[derive(Debug, Default)]
struct Waiters {
    /// How many wait with this pattern alone.
    count: usize,
    unions: Vec<usize>,
}

#[derive(Debug)]
struct Union {
    count: usize,
    /// The last question that it was counted for.
    asked: usize,
}

/// How many segments of patterns a census has room for: of some 150 bytes each.
const NODES: usize = 250_000;
/// How many nodes and unions it looks at before it counts no more patterns; about a second of work.
const LOOKS: usize = 10_000_000;

// === impl Census ===

impl Census {
    pub(crate) fn new(audiences: Vec<Arc<dyn Audience>>) -> Self {
        let mut patterns: Vec<_> = audiences.iter().flat_map(|audience| audience.patterns()).collect();
        patterns.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut own = Self { audiences, nodes: vec![Node::default()], unions: Vec::new(), looks: LOOKS };
        for (selection, count) in patterns {
            own.add(&selection, count);
        }
        own
    }

    /// How many subscribers would get an event of `topic`.
    pub fn subscribers(&mut self, topic: &Topic) -> usize {
        let named: usize = self.audiences.iter().map(|audience| audience.named(topic)).sum();
        named + self.matching(topic)
    }

    fn add(&mut self, selection: &Selection, count: usize) {
        let union = match (selection.topics(), selection.patterns()) {
            ([], [_]) => None,
            _ => {
                self.unions.push(Union { count, asked: usize::MAX });
                Some(self.unions.len() - 1)
            }
        };
        let topics = selection.topics().iter().map(Topic::as_str);
        for text in topics.chain(selection.patterns().iter().map(Selector::as_str)) {
            let Some(waiters) = self.waiters(text) else { return };
            match union {
                None => waiters.count += count,
                Some(union) => waiters.unions.push(union),
            }
        }
    }

    /// Those who wait for a pattern; `None` where there is no room for it.
    fn waiters(&mut self, pattern: &str) -> Option<&mut Waiters> {
        let mut at = 0;
        for segment in pattern.split('/') {
            if segment == "**" {
                return Some(&mut self.nodes[at].rest);
            }
            let new = self.nodes.len();
            let node = &mut self.nodes[at];
            let known = if segment == "*" { node.any } else { node.next.get(segment).copied() };
            at = match known {
                Some(next) => next,
                None if new > NODES => return None,
                None => {
                    if segment == "*" {
                        node.any = Some(new);
                    } else {
                        node.next.insert(segment.into(), new);
                    }
                    self.nodes.push(Node::default());
                    new
                }
            };
        }
        Some(&mut self.nodes[at].here)
    }

    fn matching(&mut self, topic: &Topic) -> usize {
        let Self { nodes, unions, looks, .. } = self;
        // No two questions begin with as much left.
        let question = *looks;
        let mut count = 0;
        let mut add = |waiters: &Waiters, looks: &mut usize| {
            count += waiters.count;
            for &union in &waiters.unions {
                let Some(left) = looks.checked_sub(1) else { return };
                *looks = left;
                let union = &mut unions[union];
                if union.asked != question {
                    union.asked = question;
                    count += union.count;
                }
            }
        };
        let mut places = vec![0];
        for segment in topic.as_str().split('/') {
            let mut next = Vec::new();
            for place in places {
                let Some(left) = looks.checked_sub(1) else { return count };
                *looks = left;
                let node = &nodes[place];
                add(&node.rest, looks);
                next.extend(node.next.get(segment).copied());
                next.extend(node.any);
            }
            places = next;
        }
        for place in places {
            add(&nodes[place].here, looks);
        }
        count
    }
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidings_protocol::Selector;

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
        let lonely = (0..NODES + 10).map(|number| (selection(&[&format!("t{number}/*")]), 1));
        let crowd: Vec<_> = lonely.chain([(selection(&["z/*"]), 7)]).collect();
        let mut census = Census::new(vec![Arc::new(Crowd(crowd))]);
        assert!(census.nodes.len() <= NODES + 1);
        assert_eq!(census.subscribers(&topic("z/1")), 7);
        assert_eq!(census.subscribers(&topic("t0/1")), 1);
        assert_eq!(census.subscribers(&topic(&format!("t{NODES}/1"))), 0);
    }

    #[test]
    fn it_looks_at_so_many_things_and_no_more() {
        let patterns = ["*/*", "a/*", "*/b"];
        let mut census = Census::new(vec![Arc::new(Crowd(vec![(selection(&patterns), 2)]))]);
        census.looks = 7;
        assert_eq!(census.subscribers(&topic("a/b")), 2);
        assert_eq!(census.subscribers(&topic("a/b")), 0);
    }
}
