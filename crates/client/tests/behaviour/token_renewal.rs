//! A token that is refused is asked for once more; then the refusal counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use tidings_client::{Client, Interruption, PublishError, SubscribeError, Transport};

use crate::support::{Script, begin_stream, block, client, hold, next_interruption, next_texts, reply};

const UNAUTHORIZED: &str = "401 Unauthorized\ncontent-type: application/problem+json";
const PROBLEM: &str = r#"{"type":"urn:tidings:unauthorized","title":"a valid token is needed","status":401,"detail":"expired"}"#;

/// Takes the second token and every later one.
async fn picky() -> Script {
    Script::start(|request, mut socket| async move {
        let taken = request.header("authorization").is_some_and(|token| token != "Bearer t0");
        if !taken {
            reply(&mut socket, UNAUTHORIZED, PROBLEM).await;
        } else if request.head.starts_with("POST") {
            reply(&mut socket, "201 Created\ncontent-type: application/json", r#"{"id":"q7m2x9-1"}"#).await;
        } else {
            begin_stream(&mut socket, &block(1)).await;
            hold(socket).await;
        }
    })
    .await
}

fn with_tokens(url: &str) -> (Client, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let builder = Client::builder(url).token_supplier(move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, std::io::Error>(format!("t{number}")) }
    });
    (builder.build().unwrap(), asked)
}

#[tokio::test]
async fn a_fresh_token_is_asked_for_and_taken() {
    let server = picky().await;
    let (client, _) = with_tokens(&server.url);
    let mut subscription = client.subscribe(["a"]).transport(Transport::Sse).open().unwrap();
    let (reason, after) = next_interruption(&mut subscription).await;
    assert!(matches!(reason, Interruption::Refused(_)) && after.is_zero(), "{reason}");
    assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);

    let (client, asked) = with_tokens(&server.url);
    assert_eq!(client.publish("a", "x").await.unwrap().id(), Some("q7m2x9-1"));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_second_refusal_is_an_error() {
    let server = Script::start(|_, mut socket| async move {
        reply(&mut socket, UNAUTHORIZED, PROBLEM).await;
    })
    .await;
    let (client, asked) = with_tokens(&server.url);
    let mut subscription = client.subscribe(["a"]).open().unwrap();
    next_interruption(&mut subscription).await;
    let error = subscription.next().await.unwrap().unwrap_err();
    assert!(matches!(error, SubscribeError::Refused(_)));
    assert_eq!(error.to_string(), "the hub refused it with 401: expired");
    assert!(subscription.next().await.is_none());
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    assert!(matches!(client.publish("a", "x").await, Err(PublishError::Refused(_))));
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn without_a_supplier_the_first_refusal_counts() {
    let mut server = picky().await;
    let mut subscription = client(&server.url).subscribe(["a"]).open().unwrap();
    assert!(matches!(subscription.next().await, Some(Err(SubscribeError::Refused(_)))));
    assert!(subscription.next().await.is_none());
    assert_eq!(server.request().await.header("authorization"), None);
}
