use serde_json::json;
use tidings_mercure::MercureConfig;

use crate::support::{Bench, PATH, access_token, config, keys, now, publisher, reader_of, sign};

#[tokio::test]
async fn selectors_of_both_protocols_choose_topics() {
    let bench = Bench::start(config()).await;
    let topics = [
        "https://example.com/books/1",
        "https://example.com/books/1/reviews",
        "/books/1",
        "will-not-match}",
        "https://example.com/books/{id}",
    ];
    for (name, selector, wanted) in [
        ("topic", "https://example.com/books/1", &[0][..]),
        ("topic", "https://example.com/books/{id}", &[0, 4]),
        ("topic", "https://example.com/{+path}", &[0, 1]),
        ("topic", "https://example.com{/path*}", &[0, 1]),
        ("topic", "/books/{id}", &[2]),
        ("topic", "will-not-match}", &[3]),
        ("topic", "*", &[0, 1, 2, 3, 4]),
        ("match", "https://example.com/books/{id}", &[4]),
        ("match_exact", "/books/1", &[2]),
        ("matchExact", "/books/1", &[2]),
        ("match", "*", &[0, 1, 2, 3, 4]),
        ("match_urlpattern", "https://example.com/books/:id", &[0, 4]),
        ("matchURLPattern", "https://example.com/books/:id/reviews", &[1]),
        ("match_urlpattern", "/books/:id", &[2]),
        ("match_urlpattern", "*", &[0, 1, 2, 3, 4]),
    ] {
        let mut reader = bench.subscribe(&[(name, selector), ("match", "end")], None).await;
        for topic in topics {
            bench.publish(&[("topic", topic), ("data", topic)]).await;
        }
        bench.publish(&[("topic", "end"), ("data", "end")]).await;
        for place in wanted {
            assert_eq!(reader.data().await, topics[*place], "{name}={selector}");
        }
        assert_eq!(reader.data().await, "end", "{name}={selector}");
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_said() {
    let bench = Bench::start(config()).await;
    let many = vec!["topic=a"; 1_000];
    let many: Vec<String> = many.iter().enumerate().map(|(place, text)| format!("{text}{place}")).collect();
    let patterns: Vec<String> = (0..30).map(|place| format!("match_urlpattern=/{place}")).collect();
    for (query, reason) in [
        ("", "topic"),
        ("topic=", "empty"),
        ("topic=%00", "control"),
        ("topic=%C2%85", "control"),
        ("topic=%ff", "UTF-8"),
        ("topic=a&match_regexp=x", "`match_regexp`"),
        ("matchurlpattern=x", "`matchurlpattern`"),
        ("MATCH=x", "`MATCH`"),
        ("matches=x", "`matches`"),
        ("match_urlpattern=https://example.com/(", "URL pattern"),
        (&many.join("&"), "at most 100"),
        (&patterns.join("&"), "URL patterns"),
        (&format!("match={}", "x".repeat(5_000)), "4096"),
    ] {
        bench.request("GET", &format!("{PATH}?{query}"), "", "").await.refuses(400, reason);
    }
}

#[tokio::test]
async fn a_hub_may_ask_every_subscriber_for_a_token() {
    let bench = Bench::start(MercureConfig { anonymous: false, ..config() }).await;
    let target = format!("{PATH}?topic=a");
    let answer = bench.request("GET", &target, "", "").await;
    answer.refuses(401, "token");
    assert!(
        answer.head.contains("www-authenticate: bearer") && !answer.head.contains("error="),
        "{}",
        answer.head
    );
    for (claims, reason) in [
        (json!({"mercure": {"subscribe": [1]}}), "neither a string nor an object"),
        (json!({"mercure": {"subscribe": ["a"]}, "exp": 1}), "expired"),
        (json!({"mercure": {"subscribe": ["a\u{1}"]}}), "control"),
    ] {
        let fields = format!("authorization: Bearer {}\r\n", sign(&claims));
        bench.request("GET", &target, &fields, "").await.refuses(401, reason);
    }
    // One that says nothing of private updates reads what is public.
    let mut reader = bench.subscribe(&[("topic", "a")], Some(&sign(&json!({})))).await;
    bench.publish(&[("topic", "a"), ("data", "x")]).await;
    assert_eq!(reader.data().await, "x");
}

#[tokio::test]
async fn publishers_and_subscribers_may_have_keys_of_their_own() {
    let other = "another secret, of 32 bytes or more";
    let bench = Bench::start(MercureConfig {
        publisher: keys(other),
        subscriber: Some(keys(crate::support::SECRET)),
        ..config()
    })
    .await;
    bench.post(&publisher(), &[("topic", "a")]).await.refuses(401, "not signed");
    assert_eq!(
        bench
            .get(&[("topic", "a")], &format!("authorization: Bearer {}\r\n", reader_of(&["a"])))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let bench = Bench::start(config()).await;
    let details = json!([{"type": "mercure", "actions": ["subscribe"], "topics": [{"match": "a"}]}]);
    for token in
        [sign(&json!({"exp": now() + 2, "mercure": {"subscribe": ["a"]}})), access_token(&details, 2)]
    {
        let mut reader = bench.subscribe(&[("match", "a")], Some(&token)).await;
        bench.publish(&[("topic", "a"), ("data", "x"), ("private", "on")]).await;
        assert_eq!(reader.data().await, "x");
        reader.ends().await;
    }
}

#[tokio::test]
async fn tokens_of_the_new_protocol_say_what_they_allow_in_details() {
    let hub = MercureConfig { audience: Some("https://hub.example/".to_owned()), ..config() };
    let bench = Bench::start(hub).await;
    let private = [("topic", "https://a.example/1"), ("data", "x"), ("private", "on")];
    let detail = |topics| json!([{"type": "other", "topics": "any"}, {"type": "mercure", "actions": ["subscribe"], "topics": topics}]);
    for topics in [
        json!([{"match": "https://a.example/1"}]),
        json!([{"match": "https://a.example/:id", "match_type": "urlpattern"}]),
        json!([{"match": "https://a.example/:id", "matchType": "URLPattern"}]),
        json!([{"match": "*"}]),
    ] {
        let token = access_token(&detail(topics), 60);
        let mut reader = bench.subscribe(&[("match", "*")], Some(&token)).await;
        bench.publish(&private).await;
        assert_eq!(reader.data().await, "x");
    }
    for details in [
        json!({}),
        json!([1]),
        detail(json!([])),
        detail(json!(["https://a.example/1"])),
        detail(json!([{"match": "https://a.example/1", "match_type": "regexp"}])),
        detail(json!([{"match": "https://a.example/(", "match_type": "urlpattern"}])),
        detail(json!([{"match": ""}])),
        json!([{"type": "mercure", "actions": [], "topics": [{"match": "*"}]}]),
        json!([{"type": "mercure", "actions": ["read"], "topics": [{"match": "*"}]}]),
        json!([{"type": "mercure", "topics": [{"match": "*"}]}]),
    ] {
        let fields = format!("authorization: Bearer {}\r\n", access_token(&details, 60));
        let answer = bench.request("GET", &format!("{PATH}?match=a"), &fields, "").await;
        answer.refuses(401, "the token is refused");
        assert!(answer.head.contains("error=\"invalid_token\""), "{}", answer.head);
    }
    // Of another kind, or for another hub.
    let details = detail(json!([{"match": "*"}]));
    let not_access = sign(&json!({"authorization_details": details, "exp": now() + 60}));
    let fields = format!("authorization: Bearer {not_access}\r\n");
    bench.request("GET", &format!("{PATH}?match=a"), &fields, "").await.refuses(401, "at+jwt");
    let other =
        Bench::start(MercureConfig { audience: Some("https://other.example/".to_owned()), ..config() }).await;
    let fields = format!("authorization: Bearer {}\r\n", access_token(&details, 60));
    other.request("GET", &format!("{PATH}?match=a"), &fields, "").await.refuses(401, "`aud`");
}

#[tokio::test]
async fn a_quiet_stream_has_signs_of_life_that_are_comments() {
    let bench = Bench::start(config()).await;
    let mut reader = bench.subscribe(&[("topic", "a")], None).await;
    // The first comes with the head, the others with time.
    for _ in 0..3 {
        assert_eq!(reader.line().await.unwrap(), ":");
    }
}
