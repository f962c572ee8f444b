use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use tidings_protocol::{Event, Sequence, Timestamp, Topic};

use crate::TopicQuery;

/// What a log knows of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// The topic.
    pub topic: Topic,
    /// Its latest entry.
    pub latest: Sequence,
    /// The time of that entry.
    pub time: Timestamp,
    /// Whether it has ended, which its latest entry then says.
    pub closed: bool,
}

/// The topics of a log that keeps them in memory. A topic is known while the log keeps its latest entry; so is
/// its end, and a topic whose end was discarded may be published to again.
#[derive(Debug, Default)]
pub struct TopicTable {
    topics: BTreeMap<Topic, State>,
    /// The entry that deleted each topic last, while the log keeps it.
    deletions: HashMap<Topic, Sequence>,
}

/// What a part of a list has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPart {
    /// Topics, in order.
    pub infos: Vec<TopicInfo>,
    /// The topic to go on after, where not all was looked at.
    pub on: Option<Topic>,
}

/// How many comparisons are made before others have a turn at the table: about a millisecond of work.
const PART_STEPS: u64 = 10_000;

/// Lists topics part by part, so that nobody who writes waits for a long list, and so that a list that nobody waits for any
/// more ends. `part` looks at the table, and keeps it no longer.
pub async fn list_in_parts(
    query: TopicQuery<'_>,
    part: impl Fn(&TopicQuery<'_>, &mut u64) -> TopicPart,
) -> Vec<TopicInfo> {
    let (mut infos, mut after): (Vec<TopicInfo>, Option<Topic>) = (Vec::new(), None);
    loop {
        let rest = TopicQuery {
            after: after.as_ref().map(Topic::as_str).or(query.after),
            limit: query.limit.saturating_sub(infos.len()),
            ..query
        };
        let mut steps = PART_STEPS;
        let found = part(&rest, &mut steps);
        infos.extend(found.infos);
        match found.on {
            Some(on) if infos.len() < query.limit => after = Some(on),
            _ => return infos,
        }
        tokio::task::yield_now().await;
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    latest: Sequence,
    time: Timestamp,
    closed: bool,
}

// === impl TopicTable ===

impl TopicTable {
    /// Takes note of an entry, where it is later than what is known of its topic.
    pub fn note(&mut self, entry: &Event) {
        if entry.deletes() {
            return self.note_deletion(&entry.topic, entry.sequence);
        }
        let state = State { latest: entry.sequence, time: entry.time, closed: entry.closes() };
        if let Some(known) = self.topics.get_mut(entry.topic.as_str()) {
            if known.latest < state.latest {
                *known = state;
            }
        } else {
            self.topics.insert(entry.topic.clone(), state);
        }
    }

    /// Takes note that a topic is deleted by the entry `sequence`: nothing is known of it that was before.
    pub fn note_deletion(&mut self, topic: &Topic, sequence: Sequence) {
        let last = self.deletions.entry(topic.clone()).or_default();
        *last = sequence.max(*last);
        if self.topics.get(topic.as_str()).is_some_and(|state| state.latest <= sequence) {
            self.topics.remove(topic.as_str());
        }
    }

    /// The entry that deleted a topic last; 0 where none did that the log keeps. No read gives what is before it.
    #[must_use]
    pub fn deleted_upto(&self, topic: &str) -> Sequence {
        if self.deletions.is_empty() { 0 } else { self.deletions.get(topic).copied().unwrap_or(0) }
    }

    /// The topics that were deleted after a place; `None` where more than `most` have been in all.
    pub(crate) fn deleted_after(&self, after: Sequence, most: usize) -> Option<Vec<Topic>> {
        let later = self.deletions.iter().filter(|(_, sequence)| **sequence > after);
        (self.deletions.len() <= most).then(|| later.map(|(topic, _)| topic.clone()).collect())
    }

    /// Whether an entry's topic was deleted after it.
    #[must_use]
    pub fn is_deleted(&self, entry: &Event) -> bool {
        entry.sequence < self.deleted_upto(entry.topic.as_str())
    }

    /// Leaves out what no read gives any more: entries of topics that were deleted after them, and events whose lifetime
    /// has passed.
    pub fn retain_readable(&self, entries: &mut Vec<Arc<Event>>, now: Timestamp) {
        entries.retain(|entry| !entry.is_expired(now) && !self.is_deleted(entry));
    }

    /// Takes note of what is known of a topic; what is later wins.
    pub fn note_info(&mut self, info: &TopicInfo) {
        if info.latest <= self.deleted_upto(info.topic.as_str()) {
            return;
        }
        let state = State { latest: info.latest, time: info.time, closed: info.closed };
        let known = self.topics.entry(info.topic.clone()).or_insert(state);
        if known.latest < state.latest {
            *known = state;
        }
    }

    /// Forgets a topic whose latest entry is before `earliest`.
    pub fn forget(&mut self, topic: &str, earliest: Sequence) {
        if self.topics.get(topic).is_some_and(|state| state.latest < earliest) {
            self.topics.remove(topic);
        }
        if self.deletions.get(topic).is_some_and(|&sequence| sequence < earliest) {
            self.deletions.remove(topic);
        }
    }

    /// Forgets every topic whose latest entry is before `earliest`.
    pub fn forget_before(&mut self, earliest: Sequence) {
        self.topics.retain(|_, state| state.latest >= earliest);
        self.deletions.retain(|_, sequence| *sequence >= earliest);
    }

    /// Whether the topic has ended.
    #[must_use]
    pub fn is_closed(&self, topic: &str) -> bool {
        self.topics.get(topic).is_some_and(|state| state.closed)
    }

    /// Whether the topic has ended with an entry that is not before `earliest`.
    #[must_use]
    pub fn is_closed_since(&self, topic: &str, earliest: Sequence) -> bool {
        self.topics.get(topic).is_some_and(|state| state.closed && state.latest >= earliest)
    }

    /// What is known of one topic.
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<TopicInfo> {
        self.topics.get_key_value(topic).map(info)
    }

    /// The topics that a query asks for whose latest entry is not before `earliest`, as far as `steps` go: a step is a
    /// comparison of a segment with the selector, and each topic is one more. It looks at one topic at least.
    #[must_use]
    pub fn list(&self, query: &TopicQuery<'_>, earliest: Sequence, steps: &mut u64) -> TopicPart {
        let mut part = TopicPart { infos: Vec::new(), on: None };
        if let Some(topic) = query.selector.as_topic() {
            let is_after = query.after.is_none_or(|after| after < topic.as_str());
            let info = self.get(topic.as_str()).filter(|info| is_after && info.latest >= earliest);
            part.infos.extend(info.into_iter().take(query.limit));
            return part;
        }
        // What matches lies together, behind what it begins with.
        let prefix = query.selector.literal_prefix();
        let from = match query.after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let range = self.topics.range::<str, _>((from, Bound::Unbounded));
        for (topic, state) in range.take_while(|(topic, _)| topic.as_str().starts_with(prefix)) {
            if part.infos.len() >= query.limit {
                return part;
            }
            let mut taken = 1;
            if query.selector.matches_counting(topic, &mut taken) && state.latest >= earliest {
                part.infos.push(info((topic, state)));
            }
            *steps = steps.saturating_sub(taken);
            if *steps == 0 {
                part.on = Some(topic.clone());
                return part;
            }
        }
        part
    }

    /// How many topics there are, and deletions of topics, which take as much memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len() + self.deletions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.deletions.is_empty()
    }
}

fn info((topic, state): (&Topic, &State)) -> TopicInfo {
    TopicInfo { topic: topic.clone(), latest: state.latest, time: state.time, closed: state.closed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidings_protocol::Selector;

    proptest! {
        #[test]
        fn a_list_in_parts_is_the_whole_list(
            topics in prop::collection::btree_set("(a|b|a\\*)(/(a|b|c)){0,3}", 0..30),
            selector in "(a|b|a\\*|\\*)(/(a|b|\\*)){0,2}(/\\*\\*)?|\\*\\*",
            after in prop::option::of("(a|b)(/(a|b)){0,2}"),
            limit in 1_usize..10,
            steps in 1_u64..9,
        ) {
            let mut table = TopicTable::default();
            let topics: Vec<_> = topics.iter().map(|text| Topic::new(text).unwrap()).collect();
            for (topic, latest) in topics.iter().zip(1..) {
                let (topic, time) = (topic.clone(), Timestamp::default());
                table.note_info(&TopicInfo { topic, latest, time, closed: false });
            }
            let selector = Selector::new(&selector).unwrap();
            let after = after.as_deref();
            let query = TopicQuery { selector: &selector, after, limit };
            let expected: Vec<_> = topics
                .iter()
                .filter(|topic| selector.matches(topic) && after.is_none_or(|after| after < topic.as_str()))
                .take(limit)
                .cloned()
                .collect();
            let names = |infos: Vec<TopicInfo>| infos.into_iter().map(|info| info.topic).collect::<Vec<_>>();
            let mut all = u64::MAX;
            prop_assert_eq!(&names(table.list(&query, 0, &mut all).infos), &expected);
            let in_parts = list_in_parts(query, |part, left| {
                *left = steps;
                table.list(part, 0, left)
            });
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(names(runtime.block_on(in_parts)), expected);
        }
    }
}
