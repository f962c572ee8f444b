use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::{Event, EventType, Selector, Topic};

/// What a subscription asks for: the union of up to [`limits::SELECTORS`](crate::limits::SELECTORS) selectors,
/// each event once, and, where event types are named, only those types (§3).
///
/// Selections that ask for the same are equal, in whatever order they were given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    // Sorted, without repetitions, and no larger than they need be: a hub holds one for each subscriber.
    topics: Box<[Topic]>,
    patterns: Box<[Selector]>,
    types: Box<[String]>,
    filter: Option<Filter>,
}

/// Decides of the events that a selection's selectors match which belong to it, where selectors alone cannot say so.
pub trait EventFilter: fmt::Debug + Send + Sync {
    /// Whether an event belongs to the selection.
    fn admits(&self, event: &Event) -> bool;

    /// Says what it lets through: filters with the same key let through the same.
    fn key(&self) -> &str;
}

/// A filter, which is told from others by its key.
#[derive(Debug, Clone)]
struct Filter(Arc<dyn EventFilter>);

/// What one look of a filter counts for, among comparisons.
const FILTER_STEPS: u64 = 10;

// === impl Selection ===

impl Selection {
    /// The union of `selectors`. Repeated selectors count once.
    pub fn new(selectors: impl IntoIterator<Item = Selector>) -> Self {
        let (mut topics, mut patterns) = (Vec::new(), Vec::new());
        for selector in selectors {
            match selector.as_topic() {
                Some(topic) => topics.push(topic.clone()),
                None => patterns.push(selector),
            }
        }
        topics.sort_unstable();
        topics.dedup();
        patterns.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        patterns.dedup();
        Self { topics: topics.into(), patterns: patterns.into(), types: Box::default(), filter: None }
    }

    /// Every event of the log.
    #[must_use]
    pub fn all() -> Self {
        Self::new([Selector::all()])
    }

    /// Keeps only events of these types. An event without a type has the type `message`. No types at all
    /// means every type.
    #[must_use]
    pub fn of_types(mut self, types: impl IntoIterator<Item = String>) -> Self {
        let mut types: Vec<_> = types.into_iter().collect();
        types.sort_unstable();
        types.dedup();
        self.types = types.into();
        self
    }

    /// Keeps only what a filter lets through.
    #[must_use]
    pub fn filtered(mut self, filter: Arc<dyn EventFilter>) -> Self {
        self.filter = Some(Filter(filter));
        self
    }

    /// Whether the filter of the selection lets an event through, where it has one.
    #[must_use]
    pub fn admits(&self, event: &Event) -> bool {
        self.filter.as_ref().is_none_or(|Filter(filter)| filter.admits(event))
    }

    fn admits_counting(&self, event: &Event, steps: &mut u64) -> bool {
        *steps += if self.filter.is_some() { FILTER_STEPS } else { 0 };
        self.admits(event)
    }

    /// The topic, where the selection can match no more than one.
    #[must_use]
    pub fn single_topic(&self) -> Option<&Topic> {
        match (&*self.topics, &*self.patterns) {
            ([topic], []) => Some(topic),
            _ => None,
        }
    }

    /// The topics that are named in full.
    #[must_use]
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The patterns, each with a wildcard.
    #[must_use]
    pub fn patterns(&self) -> &[Selector] {
        &self.patterns
    }

    /// Every selector, the topics among them.
    pub fn selectors(&self) -> impl Iterator<Item = Selector> {
        self.topics.iter().cloned().map(Selector::from).chain(self.patterns.iter().cloned())
    }

