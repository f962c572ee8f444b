//! What becomes of readers whose tokens end while they wait.

use std::time::Duration;

use serde_json::json;

use crate::support::tokens::{SHORTLY, bearer, claims, hub, moment, sign, with};
use crate::support::{H2, Request, within};

/// A token that ends soon.
fn short() -> String {
    let exp = moment(0) as f64 + SHORTLY.as_secs_f64();
    sign(&with(claims(&["a"], &["a"]), "exp", json!(exp)))
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_says_when_to_come_back() {
    let hub = hub().await;
    for form in ["text/event-stream", "application/x-ndjson"] {
        let request = Request::get("/topics/a").accept(form).header("authorization", &bearer(&short()));
        let stream = hub.open(request).await;
        let rest = stream.end().await;
        if form == "text/event-stream" {
            let blocks: Vec<_> = rest.split_terminator("\n\n").collect();
            assert_eq!(blocks.len(), 2, "{rest}");
            assert!(blocks[0].starts_with("retry: 2000\nid: "), "{rest}");
            assert!(blocks[1].starts_with("retry: ") && !blocks[1].contains('\n'), "{rest}");
        } else {
            assert_eq!(rest, "");
        }
    }
    hub.waiting("a", 0).await;
}

#[tokio::test]
async fn a_stream_over_http2_ends_with_its_token() {
    let hub = hub().await;
    let mut connection = H2::connect(hub.address).await;
    let mut stream = connection.stream(&format!("/topics/a?access_token={}", short())).await;
    let last = stream.block().await.unwrap();
    assert!(last.retry.is_some(), "{last:?}");
    assert!(stream.block().await.is_none());
}

#[tokio::test]
async fn a_held_poll_is_answered_when_its_token_ends() {
    let hub = hub().await;
    let request = Request::get("/topics/a?wait=60").header("authorization", &bearer(&short()));
    let page = hub.ask(request).await.page();
    assert!(page.events.is_empty());
    let mut connection = H2::connect(hub.address).await;
    let target = format!("/topics/a?wait=60&access_token={}", short());
    let (status, body) = connection.ask("GET", &target, &[], "").await;
    assert!(status == 200 && body.contains("\"events\":[]"), "{status} {body}");
}

/// Such a request is held again by its bytes, without another look at its token.
#[tokio::test]
async fn a_poll_that_is_repeated_after_its_token_has_ended_is_refused() {
    let hub = hub().await;
    let token = sign(&with(claims(&["a"], &["a"]), "exp", json!(moment(-26))));
    let publish = sign(&claims(&["a"], &[]));
    let mut wire = hub.connect().await;
    let mut cursor = hub.cursor(0);
    let mut answered = 0;
    loop {
        let poll = Request::get(&format!("/topics/a?wait=60&since={cursor}"));
        let poll = poll.header("authorization", &bearer(&token));
        let asked = wire.ask(&poll);
        let event = async {
            // The answer to a poll that is held; one that comes first answers it at once.
            let post = Request::post("/topics/a", "x").header("authorization", &bearer(&publish));
            assert_eq!(hub.ask(post).await.status(), 201);
        };
        let (answer, ()) = tokio::join!(asked, event);
        if answer.status() == 401 {
            break;
        }
        cursor = answer.page().next.to_string();
        answered += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(answered > 0);
}

#[tokio::test]
async fn a_stream_with_a_token_that_lasts_goes_on() {
    let hub = hub().await;
    let token = sign(&claims(&["a"], &["a"]));
    let request = Request::stream("/topics/a").header("authorization", &bearer(&token));
    let mut stream = hub.open(request).await;
    stream.block().await;
    let post = Request::post("/topics/a", "x").header("authorization", &bearer(&token));
    assert_eq!(hub.ask(post).await.status(), 201);
    assert_eq!(within(stream.event()).await.data.as_deref(), Some("x"));
}
