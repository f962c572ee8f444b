//! §3.1: polls on a connection that has polled before. What differs from the last request in nothing but its cursor is
//! known by its bytes, and goes a shorter way; nobody may notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tidings_protocol::{GapReason, Page};
use tokio::time::{Instant, sleep};

use crate::support::{Request, Running, Setup, Wire, eventually, texts, within};

/// How a poll says where it goes on.
#[derive(Debug, Clone, Copy)]
enum Way {
    Since,
    Query,
    Header,
}

/// A client that polls on one connection.
#[derive(Debug)]
struct Poller {
    wire: Wire,
    way: Way,
    /// With a query.
    target: String,
    next: String,
}

impl Poller {
    /// A client that has not asked yet.
    async fn new(hub: &Running, way: Way, target: &str) -> Self {
        let next = hub.cursor(hub.hub.latest());
        Self { wire: hub.connect().await, way, target: target.into(), next }
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
        own
    }

    fn request(&self, cursor: &str) -> Request {
        let Self { target, .. } = self;
        match self.way {
            Way::Since => Request::get(&format!("{target}&since={cursor}")),
            Way::Query => Request::get(&format!("{target}&lastEventId={cursor}")),
            Way::Header => Request::get(target).last_event_id(cursor),
        }
    }

    async fn ask(&mut self) {
        let request = self.request(&self.next);
        self.wire.send(request.bytes()).await;
    }

    async fn page(&mut self) -> Page {
        let page = self.wire.answer(false).await.page();
        self.next.clone_from(&page.next);
        page
    }

    async fn poll(&mut self) -> Page {
        self.ask().await;
        self.page().await
    }

    /// Polls until so many events have come, and returns their data.
    async fn poll_for(&mut self, count: usize) -> Vec<String> {
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
async fn other_requests_on_the_connection_are_answered_rightly() {
    let hub = Running::start().await;
    hub.publish("b", "of b").await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=30").await;
    let others: [(&str, Request, u16); 14] = [
        ("another topic", Request::get("/topics/b"), 200),
        ("a longer name", Request::get(&format!("/topics/ab?wait=50ms&since={}", hub.cursor(1))), 200),
        ("a publication", Request::post("/topics/c", "x"), 201),
        ("a large publication", Request::post("/topics/c", "GET ".repeat(20_000)), 201),
        ("no body", Request::new("HEAD", &format!("/topics/a?wait=30&since={}", hub.cursor(0))), 200),
        ("another wait", Request::get(&format!("/topics/a?wait=60ms&since={}", hub.cursor(2))), 200),
        ("no wait", Request::get("/topics/a"), 200),
        ("a tag", poller.request(&hub.cursor(0)).header("if-none-match", "\"x\""), 200),
        ("another method", Request::new("DELETE", "/topics/a?wait=30"), 405),
        ("no cursor", Request::get("/topics/a?wait=30&since=nonsense"), 400),
        ("a cursor and more", Request::get(&format!("/topics/a?wait=30&since={}x", hub.cursor(2))), 400),
        (
            "a cursor with zeros",
            Request::get(&format!("/topics/a?wait=30&since={}-00", hub.hub.epoch())),
            200,
        ),
        ("a parameter more", poller.request(&format!("{}&limit=0", hub.cursor(2))), 400),
        ("health", Request::get("/healthz"), 200),
    ];
    for (what, request, status) in others {
        let fresh = hub.ask(request.clone());
        let answer = poller.wire.ask(&request).await;
        assert_eq!(answer.status(), status, "{what}: {}", answer.text());
        if status != 201 {
            // Publications to other topics move the cursor of an empty page.
            let fresh = fresh.await;
            assert_eq!((fresh.status(), fresh.text()), (answer.status(), answer.text()), "{what}");
        }
        poller.goes_on(&hub).await;
    }
    let tag = hub.get("/topics/b").await.header("etag").unwrap().to_owned();
    let known = poller.wire.ask(&Request::get("/topics/b").header("if-none-match", &tag)).await;
    assert_eq!((known.status(), known.body.len()), (304, 0));
    poller.goes_on(&hub).await;
    // The publication of a poller's own answers its next poll.
    let id = poller.wire.ask(&Request::post("/topics/a", "own")).await.id();
    let page = poller.poll().await;
    assert_eq!((texts(&page), page.next), (vec!["own".to_owned()], id));
    // And a stream takes the connection for good.
    poller.wire.send(Request::stream("/topics/a").bytes()).await;
    assert_eq!(poller.wire.head().await.header("content-type"), Some("text/event-stream"));
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

#[tokio::test]
async fn requests_that_come_at_once_are_answered_one_after_the_other() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
    for held in [false, true, false] {
        let one = poller.request(&poller.next.clone()).bytes();
        let health = Request::get("/healthz").bytes();
        if held {
            poller.wire.send(&one).await;
            hub.waiting("a", 1).await;
            poller.wire.send([&one[..], &one[..], &health[..]].concat()).await;
        } else {
            poller.wire.send([&one[..], &one[..], &one[..], &health[..]].concat()).await;
            hub.waiting("a", 1).await;
        }
        hub.publish("a", "x").await;
        for _ in 0..3 {
            assert_eq!(texts(&poller.page().await), ["x"]);
        }
        assert_eq!(poller.wire.answer(false).await.text(), "ok\n");
        // One more while one is held.
        poller.ask().await;
        hub.waiting("a", 1).await;
        poller.ask().await;
        hub.publish("a", "y").await;
        assert_eq!(
            (texts(&poller.page().await), texts(&poller.page().await)),
            (vec!["y".into()], vec!["y".into()])
        );
        poller.goes_on(&hub).await;
    }
}

#[tokio::test]
async fn a_request_may_come_in_pieces() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
    let length = poller.request(&poller.next.clone()).bytes().len();
    for at in [1, 3, 20, length - 30, length - 3, length - 2, length - 1] {
        let bytes = poller.request(&poller.next.clone()).bytes();
        poller.wire.send(&bytes[..at]).await;
        // Nothing tells from outside that the first piece was read.
        sleep(Duration::from_millis(10)).await;
        poller.wire.send(&bytes[at..]).await;
        hub.waiting("a", 1).await;
        hub.publish("a", "x").await;
        assert_eq!(texts(&poller.page().await), ["x"], "cut at {at}");
        poller.goes_on(&hub).await;
    }
}

#[tokio::test]
async fn what_follows_a_request_is_not_a_part_of_it() {
    let hub = Running::start().await;
    for garbage in [&b"\0\xff"[..], b"nonsense\r\n\r\n", b"\r\n\r\n\r\nGET\r\n\r\n"] {
        let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
        let bytes = poller.request(&poller.next.clone()).bytes();
        poller.wire.send([&bytes[..], garbage, &b"\r\n\r\n"[..]].concat()).await;
        hub.waiting("a", 1).await;
        hub.publish("a", "x").await;
        assert_eq!(texts(&poller.page().await), ["x"]);
        let rest = String::from_utf8(poller.wire.rest().await).unwrap();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400"), "{rest}");
    }
}

#[tokio::test]
async fn a_body_is_never_taken_for_a_request() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
    for header in [("content-length", "60"), ("transfer-encoding", "chunked")] {
        let smuggled = Request::post("/topics/smuggled", "").bytes();
        let body = match header.0 {
            "content-length" => [&smuggled[..], &[b' '; 60][..]].concat()[..60].to_vec(),
            _ => [format!("{:x}\r\n", smuggled.len()).as_bytes(), &smuggled, b"\r\n0\r\n\r\n"].concat(),
        };
        let request = poller.request(&poller.next.clone()).header(header.0, header.1);
        poller.wire.send([request.bytes(), body].concat()).await;
        hub.waiting("a", 1).await;
        hub.publish("a", "x").await;
        assert_eq!(texts(&poller.page().await), ["x"]);
        poller.goes_on(&hub).await;
    }
    assert_eq!(hub.read("/topics/smuggled").await, [""; 0]);
}

