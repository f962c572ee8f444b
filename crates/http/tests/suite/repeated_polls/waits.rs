//! How long polls are held, and that they are counted.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Poller, Way, numbers};
use crate::support::{Request, Running, eventually, texts};

#[tokio::test]
async fn each_poll_is_held_until_there_is_something() {
    for way in [Way::Since, Way::Query, Way::Header] {
        let hub = Running::start().await;
        let mut poller = Poller::new(&hub, way, "/events?topic=a&topic=b&wait=30").await;
        for _ in 0..20 {
            poller.goes_on(&hub).await;
        }
        hub.publish_numbers("a", 0..5).await;
        assert_eq!(texts(&poller.poll().await), numbers(0..5));
        poller.goes_on(&hub).await;
    }
}

#[tokio::test]
async fn who_waits_is_counted_and_who_left_is_not() {
    let hub = Running::start().await;
    let subscribers = async || hub.get("/topics").await.json()["topics"][0]["subscribers"].clone();
    let mut pollers = Vec::new();
    for _ in 0..6 {
        pollers.push(Poller::new(&hub, Way::Since, "/topics/a?wait=60").await);
    }
    for _ in 0..5 {
        for poller in &mut pollers {
            poller.ask().await;
        }
        hub.readers("long-poll", 6).await;
        hub.waiting("a", 6).await;
        hub.publish("a", "x").await;
        for poller in &mut pollers {
            assert_eq!(texts(&poller.page().await), ["x"]);
        }
        hub.readers("long-poll", 0).await;
        hub.waiting("a", 0).await;
        assert_eq!(subscribers().await, json!(0));
    }
    let connections = async |count| {
        let so = async || hub.metric("tidings_connections").await == count;
        eventually("the connections are counted", so).await;
    };
    // And the one that asks.
    connections(7).await;
    // Between two requests.
    pollers.truncate(4);
    connections(5).await;
    hub.readers("long-poll", 0).await;
    // While held.
    for poller in &mut pollers {
        poller.ask().await;
    }
    hub.readers("long-poll", 4).await;
    assert_eq!(subscribers().await, json!(4));
    pollers.truncate(1);
    hub.readers("long-poll", 1).await;
    hub.waiting("a", 1).await;
    connections(2).await;
    // Back through the routes.
    hub.publish("a", "y").await;
    pollers[0].page().await;
    pollers[0].wire.ask(&Request::get("/healthz")).await;
    connections(2).await;
    pollers[0].goes_on(&hub).await;
    // Right after a request.
    pollers[0].ask().await;
    pollers.clear();
    connections(1).await;
    hub.readers("long-poll", 0).await;
    hub.waiting("a", 0).await;
}

#[tokio::test]
async fn each_poll_is_held_for_as_long_as_it_asks() {
    let hub = Running::start().await;
    for (wait, least) in [("1500ms", 1_500), ("1.2", 1_200), ("1s", 1_000)] {
        let mut poller = Poller::rested(&hub, &format!("/topics/a?wait={wait}")).await;
        for number in 0..2 {
            let asked = Instant::now();
            poller.ask().await;
            let other = hub.publish(if number == 1 { "b" } else { "c" }, "another's").await;
            let page = poller.page().await;
            let held = asked.elapsed().as_millis();
            assert!((least..least + 15_000).contains(&held), "{wait} was {held} ms");
            assert!(page.events.is_empty() && !page.more && !page.closed && page.gap.is_none());
            assert_eq!(page.next, other);
        }
        hub.readers("long-poll", 0).await;
        hub.publish("a", "x").await;
        assert_eq!(texts(&poller.poll().await), ["x"]);
        hub.waiting("a", 0).await;
    }
}

#[tokio::test]
async fn a_wait_that_was_not_used_up_leaves_nothing_to_the_next() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=2s").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(4_500) {
        let asked = Instant::now();
        poller.ask().await;
        hub.waiting("a", 1).await;
        sleep(Duration::from_millis(500)).await;
        hub.publish("a", "x").await;
        // A machine that is busy may have needed all of the time.
        let page = poller.page().await;
        assert!(texts(&page) == ["x"] || asked.elapsed() >= Duration::from_secs(2));
        if page.events.is_empty() {
            poller.poll().await;
        }
    }
    let asked = Instant::now();
    assert!(poller.poll().await.events.is_empty());
    assert!(asked.elapsed() >= Duration::from_secs(2), "{:?}", asked.elapsed());
}
