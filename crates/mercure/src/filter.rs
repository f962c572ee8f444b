//! Which updates a subscriber is given.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tidings_protocol::{Event, EventFilter, Selector, Update};
use url::Url;

use crate::matcher::Matchers;
use crate::topics::topic;

/// What a subscriber asks for, and may read of it.
#[derive(Debug)]
pub(crate) struct Filter {
    asked: Matchers,
    /// What it may read of what is private.
    private: Option<Arc<Matchers>>,
    key: String,
    /// What is the same for all subscribers of a hub.
    hub: Arc<Scope>,
}

/// What a hub lets everybody read, and where it is.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The topics whose events are public.
    pub(crate) public: Vec<Selector>,
    pub(crate) base: Url,
}

thread_local! {
    /// The topics of the update that was looked at last: many subscribers look at the same. It keeps its data, so that no other is
    /// taken for it.
    static LAST: RefCell<Option<(Bytes, Rc<[String]>)>> = const { RefCell::new(None) };
}

// === impl Filter ===

impl Filter {
    pub(crate) fn new(asked: Matchers, private: Option<Arc<Matchers>>, hub: Arc<Scope>) -> Self {
        let key =
            format!("{}\u{3}{}", asked.key(), private.as_ref().map_or_else(String::new, |own| own.key()));
        Self { asked, private, key, hub }
    }

    /// Whether its subscriber may read an event, whatever it asks for.
    pub(crate) fn may_read(&self, event: &Event) -> bool {
        let (topics, private) = self.hub.topics(event);
        !private || topics.iter().any(|topic| self.may_read_private(topic))
    }

    fn may_read_private(&self, topic: &str) -> bool {
        self.private.as_ref().is_some_and(|own| own.matches(topic, &self.hub.base))
    }
}

impl EventFilter for Filter {
    fn admits(&self, event: &Event) -> bool {
        if !event.is_visible() {
            return false;
        }
        let (topics, private) = self.hub.topics(event);
        topics.iter().any(|topic| self.asked.matches(topic, &self.hub.base))
            && (!private || topics.iter().any(|topic| self.may_read_private(topic)))
    }

    fn key(&self) -> &str {
        &self.key
    }
}

// === impl Scope ===

impl Scope {
    /// The topics of an event, and whether it is private.
    fn topics<'a>(&self, event: &'a Event) -> (Topics<'a>, bool) {
        let name = event.topic.as_str();
        for (root, private) in [(Update::PUBLIC, false), (Update::PRIVATE, true)] {
            if let Some(name) = name.strip_prefix(root) {
                return (Topics::One(topic(name)), private);
            }
        }
        for (root, private) in [(Update::PUBLIC_MORE, false), (Update::PRIVATE_MORE, true)] {
            if name.starts_with(root) {
                return (Topics::Several(several(event)), private);
            }
        }
        let is_public = self.public.iter().any(|selector| selector.matches(&event.topic));
        (Topics::One(topic(name)), !is_public)
    }
}

/// The topics of an event.
enum Topics<'a> {
    One(Cow<'a, str>),
    Several(Rc<[String]>),
}

impl Topics<'_> {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let (one, several) = match self {
            Self::One(topic) => (Some(&**topic), &[][..]),
            Self::Several(topics) => (None, &**topics),
        };
        one.into_iter().chain(several.iter().map(String::as_str))
    }
}

/// The topics of an update that has several. What is no update has none.
fn several(event: &Event) -> Rc<[String]> {
    LAST.with_borrow_mut(|last| {
        if let Some((data, topics)) = last
            && data.as_ptr() == event.data.as_ptr()
            && data.len() == event.data.len()
        {
            return Rc::clone(topics);
        }
        let update = Update::of(event);
        let topics: Rc<[String]> =
            update.into_iter().flat_map(|update| update.topics).map(Cow::into_owned).collect();
        *last = Some((event.data.clone(), Rc::clone(&topics)));
        topics
    })
}
