use serde_json::json;
use tidings_mercure::MercureConfig;

use crate::support::{Bench, PATH, config, form, publisher, reader_of, sign};

/// Each way to carry a token, and which counts where there are several.
#[tokio::test]
async fn a_token_comes_in_a_field_the_query_or_a_cookie() {
    let bench = Bench::start(MercureConfig { anonymous: false, ..config() }).await;
    let (good, bad) = (reader_of(&["a"]), "no.to.ken");
    for (query, fields, status) in [
        (vec![], format!("authorization: Bearer {good}\r\n"), 200),
        (vec![], format!("authorization: bearer {good}\r\ncookie: mercureAuthorization={bad}\r\n"), 200),
        (vec![("authorization", bad)], format!("authorization: Bearer {good}\r\n"), 200),
        (vec![("authorization", &*good)], String::new(), 200),
        (vec![("access_token", &*good)], format!("cookie: mercureAuthorization={bad}\r\n"), 200),
        (vec![], format!("cookie: other=1; mercureAuthorization={good}\r\n"), 200),
        (vec![], format!("cookie: mercureAccessToken={good}\r\norigin: https://elsewhere.example\r\n"), 200),
        (vec![("authorization", &*good)], format!("authorization: Bearer {bad}\r\n"), 401),
        (vec![("authorization", bad)], format!("cookie: mercureAuthorization={good}\r\n"), 401),
        (vec![("authorization", &*good)], "authorization: Basic eA==\r\n".to_owned(), 401),
        (vec![], format!("cookie: named={good}\r\n"), 401),
    ] {
        let query: Vec<_> = query.into_iter().chain([("topic", "a")]).collect();
        assert_eq!(bench.get(&query, &fields).await.status, status, "{query:?} {fields}");
    }
    let named =
        Bench::start(MercureConfig { anonymous: false, cookie: Some("named".to_owned()), ..config() }).await;
    for (name, status) in [("named", 200), ("mercureAuthorization", 401)] {
        let fields = format!("cookie: {name}={good}\r\n");
        assert_eq!(named.get(&[("topic", "a")], &fields).await.status, status, "{name}");
    }
}

/// A page elsewhere cannot publish in the name of whoever looks at it.
#[tokio::test]
async fn a_cookie_publishes_only_from_pages_that_are_trusted() {
    let bench = Bench::start(config()).await;
    let cookie = format!("cookie: mercureAuthorization={}\r\n", publisher());
    let body = form(&[("topic", "a"), ("data", "x")]);
    for (origin, status) in [
        ("origin: https://app.example\r\n", 200),
        ("origin: http://localhost\r\n", 200),
        ("origin: https://elsewhere.example\r\n", 403),
        ("", 401),
    ] {
        let answer = bench.request("POST", PATH, &format!("{cookie}{origin}"), &body).await;
        assert_eq!(answer.status, status, "{origin} {answer:?}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_read_what_is_said_of_resuming() {
    let bench = Bench::start(config()).await;
    let fields = "origin: https://app.example\r\nlast-event-id: earliest\r\n";
    let reader = bench.get(&[("topic", "a")], fields).await;
    assert_eq!(reader.field("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reader.field("access-control-allow-credentials"), Some("true"));
    assert!(
        reader.field("access-control-expose-headers").unwrap().contains("last-event-id"),
        "{}",
        reader.head
    );
    let asked = "origin: https://app.example\r\naccess-control-request-method: GET\r\naccess-control-request-headers: authorization,last-event-id\r\n";
    let answer = bench.request("OPTIONS", PATH, asked, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("access-control-allow-headers"), "{}", answer.head);
}

/// What is not public by Mercure is read with a right to it, also where it was published by ours.
#[tokio::test]
async fn a_hub_says_which_topics_are_public() {
    let bench =
        Bench::start(MercureConfig { public_topics: vec!["open/**".parse().unwrap()], ..config() }).await;
    let mut anyone = bench.subscribe(&[("topic", "*")], None).await;
    let mut reader = bench
        .subscribe(&[("topic", "*")], Some(&sign(&json!({"mercure": {"subscribe": ["closed/{x}"]}}))))
        .await;
    for topic in ["closed/1", "open/1"] {
        assert_eq!(bench.request("POST", &format!("/topics/{topic}"), "", topic).await.status, 201);
    }
    assert_eq!(reader.data().await, "closed/1");
    assert_eq!(reader.data().await, "open/1");
    assert_eq!(anyone.data().await, "open/1");
    bench.post(&publisher(), &[("topic", "closed/1")]).await.refuses(403, "not public");
    bench.publish(&[("topic", "closed/1"), ("data", "p"), ("private", "on")]).await;
    assert_eq!(reader.data().await, "p");
}
