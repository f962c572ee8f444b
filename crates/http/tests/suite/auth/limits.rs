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
async fn tokens_without_a_subject_count_for_their_address() {
    let mut setup = Setup::new();
    setup.http.max_connections_per_subject = 2;
    setup.http.publish_rate_per_subject = 1;
    setup.http.trusted_proxies = "127.0.0.1".parse().unwrap();
    let hub = hub_with(setup, AuthConfig::default()).await;
    // Each is another token.
    let token = |other: usize| bearer(&sign(&with(claims(&["**"], &["**"]), "n", json!(other))));
    let stream = |other: usize, from: &str| {
        Request::stream("/topics/a").header("authorization", &token(other)).header("x-forwarded-for", from)
    };
    let _readers = [hub.open(stream(0, "192.0.2.1")).await, hub.open(stream(1, "192.0.2.1")).await];
    let poll = Request::get("/topics/a?wait=60").header("authorization", &token(2));
    let refused =
        hub.ask(poll.header("x-forwarded-for", "192.0.2.1")).await.problem(429, "too-many-requests");
    assert!(refused.contains("address"), "{refused}");
    let _other = hub.open(stream(3, "192.0.2.2")).await;
    let publish = async |other: usize, from: &str| {
        let post = Request::post("/topics/a", "x").header("authorization", &token(other));
        hub.ask(post.header("x-forwarded-for", from)).await.status()
    };
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        assert!(statuses.len() < 200, "no end of it");
        statuses.push(publish(statuses.len(), "192.0.2.1").await);
    }
    assert_eq!(publish(0, "192.0.2.2").await, 201);
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
