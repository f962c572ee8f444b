//! What comes over the connection beside polls that are alike.

use std::time::Duration;

use tokio::time::sleep;

use super::Poller;
use crate::support::{Request, Running, texts};

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
        ("another method", Request::new("PUT", "/topics/a?wait=30"), 405),
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
    for length in [1_000, 1_448, 8_190, 8_191, 8_192, 8_193, 8_194, 9_000] {
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