#[tokio::test]
async fn a_request_of_any_length_leaves_what_follows_it() {
    let hub = Running::start().await;
    for length in [1_000, 1_022, 1_023, 1_024, 1_025, 1_026, 2_048] {
        let mut wire = hub.connect().await;
        let request = |cursor: &str| {
            let start = format!("GET /topics/a?wait=60&since={cursor} HTTP/1.1\r\nhost: hub\r\nx-fill: ");
            let fill = "x".repeat(length - start.len() - 4);
            format!("{start}{fill}\r\n\r\n")
        };
        let mut next = hub.cursor(hub.hub.latest());
        for follows in ["", "GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n", ""] {
            wire.send(request(&next) + follows).await;
            hub.waiting("a", 1).await;
            hub.publish("a", "x").await;
            let page = wire.answer(false).await.page();
            assert_eq!(texts(&page), ["x"], "{length}");
            if !follows.is_empty() {
                assert_eq!(wire.answer(false).await.text(), "ok\n", "{length}");
            }
            next = page.next;
        }
    }
}

#[tokio::test]
async fn nobody_is_held_who_will_say_nothing_more() {
    let hub = Running::start().await;
    for _ in 0..20 {
        let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await;
        poller.ask().await;
        poller.wire.finish_sending().await;
        poller.wire.rest().await;
        hub.readers("long-poll", 0).await;
        hub.waiting("a", 0).await;
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
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn each_poll_is_held_for_as_long_as_it_asks() {
    let hub = Running::start().await;
    for (wait, least) in [("50ms", 50), ("0.3", 300), ("0.2s", 200)] {
        let mut poller = Poller::rested(&hub, &format!("/topics/a?wait={wait}")).await;
        for number in 0..4 {
            let asked = Instant::now();
            poller.ask().await;
            let other = hub.publish(if number == 2 { "b" } else { "c" }, "another's").await;
            let page = poller.page().await;
            let held = asked.elapsed().as_millis();
            assert!((least..least + 5_000).contains(&held), "{wait} was {held} ms");
            assert!(page.events.is_empty() && !page.more && !page.closed && page.gap.is_none());
            assert_eq!(page.next, other);
        }
        hub.readers("long-poll", 0).await;
        hub.publish("a", "x").await;
        assert_eq!(texts(&poller.poll().await), ["x"]);
    }
}

#[tokio::test]
async fn a_wait_that_was_not_used_up_leaves_nothing_to_the_next() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=400ms").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(900) {
        let asked = Instant::now();
        poller.ask().await;
        hub.waiting("a", 1).await;
        sleep(Duration::from_millis(100)).await;
        hub.publish("a", "x").await;
        // A machine that is busy may have needed all of the time.
        let page = poller.page().await;
        assert!(texts(&page) == ["x"] || asked.elapsed() >= Duration::from_millis(400));
        if page.events.is_empty() {
            poller.poll().await;
        }
    }
    let asked = Instant::now();
    assert!(poller.poll().await.events.is_empty());
    assert!(asked.elapsed() >= Duration::from_millis(400), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn each_connection_is_asked_for_what_is_its_own() {
    let hub = Running::start().await;
    let mut pollers = Vec::new();
    for (target, header) in [
        ("/topics/a?wait=60", false),
        ("/topics/a?wait=60&limit=2", false),
        ("/topics/a?wait=60&limit=2", true),
        ("/topics/a?wait=60&event=t", false),
        ("/topics/a?wait=60&event=s&event=t", true),
        ("/topics/*?wait=60", false),
        ("/events?topic=a&topic=b&wait=60", true),
        ("/topics/b?wait=60", false),
    ] {
        let way = if header { Way::Header } else { Way::Since };
        pollers.push((Poller::new(&hub, way, target).await, Vec::new()));
    }
    let mut short = Poller::new(&hub, Way::Since, "/topics/a?wait=200ms&event=none").await;
    let mut expected = vec![Vec::new(); pollers.len()];
    for round in 0..5 {
        for (poller, _) in &mut pollers {
            poller.ask().await;
        }
        hub.readers("long-poll", pollers.len() as u64).await;
        let asked = Instant::now();
        assert!(short.poll().await.events.is_empty());
        assert!(asked.elapsed() >= Duration::from_millis(200));
        let mut last = Vec::new();
        for (topic, kind) in [("a", "s"), ("a", "t"), ("b", "t"), ("a", "u")] {
            let text = format!("{round}{topic}{kind}");
            hub.publish_typed(topic, kind, &text).await;
            for (number, matches) in [
                topic == "a",
                topic == "a",
                topic == "a",
                topic == "a" && kind == "t",
                topic == "a" && kind != "u",
                true,
                true,
                topic == "b",
            ]
            .into_iter()
            .enumerate()
            {
                if matches {
                    expected[number].push(text.clone());
                }
            }
            last.push(text);
        }
        for (number, (poller, seen)) in pollers.iter_mut().enumerate() {
            loop {
                let page = poller.page().await;
                assert!(page.events.len() <= 2 || !poller.target.contains("limit"));
                seen.extend(texts(&page));
                if seen.len() >= expected[number].len() {
                    break;
                }
                poller.ask().await;
            }
            assert_eq!(*seen, expected[number], "{}", poller.target);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_poll_many_times_while_others_publish() {
    const CONNECTIONS: usize = 300;
    const POLLS: usize = 50;
    let hub = Running::start().await;
    let mut readers = Vec::new();
    for number in 0..CONNECTIONS {
        let way = [Way::Since, Way::Query, Way::Header][number % 3];
        let target = ["/topics/a?wait=30", "/topics/*?wait=30&limit=2", "/events?topic=a&topic=b&wait=30"];
        let mut poller = Poller::new(&hub, way, target[number % target.len()]).await;
        readers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..POLLS {
                let page = poller.poll().await;
                assert!(page.gap.is_none() && !page.events.is_empty());
                seen.extend(texts(&page));
            }
            seen
        }));
    }
    hub.waiting("a", CONNECTIONS).await;
    let done = Arc::new(AtomicBool::new(false));
    let publishing = {
        let (mut wire, done) = (hub.connect().await, Arc::clone(&done));
        tokio::spawn(async move {
            let mut number = 0_usize;
            while !done.load(Ordering::Relaxed) {
                wire.ask(&Request::post("/topics/a", number.to_string())).await.id();
                number += 1;
            }
        })
    };
    for reader in readers {
        let seen = tokio::time::timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
        assert!(seen.len() >= POLLS);
        assert_eq!(seen, numbers(0..seen.len()));
    }
    done.store(true, Ordering::Relaxed);
    within(publishing).await.unwrap();
    hub.readers("long-poll", 0).await;
    hub.waiting("a", 0).await;
}