    /// How many bytes its topics, patterns and types have together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let topics = self.topics.iter().map(|topic| topic.as_str().len());
        let patterns = self.patterns.iter().map(|pattern| pattern.as_str().len());
        let filter = self.filter.as_ref().map_or(0, |Filter(filter)| filter.key().len());
        topics.chain(patterns).chain(self.types.iter().map(String::len)).sum::<usize>() + filter
    }

    /// Whether events of `topic` may belong to the selection.
    #[must_use]
    pub fn matches_topic(&self, topic: &Topic) -> bool {
        self.matches_topic_counting(topic, &mut 0)
    }

    /// As [`matches_topic`](Selection::matches_topic), and adds to `steps` how much was compared: a hundred long patterns
    /// take some ten thousand times as long as one name, so whoever looks at many topics counts the steps.
    #[must_use]
    pub fn matches_topic_counting(&self, topic: &Topic, steps: &mut u64) -> bool {
        *steps += 1;
        self.topics.binary_search_by(|own| Borrow::<str>::borrow(own).cmp(topic.as_str())).is_ok()
            || self.patterns.iter().any(|pattern| pattern.matches_counting(topic, steps))
    }

    /// Whether events of this type belong to the selection.
    #[must_use]
    pub fn matches_type(&self, event_type: Option<&EventType>) -> bool {
        self.matches_type_name(event_type.map(EventType::as_str))
    }

    /// Whether events of a type of this name belong to the selection; `None`, where they have none.
    #[must_use]
    pub fn matches_type_name(&self, name: Option<&str>) -> bool {
        let name = name.unwrap_or("message");
        self.types.is_empty() || self.types.binary_search_by(|wanted| wanted.as_str().cmp(name)).is_ok()
    }

    /// Whether nothing follows an entry for whoever reads the selection: it ends the only topic of it.
    #[must_use]
    pub fn is_ended_by(&self, event: &Event) -> bool {
        event.closes() && self.single_topic().is_some_and(|topic| *topic == event.topic)
    }

    /// Whether a reader of the selection has to know of the entry: it is an event that matches, or it ends a
    /// topic of the selection.
    #[must_use]
    pub fn concerns(&self, event: &Event) -> bool {
        self.concerns_counting(event, &mut 0)
    }

    /// As [`concerns`](Selection::concerns), and counts as [`matches_topic_counting`](Selection::matches_topic_counting)
    /// does.
    #[must_use]
    pub fn concerns_counting(&self, event: &Event, steps: &mut u64) -> bool {
        *steps += 1;
        (event.closes() || self.matches_type(event.event_type.as_ref()))
            && self.matches_topic_counting(&event.topic, steps)
            && self.admits_counting(event, steps)
    }

    /// Whether the event belongs to the selection. The end of a topic that carries no event belongs to none.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.matches_counting(event, &mut 0)
    }

    /// As [`matches`](Selection::matches), and counts as [`matches_topic_counting`](Selection::matches_topic_counting)
    /// does.
    #[must_use]
    pub fn matches_counting(&self, event: &Event, steps: &mut u64) -> bool {
        *steps += 1;
        event.is_visible()
            && self.matches_type(event.event_type.as_ref())
            && self.matches_topic_counting(&event.topic, steps)
            && self.admits_counting(event, steps)
    }
}

// === impl Filter ===

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(texts: &[&str]) -> Selection {
        Selection::new(texts.iter().map(|text| Selector::new(text).unwrap()))
    }

    #[test]
    fn the_order_and_repetitions_do_not_matter() {
        assert_eq!(select(&["b", "a/*", "a", "b", "**"]), select(&["**", "a", "a/*", "b"]));
        assert_ne!(select(&["a"]), select(&["a"]).of_types(["x".to_owned()]));
    }

    #[test]
    fn a_topic_belongs_to_the_union() {
        let union = select(&["z", "b/*", "a"]);
        for (topic, belongs) in [("a", true), ("z", true), ("b/1", true), ("b", false), ("b/1/2", false)] {
            assert_eq!(union.matches_topic(&Topic::new(topic).unwrap()), belongs, "{topic}");
        }
        assert_eq!(union.single_topic(), None);
        assert_eq!(select(&["a", "a"]).single_topic(), Some(&Topic::new("a").unwrap()));
    }
}
