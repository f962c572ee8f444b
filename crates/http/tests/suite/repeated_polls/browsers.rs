//! Polls as real clients send them: they begin with `since=latest`, and their heads are long.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Poller, Way};
use crate::support::tokens::{self, bearer, claims, sign, with};
use crate::support::{Request, Running, texts};

/// The head of a `fetch` in Chromium, but for its first line and its host.
const CHROMIUM: [(&str, &str); 13] = [
    ("connection", "keep-alive"),
    ("sec-ch-ua-platform", "\"Linux\""),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    ("accept", "application/json"),
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("referer", "https://app.example/dashboard/orders?view=open&sort=age"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-GB,en-US;q=0.9,en;q=0.8"),
    ("cookie", "theme=dark; _ga=GA1.1.1234567890.1700000000; session=8f14e45fceea167a5a36dedd4bea2543"),
];

/// Has the poller held and answered so many times, and says how many of its polls were known by their bytes.
async fn known_of(hub: &Running, poller: &mut Poller, rounds: usize) -> u64 {
    let known = hub.metric("tidings_repeated_polls_total").await;
    for round in 0..rounds {
        poller.ask().await;
        hub.waiting("a", 1).await;
        hub.publish("a", &round.to_string()).await;
        assert_eq!(texts(&poller.page().await), [round.to_string()]);
        hub.waiting("a", 0).await;
    }
    hub.metric("tidings_repeated_polls_total").await - known
}

fn chromium(poller: Poller) -> Poller {
    CHROMIUM.iter().fold(poller, |poller, (name, value)| poller.with(name, value))
}

#[tokio::test]
async fn polls_that_begin_with_latest_are_known_from_the_third_on() {
    let hub = Running::start().await;
    for way in [Way::Since, Way::Query] {
        let mut poller = Poller::new(&hub, Way::Since, "/topics/a?wait=60").await;
        poller.next = "latest".into();
        // The first has no cursor, and the second is the one that the others are like.
        let first = known_of(&hub, &mut poller, 1).await;
        poller.way = way;
        assert_eq!((first, known_of(&hub, &mut poller, 5).await), (0, 4), "{way:?}");
    }
}

#[tokio::test]
async fn the_heads_of_browsers_are_known_too() {
    let hub = tokens::hub().await;
    let padding: BTreeMap<_, _> = (0..12).map(|n| (format!("claim{n}"), "of some application")).collect();
    let reads = with(claims(&["a"], &["a"]), "app", json!(padding));
    let token = sign(&with(reads, "tidings", json!({"publish": ["a"], "subscribe": ["a"], "metrics": true})));
    assert!((600..1_000).contains(&token.len()), "{}", token.len());
    let bearer = bearer(&token);
    let mut poller =
        chromium(Poller::new(&hub, Way::Since, "/topics/a?wait=60").await).with("authorization", &bearer);
    poller.next = "latest".into();
    for round in 0..5_u64 {
        poller.ask().await;
        hub.waiting("a", 1).await;
        hub.ask(Request::post("/topics/a", "x").header("authorization", &bearer)).await.id();
        assert_eq!(texts(&poller.page().await), ["x"]);
        hub.waiting("a", 0).await;
        let metrics = hub.ask(Request::get("/metrics").header("authorization", &bearer)).await;
        let known = format!("\ntidings_repeated_polls_total {}\n", round.saturating_sub(1));
        assert!(metrics.text().contains(&known), "{known} in {}", metrics.text());
    }
}
