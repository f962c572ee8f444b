use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidings_protocol::{Closing, NewEvent, Timestamp, Topic};

use crate::limits::OUTCOMES;
use crate::message::Contents;

/// Which topics have ended, and what became of the messages that came last.
///
/// Hubs publish at the same time, so one may publish to a topic that another is just ending. **The stream decides**: a
/// message counts for nothing where one of its topics ended in a message that is before it in the stream and that its hub
/// had not seen. Every hub comes to the same judgement, from the stream alone. (A hub does not publish to a topic whose
/// end it has seen; so an end that was seen was one that retention has discarded since, and the topic begins anew.)
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The message that each topic ended with.
    ends: HashMap<Topic, u64>,
    /// The message that deleted each topic last.
    deletions: HashMap<Topic, u64>,
    /// The messages that count for nothing, for as long as they are kept: retention discards what they came after first.
    voids: BTreeSet<u64>,
    outcomes: BTreeMap<u64, Outcome>,
    /// The first message that is kept.
    first: u64,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) time: Timestamp,
    /// The topic for whose end the message counts for nothing.
    pub(crate) void: Option<Topic>,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(first: u64) -> Self {
        Self { first, ..Self::default() }
    }

    /// The topic that has ended, where one of these has.
    pub(crate) fn ended<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) -> Option<Topic> {
        topics.into_iter().find(|topic| self.ends.get(*topic).is_some_and(|&end| end >= self.first)).cloned()
    }

    /// The message that deleted a topic last; 0 where there is none.
    pub(crate) fn deleted(&self, topic: &Topic) -> u64 {
        self.deletions.get(topic).copied().unwrap_or(0)
    }

    /// The topic for whose end a message counts for nothing, if it does.
    pub(crate) fn void(&self, number: u64, contents: &Contents) -> Option<Topic> {
        let late = |end: u64| contents.seen < end && end < number;
        // What deletes a topic counts wherever it ended.
        let ends = contents.entries.iter().filter(|(_, closing)| *closing != Closing::Deleted);
        let mut topics = ends.map(|(event, _)| &event.topic);
        if self.is_void(number) {
            return topics.next().cloned();
        }
        topics.find(|topic| self.ends.get(*topic).is_some_and(|&end| late(end))).cloned()
    }

    /// Whether a message was found to count for nothing.
    pub(crate) fn is_void(&self, number: u64) -> bool {
        self.voids.contains(&number)
    }

    /// Takes note that a message counts for nothing, as the one says who published it.
    pub(crate) fn note_void(&mut self, number: u64) {
        if number >= self.first {
            self.voids.insert(number);
        }
    }

    /// Takes note of a message, the next one of the stream, and judges it.
    pub(crate) fn note(&mut self, number: u64, time: Timestamp, contents: &Contents) -> bool {
        let void = self.void(number, contents);
        let counts = void.is_none();
        if counts {
            for (NewEvent { topic, .. }, closing) in &contents.entries {
                if *closing == Closing::Deleted {
                    self.ends.remove(topic);
                    self.deletions.insert(topic.clone(), number);
                } else if *closing != Closing::No {
                    self.ends.insert(topic.clone(), number);
                } else if !self.ends.is_empty() && self.ends.get(topic).is_some_and(|&end| end < number) {
                    self.ends.remove(topic);
                }
            }
        }
        if !counts {
            self.note_void(number);
        }
        self.outcomes.insert(number, Outcome { time, void });
        if self.outcomes.len() > OUTCOMES {
            self.outcomes.pop_first();
        }
        counts
    }

    pub(crate) fn outcome(&self, number: u64) -> Option<Outcome> {
        self.outcomes.get(&number).cloned()
    }

    /// Retention has discarded every message before `first`.
    pub(crate) fn trim(&mut self, first: u64) {
        if first > self.first {
            self.first = first;
            self.ends.retain(|_, end| *end >= first);
            self.deletions.retain(|_, deletion| *deletion >= first);
            self.voids = self.voids.split_off(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seen: u64, topic: &str, closing: Closing) -> Contents {
        Contents { seen, entries: vec![(NewEvent::text(topic.parse().unwrap(), ""), closing)] }
    }

    #[test]
    fn what_was_published_without_knowing_of_the_end_counts_for_nothing() {
        let mut ledger = Ledger::default();
        let time = Timestamp::default();
        let topic: Topic = "a".parse().unwrap();
        assert!(ledger.note(5, time, &message(4, "a", Closing::No)));
        assert!(ledger.note(6, time, &message(4, "a", Closing::After)));
        assert_eq!(ledger.ended([&topic]), Some(topic.clone()));
        assert!(!ledger.note(7, time, &message(5, "a", Closing::No)));
        assert!(!ledger.note(8, time, &message(5, "a", Closing::Only)), "a topic ends once");
        assert_eq!(ledger.outcome(7).unwrap().void, Some(topic.clone()));
        assert!(ledger.note(9, time, &message(5, "b", Closing::No)));
        // The end is discarded: the topic begins anew, and what came too late still does not count.
        ledger.trim(7);
        assert_eq!(ledger.ended([&topic]), None);
        assert!(ledger.note(10, time, &message(9, "a", Closing::No)));
        assert_eq!(ledger.void(7, &message(5, "a", Closing::No)), Some(topic));
        assert_eq!(ledger.void(10, &message(9, "a", Closing::No)), None);
        ledger.trim(8);
        assert!(!ledger.is_void(7) && ledger.is_void(8));
    }
}
