//! What a token covers.

use std::time::Duration;

use tidings_http::{AuthConfig, CloseRight, Cors, Rights};
use tidings_protocol::Selector;

use crate::support::tokens::{bearer, claims, hub, hub_with, sign, with};
use crate::support::{Request, Running, Setup};

fn selectors(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The status of a request with a token for these selectors.
async fn status(hub: &Running, request: Request, publish: &[&str], subscribe: &[&str]) -> u16 {
    let answer = hub.ask(request.header("authorization", &bearer(&sign(&claims(publish, subscribe))))).await;
    if answer.status() == 403 {
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
    }
    answer.status()
}

#[tokio::test]
async fn a_subscription_is_covered_as_a_whole() {
    let hub = hub().await;
    for (wanted, covered_by, fine) in [
        ("a", &["a"][..], true),
        ("a/b", &["a/*"], true),
        ("a/*", &["a/*"], true),
        ("a/*", &["a/**"], true),
        ("a/**", &["**"], true),
        ("**", &["**"], true),
        ("b", &["a"], false),
        ("a", &["a/*"], false),
        ("a/*", &["a/b"], false),
        ("a/**", &["a/*"], false),
        ("**", &["*", "*/**"], false),
        ("a%2Fb", &["a/b"], true),
        ("a", &[], false),
    ] {
        for target in [format!("/topics/{wanted}"), format!("/events?topic={wanted}")] {
            for accept in ["application/json", "text/event-stream", "application/x-ndjson"] {
                let request = Request::new("HEAD", &target).accept(accept);
                let got = status(&hub, request, &["**"], covered_by).await;
                assert_eq!(got, if fine { 200 } else { 403 }, "{target} {accept} by {covered_by:?}");
            }
        }
    }
    let both = Request::get("/events?topic=a&topic=b");
    assert_eq!(status(&hub, both.clone(), &[], &["a", "b"]).await, 200);
    assert_eq!(status(&hub, both, &[], &["a"]).await, 403);
}

#[tokio::test]
async fn publishing_is_covered_topic_by_topic() {
    let hub = hub().await;
    let post = |target: &str, body: &str| Request::post(target, body.as_bytes());
    assert_eq!(status(&hub, post("/topics/a/b", "x"), &["a/*"], &[]).await, 201);
    assert_eq!(status(&hub, post("/topics/a/b?close=true", ""), &["c"], &["**"]).await, 403);
    let batch = || post("/events", "{\"topic\":\"a\",\"data\":1}\n{\"topic\":\"b\",\"data\":2}\n").ndjson();
    assert_eq!(status(&hub, batch(), &["a"], &[]).await, 403);
    assert_eq!(status(&hub, batch(), &[], &["**"]).await, 403);
    assert_eq!(hub.hub.latest(), 1, "a batch is whole or not at all");
    assert_eq!(status(&hub, batch(), &["*"], &[]).await, 201);
    let mut claimless = claims(&[], &[]);
    claimless = with(claimless, "tidings", serde_json::Value::Null);
    let request = post("/topics/a", "x").header("authorization", &bearer(&sign(&claimless)));
    hub.ask(request).await.problem(403, "forbidden");
}

#[tokio::test]
async fn to_end_a_topic_is_a_right_of_its_own() {
    let closing = |topics: &[&str]| {
        bearer(&sign(&with(claims(&[], &[]), "tidings", serde_json::json!({"close": topics}))))
    };
    let publishing = |topics: &[&str]| bearer(&sign(&claims(topics, &[])));
    let both = bearer(&sign(&with(
        claims(&[], &[]),
        "tidings",
        serde_json::json!({"close": ["a/*"], "publish": ["a/*"]}),
    )));
    let end = |topic: &str, body: &str| Request::post(&format!("/topics/{topic}?close=true"), body);
    let by_claim = AuthConfig { close: CloseRight::Claim, ..AuthConfig::default() };
    for (config, publishers_end) in [(AuthConfig::default(), true), (by_claim, false)] {
        let hub = hub_with(Setup::new(), config).await;
        let status = async |request: Request, token: &str| {
            hub.ask(request.header("authorization", token)).await.status()
        };
        // It ends, and publishes nothing.
        assert_eq!(status(Request::post("/topics/a/1", "x"), &closing(&["a/*"])).await, 403);
        assert_eq!(status(end("a/1", "x"), &closing(&["a/*"])).await, 403);
        let lines = end("a/1", "{\"data\":1}").ndjson();
        assert_eq!(status(lines, &closing(&["a/*"])).await, 403);
        let chunked = Request::new("POST", "/topics/a/1?close=true").header("transfer-encoding", "chunked");
        let mut wire = hub.connect().await;
        let chunked = chunked.header("authorization", &closing(&["a/*"]));
        wire.send([chunked.bytes(), b"1\r\nx\r\n0\r\n\r\n".to_vec()].concat()).await;
        wire.answer(false).await.problem(403, "forbidden");
        assert_eq!(
            status(Request::post("/events", "[{\"topic\":\"a/1\",\"data\":1}]").json(), &closing(&["**"]))
                .await,
            403
        );
        assert_eq!(hub.hub.latest(), 0);
        assert_eq!(status(end("b", ""), &closing(&["a/*"])).await, 403);
        assert_eq!(status(end("a/1", ""), &closing(&["a/*"])).await, 201);
        // Who publishes ends where that is not asked for, and else publishes on.
        assert_eq!(status(Request::post("/topics/a/2", "x"), &publishing(&["a/*"])).await, 201);
        for body in ["", "last"] {
            let topic = format!("a/3{body}");
            let expected = if publishers_end { 201 } else { 403 };
            assert_eq!(status(end(&topic, body), &publishing(&["a/*"])).await, expected, "{body}");
            assert_eq!(status(end(&format!("a/4{body}"), body), &both).await, 201, "{body}");
        }
        let twice = end("a/5", "").header("authorization", &closing(&["a/*"]));
        let malformed =
            Request::post("/topics/a/5?close=maybe", "").header("authorization", &closing(&["a/*"]));
        assert_eq!(hub.ask(malformed).await.status(), 403, "it says nothing of an end");
        assert_eq!(hub.ask(twice).await.status(), 201);
    }
}

#[tokio::test]
async fn the_topics_are_listed_for_everybody_only_where_that_was_said() {
    for list in [false, true] {
        let anonymous = Rights { subscribe: selectors(&["**"]), list, ..Rights::none() };
        let hub = hub_with(Setup::new(), AuthConfig { anonymous, ..AuthConfig::default() }).await;
        assert_eq!(hub.get("/topics/a").await.status(), 200);
        assert_eq!(hub.get("/topics").await.status(), if list { 200 } else { 401 });
        assert_eq!(status(&hub, Request::get("/topics?match=a"), &[], &["a"]).await, 200);
    }
}

#[tokio::test]
async fn a_publication_that_is_not_covered_is_refused_before_its_body() {
    let hub = hub().await;
    let mut wire = hub.connect().await;
    wire.send("POST /topics/a HTTP/1.1\r\nhost: hub\r\ncontent-length: 1000\r\n\r\n").await;
    wire.answer(false).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn topics_are_listed_and_metrics_are_read_with_a_right_to() {
    let hub = hub().await;
    let list = |query: &str| Request::get(&format!("/topics{query}"));
    assert_eq!(status(&hub, list(""), &[], &["**"]).await, 200);
    assert_eq!(status(&hub, list(""), &[], &["a/*"]).await, 403);
    assert_eq!(status(&hub, list("?match=a/*"), &[], &["a/*"]).await, 200);
    assert_eq!(status(&hub, Request::get("/metrics"), &["**"], &["**"]).await, 403);
    hub.get("/metrics").await.problem(401, "unauthorized");
    let token = sign(&with(claims(&[], &[]), "tidings", serde_json::json!({"metrics": true})));
    let request = Request::get("/metrics").header("authorization", &bearer(&token));
    assert_eq!(hub.ask(request).await.status(), 200);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(hub.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn what_everybody_may_needs_no_token_and_comes_on_top_of_one() {
    let anonymous = Rights { subscribe: selectors(&["news/**"]), ..Rights::none() };
    let hub = hub_with(Setup::new(), AuthConfig { anonymous, ..AuthConfig::default() }).await;
    assert_eq!(hub.get("/topics/news/today").await.status(), 200);
    let detail = hub.get("/topics/a").await.problem(401, "unauthorized");
    assert!(detail.contains("`a`") && detail.contains("Authorization"), "{detail}");
    hub.ask(Request::post("/topics/news/today", "x")).await.problem(401, "unauthorized");
    let both = Request::get("/events?topic=a&topic=news/today");
    assert_eq!(status(&hub, both, &[], &["a"]).await, 200);
    let bad = Request::get("/topics/news/today").header("authorization", "Bearer nonsense");
    hub.ask(bad).await.problem(401, "unauthorized");
}

/// A page of anywhere can have a browser send a simple request to a hub that only its machine can reach.
#[tokio::test]
async fn a_page_of_another_site_publishes_only_where_it_may() {
    let hub = Running::start().await;
    let post = |site: &str| {
        Request::post("/topics/a", "x")
            .header("sec-fetch-site", site)
            .header("origin", "https://evil.example")
    };
    for site in ["cross-site", "same-site", "none"] {
        hub.ask(post(site)).await.problem(403, "forbidden");
    }
    assert_eq!(hub.ask(post("same-origin")).await.status(), 201, "the browser knows by which name it asked");
    let mut setup = Setup::new();
    setup.http.cors = Cors::new(&["https://evil.example".into()], Duration::ZERO).unwrap();
    let hub = setup.start().await;
    assert_eq!(hub.ask(post("cross-site")).await.status(), 201, "it is named");
}
