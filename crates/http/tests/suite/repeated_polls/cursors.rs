//! Where a poll goes on.

use tidings_protocol::GapReason;

use super::{Poller, Way, numbers};
use crate::support::{Request, Running, Setup, texts, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_comes_once_and_in_order_however_the_cursor_is_given() {
    for (way, limit) in [
        (Way::Since, ""),
        (Way::Query, ""),
        (Way::Header, ""),
        (Way::Since, "&limit=3"),
        (Way::Header, "&limit=1"),
    ] {
        let hub = Running::start().await;
        let mut poller = Poller::new(&hub, way, &format!("/topics/a?wait=30{limit}")).await;
        let reading = tokio::spawn(async move { poller.poll_for(300).await });
        hub.waiting("a", 1).await;
        let mut wire = hub.connect().await;
        for number in 0..200 {
            wire.ask(&Request::post("/topics/a", number.to_string())).await.id();
            wire.ask(&Request::post("/topics/b", "another's")).await.id();
        }
        hub.publish_numbers("a", 200..300).await;
        assert_eq!(within(reading).await.unwrap(), numbers(0..300), "{way:?}{limit}");
    }
}

#[tokio::test]
async fn an_older_cursor_is_answered_with_what_followed_it() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=30").await;
    hub.publish_numbers("a", 0..5).await;
    for back in [1, 0, 3, 5, 1] {
        poller.next = hub.cursor(back);
        let expected: Vec<_> =
            ["first".to_owned()].into_iter().chain(numbers(0..5)).skip(back as usize).collect();
        assert_eq!(texts(&poller.poll().await), expected);
    }
    poller.goes_on(&hub).await;
}

#[tokio::test]
async fn a_cursor_in_another_place_is_not_taken_for_the_one_that_counts() {
    let hub = Running::start().await;
    hub.publish_numbers("a", 0..4).await;
    // Each asks for what comes after the cursor that is percent-encoded; the other has no say.
    let requests = [
        "GET /topics/a?wait=30&lastEventId=HIDDEN&since=X HTTP/1.1\r\n",
        "GET /topics/a?wait=30&since=HIDDEN&xsince=X HTTP/1.1\r\n",
        "GET /topics/a?wait=30&since=HIDDEN&Since=X HTTP/1.1\r\n",
        "GET /topics/a?wait=30&since=HIDDEN&lasteventid=X HTTP/1.1\r\n",
        "GET /topics/a?wait=30&since=X&since=HIDDEN HTTP/1.1\r\n",
        "GET /topics/a?wait=30&since=HIDDEN HTTP/1.1\r\nreferer: /x?since=X\r\n",
        "GET /topics/a?wait=30&lastEventId=HIDDEN HTTP/1.1\r\nx-last-event-id: X\r\n",
        "GET /topics/a?wait=30&lastEventId=HIDDEN&x=1?since=X HTTP/1.1\r\n",
    ];
    for request in requests {
        let mut wire = hub.connect().await;
        let latest = hub.cursor(hub.hub.latest());
        let request = request.replace("HIDDEN", &format!("%{:02x}{}", latest.as_bytes()[0], &latest[1..]));
        let with = |cursor: &str| request.replace('X', cursor) + "host: hub\r\n\r\n";
        wire.send(with(&latest)).await;
        hub.waiting("a", 1).await;
        let id = hub.publish("a", "x").await;
        assert_eq!(texts(&wire.answer(false).await.page()), ["x"], "{request}");
        // Where the other cursor counted, this would be held, or be answered with what was seen.
        for cursor in [id, hub.cursor(0)] {
            wire.send(with(&cursor)).await;
            assert_eq!(texts(&wire.answer(false).await.page()), ["x"], "{request}");
        }
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_continued_is_told_as_on_a_new_connection() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
    hub.publish_numbers("a", 0..5).await;
    for ahead in [1, 2, 1_000] {
        let foreign = ["q7m2x9-3", "q7m2x9-0"].map(str::to_owned);
        for number in 0..4 {
            let cursor = match number {
                0 => hub.cursor(hub.hub.latest() + ahead),
                1 => hub.cursor(u64::MAX),
                other => foreign[other - 2].clone(),
            };
            let request = poller.request(&cursor);
            let (fresh, answer) = (hub.ask(request.clone()).await, poller.wire.ask(&request).await);
            assert_eq!(answer.text(), fresh.text());
            assert_eq!(answer.json()["gap"]["since"], cursor);
            let page = answer.page();
            assert_eq!(texts(&page)[1..6], numbers(0..5)[..]);
            poller.next = page.next;
            poller.goes_on(&hub).await;
        }
    }
}

#[tokio::test]
async fn a_cursor_that_retention_overtook_is_told_and_nothing_else_is_lost() {
    for held in [false, true] {
        let hub = Setup::keeping(20).start().await;
        let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
        if held {
            poller.goes_on(&hub).await;
        }
        let last = poller.next.clone();
        hub.publish_numbers("a", 0..100).await;
        let page = poller.poll().await;
        let gap = page.gap.clone().unwrap();
        assert_eq!((gap.reason, gap.since), (GapReason::Expired, last));
        let kept = hub.read("/topics/a").await;
        let mut seen = texts(&page);
        while seen.len() < kept.len() {
            let page = poller.poll().await;
            assert!(page.gap.is_none(), "a gap is told once");
            seen.extend(texts(&page));
        }
        assert_eq!(seen, kept);
        poller.goes_on(&hub).await;
    }
}

#[tokio::test]
async fn a_cursor_older_than_memory_goes_on_from_the_log() {
    for tail_bytes in [0, 4_000] {
        let mut setup = Setup::new();
        setup.hub.tail_bytes = tail_bytes;
        let hub = setup.start().await;
        for limit in ["", "&limit=7"] {
            let mut poller = Poller::rested(&hub, &format!("/topics/a?wait=60{limit}")).await;
            for _ in 0..3 {
                hub.publish_numbers("a", 0..50).await;
                hub.publish_numbers("b", 0..50).await;
                assert_eq!(poller.poll_for(50).await, numbers(0..50));
            }
            poller.goes_on(&hub).await;
        }
    }
}
