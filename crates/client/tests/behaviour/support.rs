//! What the scenarios share: a real hub in this process, a server that follows a script, and ways to wait.

mod hub;
mod script;
mod socket;

use std::time::Duration;

use futures_util::StreamExt as _;
use tidings_client::{Client, Event, Interruption, Item, Subscription, Transport};
use tokio::time::timeout;

pub(crate) use hub::TestHub;
pub(crate) use script::{Request, Script, begin_stream, block, event, hold, page, reply};
pub(crate) use socket::ServerSocket;

/// Long enough for anything that is not broken, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn client(url: &str) -> Client {
    Client::new(url).unwrap()
}

/// The next item, which must come.
pub(crate) async fn next(subscription: &mut Subscription) -> Item {
    let item = timeout(PATIENCE, subscription.next()).await.expect("an item comes in time");
    item.expect("the subscription goes on").expect("the subscription has not failed")
}

/// The next event, whatever else comes before it.
pub(crate) async fn next_event(subscription: &mut Subscription) -> Event {
    loop {
        if let Item::Event(event) = next(subscription).await {
            return event;
        }
    }
}

/// The texts of the next events.
pub(crate) async fn next_texts(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        texts.push(next_event(subscription).await.text());
    }
    texts
}

/// The transport that is opened next, whatever else comes before it.
pub(crate) async fn next_open(subscription: &mut Subscription) -> Transport {
    loop {
        if let Item::Open { transport } = next(subscription).await {
            return transport;
        }
    }
}

/// Why the next item is a reconnect, and after what time.
pub(crate) async fn next_interruption(subscription: &mut Subscription) -> (Interruption, Duration) {
    loop {
        if let Item::Reconnecting { reason, after, .. } = next(subscription).await {
            return (reason, after);
        }
    }
}
