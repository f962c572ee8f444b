//! §3.1: polls on a connection that has polled before. What differs from the last request in nothing but its cursor is
//! known by its bytes, and goes a shorter way; nobody may notice.

mod browsers;
mod crowds;
mod cursors;
mod cuts;
mod ends;
mod requests;
mod waits;

use tidings_protocol::Page;

use crate::support::{Request, Running, Wire, texts};

/// How a poll says where it goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Since,
    Query,
    Header,
}

/// A client that polls on one connection.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) wire: Wire,
    way: Way,
    /// With a query.
    target: String,
    fields: Vec<(String, String)>,
    pub(crate) next: String,
}

impl Poller {
    /// A client that has not asked yet.
    pub(crate) async fn new(hub: &Running, way: Way, target: &str) -> Self {
        let next = hub.cursor(hub.hub.latest());
        Self { wire: hub.connect().await, way, target: target.into(), fields: Vec::new(), next }
    }

    /// A client that sends a field more.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// A client that was held once, and answered with an event of the topic `a`: its connection is between two
    /// requests.
    async fn rested(hub: &Running, target: &str) -> Self {
        let topic = "a".parse().unwrap();
        let before = hub.hub.subscribers(&topic);
        let mut own = Self::new(hub, Way::Since, target).await;
        own.ask().await;
        hub.waiting("a", before + 1).await;
        hub.publish("a", "first").await;
        assert_eq!(texts(&own.page().await), ["first"]);
        // It counts for a moment longer than its answer takes.
        hub.waiting("a", before).await;
        own
    }

    fn request(&self, cursor: &str) -> Request {
        let Self { target, .. } = self;
        let request = match self.way {
            Way::Since => Request::get(&format!("{target}&since={cursor}")),
            Way::Query => Request::get(&format!("{target}&lastEventId={cursor}")),
            Way::Header => Request::get(target).last_event_id(cursor),
        };
        self.fields.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    pub(crate) async fn ask(&mut self) {
        let request = self.request(&self.next);
        self.wire.send(request.bytes()).await;
    }

    async fn page(&mut self) -> Page {
        let page = self.wire.answer(false).await.page();
        self.next.clone_from(&page.next);
        page
    }

    pub(crate) async fn poll(&mut self) -> Page {
        self.ask().await;
        self.page().await
    }

    /// Polls until so many events have come, and returns their data.
    pub(crate) async fn poll_for(&mut self, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let page = self.poll().await;
            assert!(page.gap.is_none());
            seen.extend(texts(&page));
        }
        seen
    }

    /// Asks, is held, and is answered by an event: all is as it was.
    async fn goes_on(&mut self, hub: &Running) {
        self.ask().await;
        hub.waiting("a", 1).await;
        let id = hub.publish("a", "on").await;
        let page = self.page().await;
        assert_eq!((texts(&page), &page.next, page.more), (vec!["on".to_owned()], &id, false));
        assert!(page.gap.is_none() && !page.closed);
        hub.waiting("a", 0).await;
    }
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}
