use tidings_protocol::{Selector, Topic};

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The topics to publish to.
    pub publish: Vec<Selector>,
    /// The topics to subscribe to, and to list.
    pub subscribe: Vec<Selector>,
    /// Whether to read the metrics, which tell of everybody.
    pub metrics: bool,
}

// === impl Rights ===

impl Rights {
    /// Nothing at all.
    #[must_use]
    pub fn none() -> Self {
        Self { publish: Vec::new(), subscribe: Vec::new(), metrics: false }
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self { publish: vec![Selector::all()], subscribe: vec![Selector::all()], metrics: true }
    }

    pub(crate) fn is_all(&self) -> bool {
        let all = Selector::all();
        self.publish.contains(&all) && self.subscribe.contains(&all) && self.metrics
    }

    pub(crate) fn may_publish(&self, topic: &Topic) -> bool {
        self.publish.iter().any(|selector| selector.matches(topic))
    }

    /// Whether one of the selectors covers another as a whole. Several that cover it only together do not count.
    pub(crate) fn may_subscribe(&self, wanted: &Selector) -> bool {
        self.subscribe.iter().any(|selector| selector.covers(wanted))
    }
}
