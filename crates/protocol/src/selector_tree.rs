use std::collections::HashMap;
use std::hash::Hash;

use crate::{Selector, SmallSet, Topic};

/// Finds those who want a topic, among any number of selectors.
///
/// Selectors are kept by their segments. To add one or to remove it costs its depth; to find whom a topic matches costs the
/// topic's depth and whatever there is on the way: the segments of patterns that match so far.
///
/// ```
/// use tidings_protocol::{Selector, SelectorTree, Topic};
///
/// let mut tree = SelectorTree::default();
/// tree.insert(&"orders/*".parse::<Selector>()?, "ann");
/// tree.insert(&"news/**".parse::<Selector>()?, "ben");
/// let mut found = Vec::new();
/// tree.matching(&Topic::new("orders/42")?, |who| found.push(*who));
/// assert_eq!(found, ["ann"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SelectorTree<T> {
    /// The first one is where all selectors begin. One that is free has no parent and nothing in it.
    nodes: Vec<Node<T>>,
    free: Vec<Place>,
}

/// What the selectors with the same first segments have in common. There may be one or two for each subscriber: it is kept small.
#[derive(Debug, Clone)]
struct Node<T> {
    parent: Place,
    /// Where a `*` leads; to the root, where it leads nowhere.
    any: Place,
    /// Where other segments lead, if any does.
    #[expect(clippy::box_collection, reason = "most nodes have none, and are as small as that")]
    next: Option<Box<HashMap<Box<str>, Place>>>,
    /// Those whose selector ends here.
    here: SmallSet<T>,
    /// Those whose selector goes on with `**`.
    rest: SmallSet<T>,
}

/// The number of a node.
type Place = u32;

const ROOT: Place = 0;

// === impl SelectorTree ===

impl<T> Default for SelectorTree<T> {
    fn default() -> Self {
        Self { nodes: vec![Node::new(ROOT)], free: Vec::new() }
    }
}

impl<T: Eq + Hash> SelectorTree<T> {
    /// Adds somebody who wants what a selector matches. To add the same again changes nothing.
    pub fn insert(&mut self, selector: &Selector, who: T) {
        let mut at = ROOT;
        for segment in selector.as_str().split('/') {
            if segment == "**" {
                self.node_mut(at).rest.insert(who);
                return;
            }
            at = match self.node(at).step(segment) {
                Some(next) => next,
                None => self.grow(at, segment),
            };
        }
        self.node_mut(at).here.insert(who);
    }

    /// Removes what was added with this selector.
    pub fn remove(&mut self, selector: &Selector, who: &T) {
        let mut at = ROOT;
        for segment in selector.as_str().split('/') {
            if segment == "**" {
                self.node_mut(at).rest.remove(who);
                return self.prune(at, selector);
            }
            match self.node(at).step(segment) {
                Some(next) => at = next,
                None => return,
            }
        }
        self.node_mut(at).here.remove(who);
        self.prune(at, selector);
    }

    /// Calls back with whoever wants a topic: once for each of their selectors that matches it.
    pub fn matching<'a>(&'a self, topic: &Topic, found: impl FnMut(&'a T)) {
        let mut steps = u64::MAX;
        self.matching_within(topic, &mut steps, found);
    }

    /// As [`matching`](SelectorTree::matching), for as long as there are `steps`: each segment that is looked at takes one,
    /// and each that is found.
    pub fn matching_within<'a>(&'a self, topic: &Topic, steps: &mut u64, mut found: impl FnMut(&'a T)) {
        let mut tell = |who: &'a SmallSet<T>, steps: &mut u64| {
            for who in who.iter() {
                let Some(left) = steps.checked_sub(1) else { return };
                *steps = left;
                found(who);
            }
        };
        let mut places = vec![ROOT];
        let mut next = Vec::new();
        for segment in topic.as_str().split('/') {
            for place in places.drain(..) {
                let Some(left) = steps.checked_sub(1) else { return };
                *steps = left;
                let node = self.node(place);
                tell(&node.rest, steps);
                next.extend(node.named(segment));
                next.extend(node.step("*"));
            }
            std::mem::swap(&mut places, &mut next);
            if places.is_empty() {
                return;
            }
        }
        for place in places {
            tell(&self.node(place).here, steps);
        }
    }

    /// How many segments of selectors it holds, those that selectors begin with alike once.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.nodes.len() - self.free.len() - 1
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments() == 0 && self.node(ROOT).rest.is_empty()
    }

    fn node(&self, place: Place) -> &Node<T> {
        &self.nodes[place as usize]
    }

    fn node_mut(&mut self, place: Place) -> &mut Node<T> {
        &mut self.nodes[place as usize]
    }

    fn grow(&mut self, parent: Place, segment: &str) -> Place {
        let new = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::new(parent));
            Place::try_from(self.nodes.len() - 1).expect("nobody has memory for so many segments")
        });
        self.node_mut(new).parent = parent;
        let node = self.node_mut(parent);
        if segment == "*" {
            node.any = new;
        } else {
            node.next.get_or_insert_default().insert(segment.into(), new);
        }
        new
    }

    /// Takes out what is of no use any more, from a place on the way of a selector back to the beginning.
    fn prune(&mut self, mut at: Place, selector: &Selector) {
        let segments = selector.as_str().split('/').filter(|segment| *segment != "**");
        let segments: Vec<_> = segments.collect();
        for segment in segments.into_iter().rev() {
            if at == ROOT || !self.node(at).is_empty() {
                return;
            }
            let parent = self.node(at).parent;
            let node = self.node_mut(parent);
            if segment == "*" {
                node.any = ROOT;
            } else if let Some(next) = &mut node.next {
                next.remove(segment);
                // A crowd that has left takes its memory along.
                if next.is_empty() {
                    node.next = None;
                } else if next.len() * 4 < next.capacity() {
                    let room = next.len() * 2;
                    next.shrink_to(room);
                }
            }
            *self.node_mut(at) = Node::new(ROOT);
            self.free.push(at);
            at = parent;
        }
        if self.segments() == 0 {
            self.nodes.truncate(1);
            self.nodes.shrink_to_fit();
            self.free = Vec::new();
        }
    }
}

