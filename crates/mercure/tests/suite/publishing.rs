use serde_json::json;

use crate::support::{Bench, PATH, access_token, config, form, publisher, reader_of, sign};

/// As its documentation shows it.
#[tokio::test]
async fn an_update_goes_from_curl_to_a_subscriber() {
    let bench = Bench::start(config()).await;
    let topic = "https://example.com/books/1";
    let mut reader = bench.subscribe(&[("topic", topic)], None).await;
    assert_eq!(reader.field("content-type"), Some("text/event-stream"));
    let answer = bench.post(&publisher(), &[("topic", topic), ("data", "{\"status\":\"OutOfStock\"}")]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain"), "{}", answer.head);
    assert!(answer.body.starts_with("urn:tidings:"), "{}", answer.body);
    let expected = format!("id: {}\ndata: {{\"status\":\"OutOfStock\"}}", answer.body);
    assert_eq!(reader.update().await.unwrap(), expected);
}

#[tokio::test]
async fn id_type_and_retry_are_as_they_were_published() {
    let bench = Bench::start(config()).await;
    let mut reader = bench.subscribe(&[("topic", "a")], None).await;
    let id = "id-[\"x y\"] é";
    let answer =
        bench.publish(&[("topic", "a"), ("id", id), ("type", "t"), ("retry", "5"), ("data", "l1\nl2")]).await;
    assert_eq!(answer, id);
    assert_eq!(reader.update().await.unwrap(), format!("event: t\nretry: 5\nid: {id}\ndata: l1\ndata: l2"));
    // Types that ours would not have, and none at all.
    for own in ["tidings.end", &"x".repeat(200), ""] {
        bench.publish(&[("topic", "a"), ("type", own), ("data", "")]).await;
        let update = reader.update().await.unwrap();
        assert_eq!(update.starts_with(&format!("event: {own}\n")), !own.is_empty(), "{update}");
    }
}

/// Any text is a topic, and each is told from the others.
#[tokio::test]
async fn topics_are_any_text() {
    let bench = Bench::start(config()).await;
    let long = format!("https://example.com/{}", "x".repeat(2_000));
    let topics = [
        "/",
        "/books/1",
        "https://example.com/",
        "a/*/b",
        "mercure:x",
        "mercure.private/x",
        "50%",
        "größe α",
        &long,
    ];
    for topic in topics {
        let mut own = bench.subscribe(&[("topic", topic)], None).await;
        let mut exact = bench.subscribe(&[("match", topic)], None).await;
        for other in topics.iter().filter(|other| **other != topic) {
            bench.publish(&[("topic", other), ("data", other)]).await;
        }
        bench.publish(&[("topic", topic), ("data", "plain")]).await;
        bench.publish(&[("topic", topic), ("data", "with an id"), ("id", "1")]).await;
        for reader in [&mut own, &mut exact] {
            assert_eq!(reader.data().await, "plain", "{topic}");
            assert_eq!(reader.data().await, "with an id", "{topic}");
        }
    }
}

/// What is published by one way is read by the other.
#[tokio::test]
async fn there_is_one_log() {
    let bench = Bench::start(config()).await;
    let mut reader = bench.subscribe(&[("topic", "https://example.com/{id}")], None).await;
    let fields = "content-type: application/json\r\n";
    let ours = bench.request("POST", "/topics/https://example.com/1?event=t", fields, "{\"n\": 1}").await;
    assert_eq!(ours.status, 201, "{ours:?}");
    let id = ours.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(reader.update().await.unwrap(), format!("event: t\nid: urn:tidings:{id}\ndata: {{\"n\": 1}}"));
    bench.publish(&[("topic", "https://example.com/2"), ("data", "two"), ("type", "u")]).await;
    bench.publish(&[("topic", "/3"), ("data", "three")]).await;
    bench
        .publish(&[("topic", "4"), ("topic", "5"), ("id", "own"), ("private", "on"), ("data", "four")])
        .await;
    let page = bench.request("GET", "/events?topic=**&since=earliest", "", "").await.json();
    let event = |place: usize, name: &str| page["events"][place][name].clone();
    assert_eq!(
        (event(1, "topic"), event(1, "event"), event(1, "data")),
        (json!("https://example.com/2"), json!("u"), json!("two"))
    );
    assert_eq!((event(2, "topic"), event(2, "data")), (json!("mercure:/3"), json!("three")));
    assert_eq!(event(3, "topic"), json!("mercure.private-more/4"));
    assert_eq!(event(3, "data"), json!({"topics": ["4", "5"], "private": true, "id": "own", "data": "four"}));
}

#[tokio::test]
async fn alternate_topics_are_one_update() {
    let bench = Bench::start(config()).await;
    let mut readers = Vec::new();
    for topic in ["a", "b", "c/{id}", "*"] {
        readers.push(bench.subscribe(&[("topic", topic)], None).await);
    }
    let mut all = bench.subscribe(&[("topic", "b"), ("topic", "a"), ("topic", "c/1")], None).await;
    let mut other = bench.subscribe(&[("topic", "d")], None).await;
    let id = bench.publish(&[("topic", "a"), ("topic", "b"), ("topic", "c/1"), ("data", "x")]).await;
    bench.publish(&[("topic", "d"), ("data", "end")]).await;
    for reader in &mut readers {
        assert_eq!(reader.update().await.unwrap(), format!("id: {id}\ndata: x"));
    }
    assert_eq!(other.data().await, "end", "it was not for this one");
    assert_eq!(all.update().await.unwrap(), format!("id: {id}\ndata: x"), "once");
    bench.publish(&[("topic", "b"), ("data", "next")]).await;
    assert_eq!(all.data().await, "next");
    assert_eq!(bench.hub.latest(), 3, "it is stored once");
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_said() {
    let bench = Bench::start(config()).await;
    let token = publisher();
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("topic", "a"), 1_000).collect();
    for (pairs, status, reason) in [
        (&[("data", "x")][..], 400, "`topic`"),
        (&[("topic", "")], 400, "`topic`"),
        (&[("topic", "a\nb")], 400, "control"),
        (&[("topic", "a"), ("id", "#x")], 400, "`#`"),
        (&[("topic", "a"), ("id", "x\ny")], 400, "`id`"),
        (&[("topic", "a"), ("id", "x\0")], 400, "`id`"),
        (&[("topic", "a"), ("type", "x\rid: 1")], 400, "`type`"),
        (&[("topic", "a"), ("retry", "soon")], 400, "`retry`"),
        (&[("topic", "a"), ("retry", "-1")], 400, "`retry`"),
        (&[("topic", "a"), ("retry", "+1")], 400, "`retry`"),
        (&[("topic", "a"), ("retry", "99999999999999999999999")], 400, "`retry`"),
        (&[("topic", "/.well-known/mercure")], 403, "the hub's own"),
        (&[("topic", "/.well-known/mercure/subscriptions/a/b")], 403, "the hub's own"),
        (&[("topic", "https://any.example/.well-known/mercure/x")], 403, "the hub's own"),
        (&[("topic", "https://any.example/a/../.well-known/./mercure")], 403, "the hub's own"),
        (&many, 400, "at most 100"),
    ] {
        bench.post(&token, pairs).await.refuses(status, reason);
    }
    for (body, reason) in
        [("topic=%ff", "UTF-8"), ("topic=a&data=%ff", "UTF-8"), ("", "`topic`"), ("{\"topic\":1}", "`topic`")]
    {
        let fields = format!("authorization: Bearer {token}\r\n");
        bench.request("POST", PATH, &fields, body).await.refuses(400, reason);
    }
    let long = "x".repeat(2_000_000);
    bench.post(&token, &[("topic", "a"), ("data", &long)]).await.refuses(413, "limit");
    let long = "x".repeat(5_000);
    bench.post(&token, &[("topic", &long)]).await.refuses(413, "`topic`");
    assert_eq!(bench.request("PUT", PATH, "", "").await.status, 405);
    // Near misses are topics like any other.
    bench.publish(&[("topic", "https://any.example/.well-known/mercurex")]).await;
    assert_eq!(bench.hub.latest(), 1, "nothing of it was kept");
}

#[tokio::test]
async fn publishing_takes_a_token_that_covers_each_topic() {
    let bench = Bench::start(config()).await;
    let body = form(&[("topic", "a"), ("data", "x")]);
    let answer = bench.request("POST", PATH, "", &body).await;
    answer.refuses(401, "token");
    assert!(
        answer.head.contains("www-authenticate: bearer") && !answer.head.contains("error="),
        "{}",
        answer.head
    );
    for (claims, topics, status) in [
        (json!({"mercure": {"publish": ["a", "b/{id}"]}}), &["a", "b/1"][..], 200),
        (json!({"https://mercure.rocks/": {"publish": ["a"]}}), &["a"], 200),
        (json!({"mercure": {"publish": [{"match": "a"}]}}), &["a"], 200),
        (
            json!({"mercure": {"publish": [{"match": "https://a.example/:id", "match_type": "urlpattern"}]}}),
            &["https://a.example/1"],
            200,
        ),
        (json!({"mercure": {"publish": ["a"]}}), &["a", "c"], 403),
        (json!({"mercure": {"publish": []}}), &["a"], 403),
        (json!({"mercure": {"subscribe": ["*"]}}), &["a"], 403),
        (json!({}), &["a"], 403),
        (json!({"mercure": {"publish": [1]}}), &["a"], 401),
        (json!({"mercure": {"publish": "*"}}), &["a"], 401),
        (json!({"mercure": {"publish": [{"match": 1}]}}), &["a"], 401),
        (json!({"mercure": {"publish": [{"match": "a", "match_type": "regexp"}]}}), &["a"], 401),
        (
            json!({"mercure": {"publish": [{"match": "https://a.example/(", "match_type": "urlpattern"}]}}),
            &["a"],
            401,
        ),
        (json!({"mercure": []}), &["a"], 401),
        (json!({"mercure": {"publish": ["*"]}, "exp": 1}), &["a"], 401),
        (json!({"mercure": {"publish": ["*"]}, "nbf": 99_999_999_999_u64}), &["a"], 401),
        (json!({"mercure": {"publish": vec!["a"; 1_001]}}), &["a"], 401),
    ] {
        let pairs: Vec<_> = topics.iter().map(|topic| ("topic", *topic)).collect();
        let answer = bench.post(&sign(&claims), &pairs).await;
        assert_eq!(answer.status, status, "{claims} {answer:?}");
        let challenge = match status {
            401 => "error=\"invalid_token\"",
            403 => "error=\"insufficient_scope\"",
            _ => "",
        };
        assert!(answer.head.contains(challenge), "{}", answer.head);
    }
    bench.post("no.to.ken", &[("topic", "a")]).await.refuses(401, "token");
}

/// 1.0 says so by its token.
#[tokio::test]
async fn an_update_of_the_new_protocol_has_one_topic() {
    let bench = Bench::start(config()).await;
    let token =
        access_token(&json!([{"type": "mercure", "actions": ["publish"], "topics": [{"match": "*"}]}]), 60);
    assert_eq!(bench.post(&token, &[("topic", "a"), ("data", "x")]).await.status, 200);
    bench.post(&token, &[("topic", "a"), ("topic", "b")]).await.refuses(400, "exactly one");
    bench.post(&token, &[("topic", "a"), ("type", "mercure")]).await.refuses(400, "the hub's own");
    let token =
        access_token(&json!([{"type": "mercure", "actions": ["subscribe"], "topics": [{"match": "*"}]}]), 60);
    bench.post(&token, &[("topic", "a")]).await.refuses(403, "publish");
}

#[tokio::test]
async fn private_updates_come_to_those_who_may_read_one_of_their_topics() {
    let bench = Bench::start(config()).await;
    let query = [("topic", "*")];
    let tokens =
        [reader_of(&["b"]), reader_of(&["{x}"]), reader_of(&["*"]), reader_of(&["c"]), reader_of(&[])];
    let mut readers = vec![bench.subscribe(&query, None).await];
    for token in &tokens {
        readers.push(bench.subscribe(&query, Some(token)).await);
    }
    // Any value will do, also none.
    bench.publish(&[("topic", "a"), ("topic", "b"), ("data", "for b"), ("private", "")]).await;
    bench.publish(&[("topic", "b"), ("data", "for b alone"), ("private", "off")]).await;
    bench.publish(&[("topic", "c"), ("data", "for all")]).await;
    for (place, reader) in readers.iter_mut().enumerate() {
        if [1, 2, 3].contains(&place) {
            assert_eq!(reader.data().await, "for b", "{place}");
            assert_eq!(reader.data().await, "for b alone", "{place}");
        }
        assert_eq!(reader.data().await, "for all", "{place}");
    }
}
