use std::collections::HashSet;

use crate::{Event, EventType, Selector, Topic};

/// What a subscription asks for: the union of up to [`limits::SELECTORS`](crate::limits::SELECTORS) selectors,
/// each event once, and, where event types are named, only those types (§3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    topics: HashSet<Topic>,
    patterns: Vec<Selector>,
    types: Vec<String>,
}

// === impl Selection ===

impl Selection {
    /// The union of `selectors`. Repeated selectors count once.
    pub fn new(selectors: impl IntoIterator<Item = Selector>) -> Self {
        let mut topics = HashSet::new();
        let mut patterns = Vec::new();
        for selector in selectors {
            if let Some(topic) = selector.as_topic() {
                topics.insert(topic.clone());
            } else if !patterns.contains(&selector) {
                patterns.push(selector);
            }
        }
        Self { topics, patterns, types: Vec::new() }
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
        self.types = types.into_iter().collect();
        self
    }

    /// The topic, where the selection can match no more than one.
    #[must_use]
    pub fn single_topic(&self) -> Option<&Topic> {
        if self.patterns.is_empty() && self.topics.len() == 1 { self.topics.iter().next() } else { None }
    }

    /// The topics that are named in full.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter()
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

    /// Whether events of `topic` may belong to the selection.
    #[must_use]
    pub fn matches_topic(&self, topic: &Topic) -> bool {
        self.topics.contains(topic.as_str()) || self.patterns.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether events of this type belong to the selection.
    #[must_use]
    pub fn matches_type(&self, event_type: Option<&EventType>) -> bool {
        self.types.is_empty() || {
            let name = event_type.map_or("message", EventType::as_str);
            self.types.iter().any(|wanted| wanted == name)
        }
    }

    /// Whether a reader of the selection has to know of the entry: it is an event that matches, or it ends a
    /// topic of the selection.
    #[must_use]
    pub fn concerns(&self, event: &Event) -> bool {
        (event.closes() || self.matches_type(event.event_type.as_ref())) && self.matches_topic(&event.topic)
    }

    /// Whether the event belongs to the selection. The end of a topic that carries no event belongs to none.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        event.is_visible() && self.matches_type(event.event_type.as_ref()) && self.matches_topic(&event.topic)
    }
}
