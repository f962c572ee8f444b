//! §3.1: polls that are held.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::{Request, Running, Setup, texts, within};

#[tokio::test]
async fn a_held_poll_is_answered_by_the_first_event() {
    let hub = Running::start().await;
    hub.publish("a", "old").await;
    for target in ["/topics/a", "/topics/*", "/events?topic=b&topic=a", "/topics/a?event=message"] {
        let separator = if target.contains('?') { '&' } else { '?' };
        let held = tokio::spawn(hub.get(&format!("{target}{separator}wait=30")));
        hub.waiting("a", 1).await;
        let asked = Instant::now();
        let id = hub.publish("a", "new").await;
        let page = within(held).await.unwrap().page();
        assert!(asked.elapsed() < Duration::from_secs(10), "{target} was answered late");
        assert_eq!((texts(&page), &page.next, page.more), (vec!["new".into()], &id, false));
        hub.waiting("a", 0).await;
    }
}

#[tokio::test]
async fn a_poll_with_something_to_read_is_not_held() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let asked = Instant::now();
    assert_eq!(hub.read("/topics/a?wait=60&since=earliest").await, ["x"]);
    assert!(asked.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_poll_is_held_no_longer_than_it_asks_for() {
    let hub = Running::start().await;
    for (wait, least) in [("0.3", 300), ("300ms", 300), ("0.2s", 200), ("1", 1_000)] {
        let asked = Instant::now();
        let answer = hub.get(&format!("/topics/a?wait={wait}")).await;
        let page = answer.page();
        assert!(page.events.is_empty() && !page.more && page.next == hub.cursor(0));
        let held = asked.elapsed();
        assert!((least..least + 15_000).contains(&held.as_millis()), "{wait} was {held:?}");
    }
    for wait in ["0", "0s", "0ms"] {
        let asked = Instant::now();
        hub.poll(&format!("/topics/a?wait={wait}")).await;
        assert!(asked.elapsed() < Duration::from_secs(15));
    }
}

#[tokio::test]
async fn a_wait_is_clamped_to_what_the_hub_allows() {
    let mut setup = Setup::new();
    setup.http.max_wait = Duration::from_millis(200);
    let hub = setup.start().await;
    for wait in ["60", "1h", "365d"] {
        let asked = Instant::now();
        assert!(hub.poll(&format!("/topics/a?wait={wait}")).await.events.is_empty());
        let held = asked.elapsed();
        assert!(held >= Duration::from_millis(200) && held < Duration::from_secs(10), "{wait} was {held:?}");
    }
}

#[tokio::test]
async fn a_malformed_wait_is_refused() {
    let hub = Running::start().await;
    for wait in ["", "soon", "-1", "1w", "1e3", "NaN", "inf", "ms", "%ff"] {
        hub.get(&format!("/topics/a?wait={wait}")).await.problem(400, "invalid-query");
    }
}

#[tokio::test]
async fn other_events_do_not_answer_a_held_poll_but_move_its_cursor() {
    let hub = Running::start().await;
    let held = tokio::spawn(hub.get("/events?topic=a&event=t&wait=3"));
    hub.waiting("a", 1).await;
    hub.publish("b", "other topic").await;
    hub.publish_typed("a", "s", "other type").await;
    let page = within(held).await.unwrap().page();
    assert!(page.events.is_empty() && !page.more);
    assert_eq!(page.next, hub.cursor(2));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let hub = Running::start().await;
    let mut wires = Vec::new();
    for _ in 0..10 {
        let mut wire = hub.connect().await;
        wire.send(Request::get("/topics/a?wait=60").bytes()).await;
        wires.push(wire);
    }
    hub.readers("long-poll", 10).await;
    hub.waiting("a", 10).await;
    wires.truncate(3);
    hub.readers("long-poll", 3).await;
    hub.waiting("a", 3).await;
    drop(wires);
    hub.readers("long-poll", 0).await;
    hub.waiting("a", 0).await;
    // Only the connection that asks.
    let connections = async || hub.metric("tidings_connections").await;
    crate::support::eventually("the connections are gone", async || connections().await == 1).await;
}

#[tokio::test]
async fn one_connection_holds_one_poll_after_the_other() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    let mut next = "latest".to_owned();
    for number in 0..20 {
        wire.send(Request::get(&format!("/topics/a?wait=30&since={next}")).bytes()).await;
        if number % 2 == 0 {
            hub.waiting("a", 1).await;
        }
        if number > 0 || next != "latest" {
            hub.publish("a", &number.to_string()).await;
        } else {
            hub.waiting("a", 1).await;
            hub.publish("a", "0").await;
        }
        let page = wire.answer(false).await.page();
        assert_eq!(texts(&page), [number.to_string()]);
        next = page.next;
    }
}

#[tokio::test]
async fn a_request_that_follows_a_held_poll_is_answered_after_it() {
    let hub = Running::start().await;
    let mut wire = hub.connect().await;
    let both = [Request::get("/topics/a?wait=30").bytes(), Request::get("/healthz").bytes()].concat();
    wire.send(both).await;
    hub.waiting("a", 1).await;
    hub.publish("a", "x").await;
    assert_eq!(texts(&wire.answer(false).await.page()), ["x"]);
    assert_eq!(wire.answer(false).await.text(), "ok\n");
}

#[tokio::test]
async fn every_held_poll_is_answered_by_one_event() {
    let hub = Running::start().await;
    let held: Vec<_> = (0..100).map(|_| tokio::spawn(hub.get("/topics/a?wait=30"))).collect();
    hub.waiting("a", 100).await;
    let id = hub.publish("a", "x").await;
    for poll in held {
        assert_eq!(poll.await.unwrap().page().next, id);
    }
    hub.readers("long-poll", 0).await;
}

#[tokio::test]
async fn a_chain_of_held_polls_misses_nothing() {
    let hub = Running::start().await;
    let address = hub.address;
    let reading = tokio::spawn(async move {
        let mut wire = crate::support::Wire::connect(address).await;
        let (mut seen, mut next) = (Vec::new(), "earliest".to_owned());
        while seen.len() < 500 {
            let request = Request::get(&format!("/topics/a?wait=30&limit=50&since={next}"));
            let page = wire.ask(&request).await.page();
            seen.extend(texts(&page));
            next = page.next;
        }
        seen
    });
    let mut wire = hub.connect().await;
    for number in 0..500 {
        wire.ask(&Request::post("/topics/a", number.to_string())).await.id();
        if number % 50 == 0 {
            sleep(Duration::from_millis(2)).await;
        }
    }
    let expected: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    assert_eq!(within(reading).await.unwrap(), expected);
}

#[tokio::test]
async fn a_held_poll_can_be_answered_with_304() {
    let hub = Running::start().await;
    let target = "/topics/a?wait=50ms";
    let tag = hub.get(target).await.header("etag").unwrap().to_owned();
    let known = Request::get(target).header("if-none-match", &tag);
    assert_eq!(hub.ask(known.clone()).await.status(), 304);
    let held = tokio::spawn(hub.ask(Request::get("/topics/a?wait=30").header("if-none-match", &tag)));
    hub.waiting("a", 1).await;
    hub.publish("a", "x").await;
    assert_eq!(texts(&within(held).await.unwrap().page()), ["x"]);
}

#[tokio::test]
async fn a_cursor_that_cannot_be_continued_is_told_at_once() {
    let hub = Running::start().await;
    let asked = Instant::now();
    let answer = hub.ask(Request::get("/topics/a?wait=60").last_event_id("nonsense")).await;
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert!(answer.page().gap.is_some());
}
