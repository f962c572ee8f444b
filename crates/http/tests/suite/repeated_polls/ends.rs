//! The end of a topic, and of the hub.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Poller, Way};
use crate::support::{Request, Running, texts};

#[tokio::test]
async fn an_end_between_two_requests_is_told_at_once() {
    for target in
        ["/topics/a?wait=60", "/topics/a?wait=60&limit=1", "/topics/a?wait=60&event=t&event=message"]
    {
        let hub = Running::start().await;
        let mut poller = Poller::rested(&hub, target).await;
        let end = hub.close_topic("a").await;
        for _ in 0..3 {
            let page = poller.poll().await;
            assert!(page.events.is_empty() && page.closed && !page.more, "{target}");
            assert_eq!(page.next, end);
        }
        // Others go on, also on this connection.
        let mut other = Poller::new(&hub, Way::Since, "/topics/b?wait=30").await;
        other.ask().await;
        hub.waiting("b", 1).await;
        hub.publish("b", "x").await;
        assert_eq!(texts(&other.page().await), ["x"]);
        poller.target = "/topics/b?wait=30".into();
        assert_eq!(texts(&poller.poll().await), ["x"]);
    }
}

#[tokio::test]
async fn an_end_while_a_poll_is_held_is_told_and_stays() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
    poller.goes_on(&hub).await;
    poller.ask().await;
    hub.waiting("a", 1).await;
    hub.close_topic("a").await;
    for _ in 0..3 {
        let page = poller.page().await;
        assert!(page.events.is_empty() && page.closed);
        poller.ask().await;
    }
    assert!(poller.page().await.closed);
    hub.waiting("a", 0).await;
}

#[tokio::test]
async fn a_last_event_with_the_end_is_told_with_it() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
    poller.ask().await;
    hub.waiting("a", 1).await;
    hub.ask(Request::post("/topics/a?close=true", "last")).await.id();
    let page = poller.page().await;
    assert_eq!((texts(&page), page.closed), (vec!["last".to_owned()], true));
    assert!(poller.poll().await.closed);
    // Also for who asks for the last event again.
    poller.next = hub.cursor(1);
    let page = poller.poll().await;
    assert_eq!((texts(&page), page.closed), (vec!["last".to_owned()], true));
}

#[tokio::test]
async fn an_end_that_was_learnt_elsewhere_is_told_at_once() {
    for limit in ["", "&limit=1"] {
        for held in [false, true] {
            let hub = Running::start().await;
            let target = format!("/topics/a?wait=60{limit}");
            let mut poller = Poller::rested(&hub, &target).await;
            let mut other = Poller::rested(&hub, &target).await;
            poller.poll().await;
            if held {
                poller.ask().await;
                hub.waiting("a", 1).await;
            }
            let lines = "{\"data\":\"0\"}\n{\"data\":\"1\"}\n{\"data\":\"2\"}\n";
            hub.ask(Request::post("/topics/a?close=true", lines).ndjson()).await.ids();
            if held {
                assert_eq!(texts(&poller.page().await)[0], "0");
            }
            let end = hub.cursor(hub.hub.latest());
            hub.publish("b", "later").await;
            for poller in [&mut poller, &mut other] {
                for cursor in [end.clone(), hub.cursor(hub.hub.latest())] {
                    poller.next = cursor;
                    let page = poller.poll().await;
                    assert!(page.events.is_empty() && page.closed, "{limit} {held}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_hub_that_shuts_down_ends_them_all() {
    let mut hub = Running::start().await;
    let mut between = Poller::rested(&hub, "/topics/a?wait=60").await;
    let mut held = Poller::rested(&hub, "/topics/a?wait=60").await;
    held.ask().await;
    hub.waiting("a", 1).await;
    let (latest, asked) = (hub.cursor(hub.hub.latest()), Instant::now());
    hub.shut_down();
    let answer = held.wire.answer(false).await;
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.json(), json!({"events": [], "next": latest, "more": false}));
    assert_eq!(held.wire.rest().await, b"");
    assert_eq!(between.wire.rest().await, b"");
    hub.ended().await;
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}
