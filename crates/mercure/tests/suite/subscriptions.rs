use serde_json::{Value, json};
use tidings_mercure::MercureConfig;

use crate::support::{Bench, access_token, config, reader_of, sign};

const ROOT: &str = "/.well-known/mercure/subscriptions";

fn listing() -> MercureConfig {
    MercureConfig { subscriptions: true, ..config() }
}

async fn list(bench: &Bench, path: &str, token: &str) -> Value {
    let answer = bench.request("GET", path, &format!("authorization: Bearer {token}\r\n"), "").await;
    assert_eq!(answer.status, 200, "{path} {answer:?}");
    assert!(answer.head.contains("content-type: application/ld+json"), "{}", answer.head);
    answer.json()
}

#[tokio::test]
async fn active_subscriptions_are_listed_and_told_of() {
    let bench = Bench::start(listing()).await;
    let watcher_token = reader_of(&["/.well-known/mercure/subscriptions{/topic}{/subscriber}", ROOT]);
    let template = "/.well-known/mercure/subscriptions{/topic}{/subscriber}";
    let mut watcher = bench.subscribe(&[("topic", template)], Some(&watcher_token)).await;
    // It hears of itself.
    let own: Value = serde_json::from_str(&watcher.data().await).unwrap();
    assert_eq!((&own["topic"], &own["active"]), (&json!(template), &json!(true)));

    let token = sign(&json!({"mercure": {"subscribe": ["*"], "payload": {"user": 1}}}));
    let topic = "https://example.com/{id}";
    let reader = bench.subscribe(&[("topic", topic)], Some(&token)).await;
    let told: Value = serde_json::from_str(&watcher.data().await).unwrap();
    let path = told["id"].as_str().unwrap();
    let encoded = "https%3A%2F%2Fexample.com%2F%7Bid%7D";
    assert!(path.starts_with(&format!("{ROOT}/{encoded}/urn%3Auuid%3A")), "{path}");
    assert_eq!(told["@context"], json!("https://mercure.rocks/"));
    assert_eq!(told["type"], json!("Subscription"));
    assert_eq!(
        (&told["topic"], &told["active"], &told["payload"]),
        (&json!(topic), &json!(true), &json!({"user": 1}))
    );
    assert!(told["subscriber"].as_str().unwrap().starts_with("urn:uuid:"));

    let all = list(&bench, ROOT, &watcher_token).await;
    assert_eq!((&all["id"], &all["type"]), (&json!(ROOT), &json!("Subscriptions")));
    assert_eq!(all["subscriptions"].as_array().unwrap().len(), 2);
    assert!(all["lastEventID"].as_str().unwrap().starts_with("urn:tidings:"));
    let by_topic = list(&bench, &format!("{ROOT}/{encoded}"), &watcher_token).await;
    assert_eq!(by_topic["subscriptions"].as_array().unwrap().len(), 1);
    assert_eq!(by_topic["subscriptions"][0]["subscriber"], told["subscriber"]);
    let one = list(&bench, path, &watcher_token).await;
    assert_eq!(
        (&one["id"], &one["active"], &one["payload"]),
        (&told["id"], &json!(true), &json!({"user": 1}))
    );
    assert!(one["lastEventID"].is_string());

    drop(reader);
    let over: Value = serde_json::from_str(&watcher.data().await).unwrap();
    assert_eq!((&over["id"], &over["active"]), (&told["id"], &json!(false)));
    let fields = format!("authorization: Bearer {watcher_token}\r\n");
    bench.request("GET", path, &fields, "").await.refuses(404, "no such subscription");
    assert_eq!(list(&bench, ROOT, &watcher_token).await["subscriptions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_list_is_for_those_who_may_read_it() {
    let bench = Bench::start(listing()).await;
    bench.request("GET", ROOT, "", "").await.refuses(401, "token");
    let fields = format!("authorization: Bearer {}\r\n", reader_of(&["other"]));
    bench.request("GET", ROOT, &fields, "").await.refuses(403, "cover");
    // Without a right to it, nobody hears of others.
    let mut stranger = bench.subscribe(&[("topic", "*")], None).await;
    drop(bench.subscribe(&[("topic", "a")], None).await);
    bench.publish(&[("topic", "a"), ("data", "x")]).await;
    assert_eq!(stranger.data().await, "x");
    let off = Bench::start(config()).await;
    let fields = format!("authorization: Bearer {}\r\n", reader_of(&["*"]));
    off.request("GET", ROOT, &fields, "").await.refuses(404, "not listed");
}

#[tokio::test]
async fn subscriptions_of_the_new_protocol_have_a_matcher_and_its_type() {
    let bench = Bench::start(listing()).await;
    let details = json!([
        {"type": "mercure", "actions": ["subscribe"], "topics": [{"match": "https://example.com/:id", "match_type": "urlpattern"}], "payload": {"n": 1}},
        {"type": "mercure", "actions": ["subscribe"], "topics": [{"match": "*"}], "payload": {"n": 2}},
    ]);
    let token = access_token(&details, 600);
    let mut watcher =
        bench.subscribe(&[("match_urlpattern", "/.well-known/mercure/subscriptions/*")], Some(&token)).await;
    assert!(watcher.update().await.unwrap().starts_with("event: mercure\n"));
    let pattern = "https://example.com/:id";
    let _reader = bench.subscribe(&[("match_urlpattern", pattern), ("match", "b")], Some(&token)).await;
    let first: Value = serde_json::from_str(&watcher.data().await).unwrap();
    let second: Value = serde_json::from_str(&watcher.data().await).unwrap();
    assert_eq!(
        (&first["match"], &first["match_type"], &first["payload"]),
        (&json!(pattern), &json!("urlpattern"), &json!({"n": 1}))
    );
    assert_eq!(
        (&second["match"], &second["match_type"], &second["payload"]),
        (&json!("b"), &json!("exact"), &json!({"n": 2}))
    );
    assert_eq!(first["type"], json!("subscription"));
    assert_eq!(first["subscriber"], second["subscriber"], "one subscriber");
    let fields = format!("authorization: Bearer {token}\r\n");
    let answer = bench.request("GET", &format!("{ROOT}/exact/b"), &fields, "").await;
    assert!(answer.head.contains("content-type: application/mercure+json"), "{}", answer.head);
    assert_eq!(answer.json()["subscriptions"][0]["id"], second["id"]);
    let path = first["id"].as_str().unwrap();
    assert_eq!(bench.request("GET", path, &fields, "").await.json()["match"], json!(pattern));
}
