//! A connection's bytes come cut anywhere, with answers between the pieces: where a request begins is for the requests
//! to say, and not for the pieces.

use std::ops::Range;

use super::Poller;
use crate::support::{Request, Running, Wire, texts};

/// What the hub sends while a request has come in part.
#[derive(Debug, Clone, Copy)]
enum Between {
    /// The answer to a request that is answered at once.
    Answer,
    /// The answer to a poll that was held where it was parked.
    Held,
}

/// A held poll of one topic with another request in one of its fields, which comes alone where the poll is cut before it.
fn poll_with(field: &str, cursor: &str) -> (String, usize) {
    let start = format!("GET /topics/public?wait=60&since={cursor} HTTP/1.1\r\nx-other: ");
    (format!("{start}{field}"), start.len())
}

/// Sends a request in two pieces, with an answer between them, and waits until it is held.
async fn ask_cut(hub: &Running, wire: &mut Wire, between: Between, request: &str, at: usize) {
    let (first, second) = request.split_at(at);
    match between {
        Between::Answer => {
            wire.send([&Request::get("/healthz").bytes(), first.as_bytes()].concat()).await;
            assert_eq!(wire.answer(false).await.text(), "ok\n");
        }
        Between::Held => {
            let poll =
                Request::get(&format!("/topics/before?wait=60&since={}", hub.cursor(hub.hub.latest())));
            wire.send(poll.bytes()).await;
            hub.waiting("before", 1).await;
            wire.send(first).await;
            hub.publish("before", "x").await;
            assert_eq!(texts(&wire.answer(false).await.page()), ["x"]);
        }
    }
    wire.send(second).await;
    hub.waiting("public", 1).await;
}

async fn cuts_leave_requests_apart(between: Between, cuts: impl Fn(usize, usize) -> Range<usize>) {
    let hub = Running::start().await;
    let cursor = hub.publish("start", "x").await;
    let private = format!("GET /topics/private?wait=60&since={cursor} HTTP/1.1\r\nhost: hub\r\n\r\n");
    let (request, inner) = poll_with(&private, &cursor);
    hub.publish("private", "private").await;
    for at in cuts(request.len(), inner) {
        let mut wire = hub.connect().await;
        // The cursor is the log's end, so that the poll is held.
        let now = hub.cursor(hub.hub.latest());
        let asked = request.replace(&cursor, &now);
        ask_cut(&hub, &mut wire, between, &asked, at).await;
        hub.publish("public", "public").await;
        assert_eq!(texts(&wire.answer(false).await.page()), ["public"], "cut at {at}");
        for again in [&private, &private.replace(&cursor, &hub.cursor(1))] {
            wire.send(again).await;
            let page = wire.answer(false).await.page();
            assert_eq!(texts(&page), ["private"], "after a request that was cut at {at}");
        }
        // The whole request again is what it was.
        wire.send(asked.replace(&now, &hub.cursor(hub.hub.latest()))).await;
        hub.waiting("public", 1).await;
        hub.publish("public", "again").await;
        assert_eq!(texts(&wire.answer(false).await.page()), ["again"], "cut at {at}");
    }
}

#[tokio::test]
async fn a_request_that_began_before_an_answer_is_known_whole() {
    cuts_leave_requests_apart(Between::Answer, |length, _| 1..length).await;
}

#[tokio::test]
async fn a_request_that_began_before_the_answer_of_a_held_poll_is_known_whole() {
    cuts_leave_requests_apart(Between::Held, |_, inner| inner - 3..inner + 4).await;
}

/// Whatever its pieces, a poll that is like the last one is taken for what it is; and none is lost.
#[tokio::test]
async fn a_long_request_comes_in_packets() {
    let hub = Running::start().await;
    let mut poller = Poller::rested(&hub, "/topics/a?wait=60").await.with("cookie", &"x".repeat(3_000));
    poller.goes_on(&hub).await;
    // The last piece is what follows the last cut; so many bytes before the end, where it is negative.
    for cuts in [&[1][..], &[40], &[1_448], &[1_448, 2_896], &[200, 201, -1], &[-3]] {
        let known = hub.metric("tidings_repeated_polls_total").await;
        let bytes = poller.request(&poller.next.clone()).bytes();
        let length = isize::try_from(bytes.len()).unwrap();
        let mut sent = 0;
        for cut in cuts.iter().copied().chain([length]) {
            let at = usize::try_from(if cut < 0 { length + cut } else { cut }).unwrap();
            poller.wire.send(&bytes[sent..at]).await;
            sent = at;
            // A piece of its own for the hub as well.
            hub.metric("tidings_repeated_polls_total").await;
        }
        hub.waiting("a", 1).await;
        // What has not come as far as the cursor could be anything.
        if cuts != [1] {
            assert_eq!(hub.metric("tidings_repeated_polls_total").await, known + 1, "{cuts:?}");
        }
        hub.publish("a", "x").await;
        assert_eq!(texts(&poller.page().await), ["x"], "{cuts:?}");
        poller.goes_on(&hub).await;
    }
}
