//! Limits that go by who somebody is.

use serde_json::json;
use tidings_http::AuthConfig;

use crate::support::tokens::{bearer, claims, hub_with, sign, with};
use crate::support::{Request, Setup};

fn token(subject: &str) -> String {
    bearer(&sign(&with(claims(&["**"], &["**"]), "sub", json!(subject))))
}

#[tokio::test]
async fn a_subject_has_so_many_readers() {
    let mut setup = Setup::new();
    setup.http.max_connections_per_subject = 2;
    let hub = hub_with(setup, AuthConfig::default()).await;
    let stream = |subject: &str| Request::stream("/topics/a").header("authorization", &token(subject));
    let first = hub.open(stream("ann")).await;
    let _second = hub.open(stream("ann")).await;
    assert!(hub.ask(stream("ann")).await.put_off().contains("subject"));
    let poll = Request::get("/topics/a?wait=60").header("authorization", &token("ann"));
    let answer = hub.ask(poll).await;
    assert!(answer.problem(429, "too-many-requests").contains("subject"));
    assert!(answer.header("retry-after").is_some());
    let short = Request::get("/topics/a").header("authorization", &token("ann"));
    assert_eq!(hub.ask(short).await.status(), 200, "a short poll waits for nothing");
    let _other = hub.open(stream("bob")).await;
    drop(first);
    hub.open_when_there_is_room(stream("ann")).await;
}

#[tokio::test]
async fn a_subject_and_an_address_publish_so_often() {
    let mut setup = Setup::new();
    setup.http.publish_rate_per_subject = 5;
    let hub = hub_with(setup, AuthConfig::default()).await;
    let post = |subject: &str| Request::post("/topics/a", "x").header("authorization", &token(subject));
    let mut refused = None;
    for _ in 0..200 {
        let answer = hub.ask(post("ann")).await;
        if answer.status() != 201 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("no end of it");
    assert!(refused.problem(429, "too-many-requests").contains("5 times a second"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    assert_eq!(hub.ask(post("bob")).await.status(), 201);

    let mut setup = Setup::new();
    setup.http.publish_rate_per_address = 5;
    let hub = setup.start().await;
    let mut statuses = Vec::new();
    for number in 0..200 {
        let request = match number % 2 {
            0 => Request::post("/topics/a", "x"),
            _ => Request::post("/events", "{\"topic\":\"a\",\"data\":1}").ndjson(),
        };
        statuses.push(hub.ask(request).await.status());
        if statuses.last() == Some(&429) {
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&429), "no end of it");
    assert!(statuses.len() > 5);
    assert!(hub.metric("tidings_limits_reached_total{limit=\"publish-rate-per-address\"}").await >= 1);
}

#[tokio::test]
async fn one_request_reads_so_many_topics() {
    let mut setup = Setup::new();
    setup.http.max_topics_per_request = 3;
    let hub = setup.start().await;
    assert_eq!(hub.get("/events?topic=a&topic=b&topic=c").await.status(), 200);
    let answer = hub.get("/events?topic=a&topic=b&topic=c&topic=d").await;
    assert!(answer.problem(400, "invalid-query").contains('3'));
}
