use tidings_protocol::{Selector, Topic};

use super::CloseRight;

/// What somebody may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The topics to publish to.
    pub publish: Vec<Selector>,
    /// The topics to subscribe to, and to list where `list` says so.
    pub subscribe: Vec<Selector>,
    /// The topics to end, beside those to publish to where [`CloseRight::Publish`](crate::CloseRight) says so. It allows
    /// no other publishing.
    pub close: Vec<Selector>,
    /// The topics to delete. No other right implies it.
    pub delete: Vec<Selector>,
    /// The relays to use, by their names, and to read the topics of by theirs. `*` is every relay.
    pub relay: Vec<String>,
    /// Whether to list the topics to subscribe to, with how many wait for each.
    pub list: bool,
    /// Whether to read the metrics, which tell of everybody.
    pub metrics: bool,
}

/// Stands for every relay among the names of relays.
const EVERY_RELAY: &str = "*";

// === impl Rights ===

impl Rights {
    /// Nothing at all.
    #[must_use]
    pub fn none() -> Self {
        Self {
            publish: Vec::new(),
            subscribe: Vec::new(),
            close: Vec::new(),
            delete: Vec::new(),
            relay: Vec::new(),
            list: false,
            metrics: false,
        }
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        let all = || vec![Selector::all()];
        Self {
            publish: all(),
            subscribe: all(),
            close: all(),
            delete: all(),
            relay: vec![EVERY_RELAY.to_owned()],
            list: true,
            metrics: true,
        }
    }

    /// Reading every topic, and nothing else.
    #[must_use]
    pub fn read_only() -> Self {
        Self { subscribe: vec![Selector::all()], ..Self::none() }
    }

    /// Whether they are all that there is. Deletion counts where a token could allow it, and relays where there are any.
    pub(crate) fn is_all(&self, right: CloseRight, has_keys: bool, has_relays: bool) -> bool {
        let all = Selector::all();
        let Self { publish, subscribe, close, delete, relay, list, metrics } = self;
        // Who may publish may end, unless that is a right of its own.
        let closes = close.contains(&all) || right == CloseRight::Publish;
        let relays = !has_relays || relay.iter().any(|own| own == EVERY_RELAY);
        let deletes = !has_keys || delete.contains(&all);
        let topics = [publish, subscribe].iter().all(|selectors| selectors.contains(&all));
        topics && deletes && closes && relays && *list && *metrics
    }

    pub(crate) fn may_publish(&self, topic: &Topic) -> bool {
        self.publish.iter().any(|selector| selector.matches(topic))
    }

    pub(crate) fn may_close(&self, topic: &Topic) -> bool {
        self.close.iter().any(|selector| selector.matches(topic))
    }

    pub(crate) fn may_delete(&self, topic: &Topic) -> bool {
        self.delete.iter().any(|selector| selector.matches(topic))
    }

    pub(crate) fn may_relay(&self, name: &str) -> bool {
        self.relay.iter().any(|own| own == name || own == EVERY_RELAY)
    }

    /// Whether one of the selectors covers another as a whole. Several that cover it only together do not count.
    pub(crate) fn may_subscribe(&self, wanted: &Selector) -> bool {
        self.subscribe.iter().any(|selector| selector.covers(wanted))
    }
}
