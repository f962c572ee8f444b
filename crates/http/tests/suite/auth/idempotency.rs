//! Whose idempotency keys are whose.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tidings_http::{Auth, AuthConfig, Key, Rights};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{DiskConfig, DiskLog};

use crate::support::tokens::{SECRET, bearer, claims, hub_with, sign, with};
use crate::support::{Answer, Request, Running, Setup};

/// A batch over several topics with the key `k`, from whoever has this token.
async fn publish(hub: &Running, token: Option<&str>, topic: &str, data: &str) -> Answer {
    let batch = json!([{"topic": topic, "data": data}]).to_string();
    let mut request = Request::post("/events", batch).json().key("k");
    if let Some(token) = token {
        request = request.header("authorization", &bearer(token));
    }
    hub.ask(request).await
}

fn named(subject: &str, topics: &[&str]) -> String {
    sign(&with(claims(topics, &[]), "sub", json!(subject)))
}

#[tokio::test]
async fn nobody_learns_which_keys_another_uses_or_uses_one_up() {
    let anonymous = Rights { publish: vec!["open/**".parse().unwrap()], ..Rights::none() };
    let hub = hub_with(Setup::new(), AuthConfig { anonymous, ..AuthConfig::default() }).await;
    let (ann, bob) = (named("ann", &["a", "b"]), named("bob", &["a", "b"]));
    let (first, second) = (sign(&claims(&["a", "b"], &[])), sign(&claims(&["b"], &[])));
    let publishers = [Some(&*ann), Some(&bob), Some(&first), Some(&second)];
    let mut receipts = Vec::new();
    for token in publishers {
        // The same key, and for all but the last the same data, of which nobody is told that it was there.
        let answer = publish(&hub, token, "b", "x").await;
        assert_eq!(answer.status(), 201, "{}", answer.text());
        receipts.push(answer.body);
    }
    assert_eq!(publish(&hub, None, "open/a", "x").await.status(), 201);
    for (token, receipt) in publishers.into_iter().zip(receipts) {
        let again = publish(&hub, token, "b", "x").await;
        assert_eq!((again.status(), again.body), (200, receipt));
        publish(&hub, token, "b", "other").await.problem(422, "idempotency-conflict");
    }
    publish(&hub, None, "open/a", "other").await.problem(422, "idempotency-conflict");

    // A token that was renewed is its subject's, whatever else it says; and one without a subject is whoever's may
    // publish the same, in whatever order that is written.
    let renewed =
        sign(&with(with(claims(&["b"], &["x"]), "sub", json!("ann")), "exp", json!(4_000_000_000_i64)));
    assert_eq!(publish(&hub, Some(&renewed), "b", "x").await.status(), 200);
    let renewed = sign(&claims(&["b", "a", "b"], &["x"]));
    assert_eq!(publish(&hub, Some(&renewed), "b", "x").await.status(), 200);
}

#[tokio::test]
async fn a_subject_has_its_keys_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let auth = || {
        Auth::new(AuthConfig { keys: vec![Key::hs256(SECRET).unwrap()], ..AuthConfig::default() }).unwrap()
    };
    let mut receipt = None;
    for status in [201, 200] {
        let log = DiskLog::open(folder.path(), DiskConfig::default()).unwrap();
        let hub = Hub::new(Arc::new(log), HubConfig::default());
        let mut running = Setup::new().start_with(hub.clone(), auth()).await;
        let answer = publish(&running, Some(&named("ann", &["a"])), "a", "x").await;
        assert_eq!(answer.status(), status);
        assert_eq!(*receipt.get_or_insert_with(|| answer.body.clone()), answer.body);
        if status == 200 {
            assert_eq!(publish(&running, Some(&named("bob", &["a"])), "a", "y").await.status(), 201);
        }
        running.shut_down();
        running.ended().await;
        tokio::time::timeout(Duration::from_secs(30), hub.close()).await.unwrap().unwrap();
    }
}
