//! What the hub refuses for good ends with its problem.

use futures_util::StreamExt as _;
use tidings_client::{Message, PublishError, SubscribeError};

use crate::support::{TestHub, client};

#[tokio::test]
async fn a_request_that_can_never_succeed_is_not_repeated() {
    let hub = TestHub::start().await;
    // No such path there.
    let client = client(&format!("{}/nowhere", hub.url()));
    let mut subscription = client.subscribe(["a"]).open().unwrap();
    let Some(Err(SubscribeError::Refused(problem))) = subscription.next().await else { panic!("no refusal") };
    assert_eq!(problem.status, 404);
    let Err(PublishError::Refused(problem)) = client.publish("a", "x").await else { panic!("no refusal") };
    assert_eq!(problem.status, 404);
}

#[tokio::test]
async fn the_problem_says_what_is_wrong() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    let large = Message::bytes(vec![0; (1 << 20) + 1]);
    let Err(PublishError::Refused(problem)) = client.publish("a", large).await else { panic!("no refusal") };
    assert_eq!((problem.status, problem.kind.as_str()), (413, "urn:tidings:event-too-large"));

    client.publish("a", "x").idempotency_key("k").await.unwrap();
    let published = client.publish("a", "y").idempotency_key("k").await;
    let Err(PublishError::Refused(problem)) = published else { panic!("no refusal") };
    assert_eq!((problem.status, problem.kind.as_str()), (422, "urn:tidings:idempotency-conflict"));
}

#[tokio::test]
async fn selectors_are_checked_before_anything_is_sent() {
    let client = client("http://127.0.0.1:9");
    assert!(matches!(client.subscribe(["a/**/b"]).open(), Err(SubscribeError::Selector { .. })));
    assert!(matches!(client.subscribe::<&str>([]).open(), Err(SubscribeError::Selectors { count: 0 })));
    assert!(matches!(client.subscribe(vec!["a"; 101]).open(), Err(SubscribeError::Selectors { count: 101 })));
}
