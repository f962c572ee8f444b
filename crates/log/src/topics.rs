use std::collections::BTreeMap;
use std::ops::Bound;

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
        let state = State { latest: entry.sequence, time: entry.time, closed: entry.closes() };
        if let Some(known) = self.topics.get_mut(entry.topic.as_str()) {
            if known.latest < state.latest {
                *known = state;
            }
        } else {
            self.topics.insert(entry.topic.clone(), state);
        }
    }

    /// Takes note of what is known of a topic; what is later wins.
    pub fn note_info(&mut self, info: &TopicInfo) {
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
    }

    /// Forgets every topic whose latest entry is before `earliest`.
    pub fn forget_before(&mut self, earliest: Sequence) {
        self.topics.retain(|_, state| state.latest >= earliest);
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

    /// The topics that a query asks for.
    #[must_use]
    pub fn list(&self, query: &TopicQuery<'_>) -> Vec<TopicInfo> {
        let matching = |(topic, _): &(&Topic, &State)| query.selector.matches(topic);
        let from = query.after.map_or(Bound::Unbounded, Bound::Excluded);
        match query.selector.as_topic() {
            Some(topic) if query.after.is_none_or(|after| after < topic.as_str()) => {
                self.get(topic.as_str()).into_iter().take(query.limit).collect()
            }
            Some(_) => Vec::new(),
            None => self
                .topics
                .range::<str, _>((from, Bound::Unbounded))
                .filter(matching)
                .take(query.limit)
                .map(info)
                .collect(),
        }
    }

    /// How many topics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }
}

fn info((topic, state): (&Topic, &State)) -> TopicInfo {
    TopicInfo { topic: topic.clone(), latest: state.latest, time: state.time, closed: state.closed }
}
