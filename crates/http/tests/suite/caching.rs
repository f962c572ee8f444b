//! Pages that shared caches may keep.

use std::time::Duration;

use tidings_http::{AuthConfig, Rights};

use crate::support::tokens::{bearer, claims, hub_with, sign};
use crate::support::{Answer, Request, Running, Setup};

fn cached() -> Setup {
    let mut setup = Setup::new();
    setup.http.cache = Duration::from_secs(60);
    setup
}

fn control(answer: &Answer) -> &str {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.header("cache-control").unwrap()
}

/// The text of `next`, with what may be appended.
fn next(answer: &Answer) -> String {
    answer.json()["next"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_page_that_follows_a_cursor_may_be_kept() {
    let hub = cached().start().await;
    hub.publish_numbers("a", 0..3).await;
    let from = hub.cursor(0);
    for target in [
        format!("/topics/a?since={from}"),
        format!("/topics/a?since={from}&limit=2"),
        format!("/topics/a?since={from}&wait=5"),
        format!("/topics/a?lastEventId={from}"),
        format!("/events?topic=a&topic=b&since={from}"),
    ] {
        let answer = hub.get(&target).await;
        assert_eq!(control(&answer), "public, max-age=60", "{target}");
        assert_eq!(next(&answer).matches('-').count(), 1, "{target}");
        let vary = answer.header("vary").unwrap().to_ascii_lowercase();
        assert!(vary.contains("accept") && vary.contains("last-event-id"));
    }
    for target in ["/topics/a", "/topics/a?since=-1", "/topics/a?since=1h", "/topics/a?since=latest&wait=0.1"]
    {
        assert_eq!(control(&hub.get(target).await), "no-store", "{target}");
    }
    let gap = hub.get("/topics/a?lastEventId=nonsense").await;
    assert_eq!(control(&gap), "no-store");
    let ahead = hub.get(&format!("/topics/a?since={}", hub.cursor(99))).await;
    assert!(ahead.json()["gap"].is_object());
    assert_eq!(control(&ahead), "no-store");
}

/// With the same cursor again, a client would be given the same empty page by the cache at once, for as long as it is
/// kept.
#[tokio::test]
async fn an_empty_page_leads_on_to_another_cursor() {
    let hub = cached().start().await;
    hub.publish("a", "x").await;
    let mut cursor = hub.cursor(1);
    let mut seen = vec![cursor.clone()];
    for wait in ["0", "0.05", "0.05"] {
        let answer = hub.get(&format!("/topics/a?since={cursor}&wait={wait}")).await;
        assert_eq!(control(&answer), "public, max-age=1");
        cursor = next(&answer);
        assert!(cursor.starts_with(&format!("{}-", hub.cursor(1))), "{cursor}");
        assert!(!seen.contains(&cursor), "{cursor} again");
        seen.push(cursor.clone());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    hub.publish("a", "y").await;
    let answer = hub.get(&format!("/topics/a?since={cursor}")).await;
    assert_eq!(control(&answer), "public, max-age=60");
    assert_eq!(next(&answer), hub.cursor(2));
    hub.close_topic("a").await;
    let end = hub.get(&format!("/topics/a?since={}", hub.cursor(2))).await;
    assert_eq!(control(&end), "public, max-age=60", "nothing ever follows");
}

/// A poll that waits on its connection is answered from another place.
#[tokio::test]
async fn a_held_poll_may_be_kept_as_well() {
    let hub = cached().start().await;
    hub.publish("a", "x").await;
    let asked = hub.get(&format!("/topics/a?since={}&wait=20", hub.cursor(1)));
    let event = async {
        hub.waiting("a", 1).await;
        hub.publish("a", "y").await;
    };
    let (answer, ()) = tokio::join!(asked, event);
    assert_eq!(control(&answer), "public, max-age=60");
    assert_eq!(next(&answer), hub.cursor(2));
    let late = hub.get("/topics/a?since=latest&wait=0.05").await;
    assert_eq!(control(&late), "no-store");
}

async fn private_and_public() -> Running {
    let anonymous = Rights { subscribe: vec!["news/*".parse().unwrap()], ..Rights::none() };
    hub_with(cached(), AuthConfig { anonymous, ..AuthConfig::default() }).await
}

#[tokio::test]
async fn what_needs_a_token_is_kept_by_nobody() {
    let hub = private_and_public().await;
    let token = bearer(&sign(&claims(&["**"], &["**"])));
    let get = |target: &str| {
        let target = format!("{target}since={}", hub.cursor(0));
        hub.ask(Request::get(&target).header("authorization", &token))
    };
    for topic in ["a", "news/today"] {
        let post = Request::post(&format!("/topics/{topic}"), "x").header("authorization", &token);
        assert_eq!(hub.ask(post).await.status(), 201);
    }
    assert_eq!(control(&get("/topics/a?").await), "no-store");
    assert_eq!(control(&get("/topics/news/today?").await), "public, max-age=60");
    assert_eq!(control(&get("/events?topic=a&topic=news/today&").await), "no-store");
    assert_eq!(control(&get("/topics/**?").await), "no-store");
    let refused = hub.get(&format!("/topics/a?since={}", hub.cursor(0))).await;
    refused.problem(401, "unauthorized");
}

#[tokio::test]
async fn by_default_nothing_is_kept() {
    let hub = Running::start().await;
    hub.publish("a", "x").await;
    let answer = hub.get(&format!("/topics/a?since={}", hub.cursor(0))).await;
    assert_eq!(control(&answer), "no-store");
    let empty = hub.get(&format!("/topics/a?since={}&wait=0.05", hub.cursor(1))).await;
    assert_eq!((control(&empty), next(&empty)), ("no-store", hub.cursor(1)));
}