// === impl Node ===

impl<T> Node<T> {
    fn new(parent: Place) -> Self {
        Self { parent, any: ROOT, next: None, here: SmallSet::default(), rest: SmallSet::default() }
    }

    /// Where a segment of a selector leads.
    fn step(&self, segment: &str) -> Option<Place> {
        if segment == "*" { (self.any != ROOT).then_some(self.any) } else { self.named(segment) }
    }

    /// Where a segment leads that is no wildcard, whatever it says.
    fn named(&self, segment: &str) -> Option<Place> {
        self.next.as_ref()?.get(segment).copied()
    }

    fn is_empty(&self) -> bool {
        self.next.is_none() && self.any == ROOT && self.here.is_empty() && self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SELECTOR: &str = "(a|b|a\\*|\\*)?(/(a|b||\\*)){0,3}(/\\*\\*)?|\\*\\*";

    proptest! {
        /// Whatever was added and removed, it finds whom each selector by itself would match.
        #[test]
        fn it_finds_whom_the_selectors_match(
            steps in prop::collection::vec((SELECTOR, 0_u8..4, any::<bool>()), 0..40),
            topics in prop::collection::vec("(a|b|a\\*)?(/(a|b|)){0,4}", 1..6),
        ) {
            let mut tree = SelectorTree::default();
            let mut kept: Vec<(Selector, u8)> = Vec::new();
            for (text, who, adds) in steps {
                let Ok(selector) = Selector::new(&text) else { continue };
                if adds || kept.is_empty() {
                    tree.insert(&selector, who);
                    if !kept.contains(&(selector.clone(), who)) {
                        kept.push((selector, who));
                    }
                } else {
                    let (selector, who) = kept.swap_remove(usize::from(who) * 7 % kept.len());
                    tree.remove(&selector, &who);
                }
                tree.remove(&Selector::new("a/never/added").unwrap(), &0);
            }
            for text in topics {
                let Ok(topic) = Topic::new(&text) else { continue };
                let mut found = Vec::new();
                tree.matching(&topic, |who| found.push(*who));
                found.sort_unstable();
                let mut expected: Vec<_> =
                    kept.iter().filter(|(selector, _)| selector.matches(&topic)).map(|(_, who)| *who).collect();
                expected.sort_unstable();
                prop_assert_eq!(found, expected, "{}", topic);
            }
            for (selector, who) in kept {
                prop_assert!(!tree.is_empty());
                tree.remove(&selector, &who);
            }
            prop_assert!(tree.is_empty());
            prop_assert_eq!(tree.nodes.len(), 1, "nothing is left of what was removed");
        }
    }

    #[test]
    fn what_does_not_match_costs_nothing() {
        let mut tree = SelectorTree::default();
        for who in 0..2_000 {
            for pattern in 0..100 {
                tree.insert(&Selector::new(&format!("users/{who}/{pattern}/*")).unwrap(), who);
            }
        }
        let mut steps = 1_000;
        let mut found = Vec::new();
        tree.matching_within(&Topic::new("users/7/9/x").unwrap(), &mut steps, |who| found.push(*who));
        assert_eq!(
            (found, 1_000 - steps),
            (vec![7], 5),
            "a step for each segment, and one for whom it found"
        );
        tree.matching_within(&Topic::new("users/7/9/x").unwrap(), &mut 3, |who| panic!("found {who}"));
    }
}
