//! Headers, a proxy and an HTTP client of one's own.

use tidings_client::reqwest::header::{HeaderMap, HeaderValue};
use tidings_client::{BuildError, Client, Since, Transport, reqwest};

use crate::support::{Script, hold, next_texts, page, reply};

const RECEIPT: &str = r#"{"id":"q7m2x9-1","topic":"a","time":"t"}"#;

/// Answers what is published and what is polled.
async fn server() -> Script {
    Script::start(|request, mut socket| async move {
        if request.head.starts_with("POST") {
            reply(&mut socket, "201 Created\ncontent-type: application/json", RECEIPT).await;
        } else if request.wants_stream() {
            hold(socket).await;
        } else {
            page(&mut socket, &[1], 1).await;
        }
    })
    .await
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

#[tokio::test]
async fn headers_go_with_every_request_and_replace_none_of_the_clients() {
    let mut server = server().await;
    let own = headers(&[
        ("x-tenant", "acme"),
        ("accept", "text/html"),
        ("content-type", "text/html"),
        ("authorization", "Basic x"),
        ("idempotency-key", "always-the-same"),
    ]);
    let client = Client::builder(&server.url).headers(own.clone()).token("s3cret").build().unwrap();
    client.publish("a", "1").await.unwrap();
    let published = server.request().await;
    let subscribe = client.subscribe(["a"]).since(Since::Earliest);
    let mut subscription = subscribe.transport(Transport::Poll).open().unwrap();
    assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);
    let polled = server.request().await;
    for (request, form) in [(&published, "content-type"), (&polled, "accept")] {
        assert_eq!(request.header("x-tenant"), Some("acme"));
        assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
        let lines = |name: &str| request.head.to_lowercase().matches(&format!("\n{name}:")).count();
        assert_eq!((lines("authorization"), lines(form)), (1, 1), "{}", request.head);
        assert!(!request.head.contains("text/html") && !request.head.contains("always"), "{}", request.head);
    }
    assert!(!format!("{:?}", Client::builder(&server.url).headers(own)).contains("Basic"));
}

#[tokio::test]
async fn an_authorization_of_ones_own_is_sent_where_there_is_no_token() {
    let mut server = server().await;
    let own = headers(&[("authorization", "Basic x")]);
    let client = Client::builder(&server.url).headers(own).build().unwrap();
    client.publish("a", "1").await.unwrap();
    assert_eq!(server.request().await.header("authorization"), Some("Basic x"));
}

#[tokio::test]
async fn a_proxy_is_gone_through_also_to_this_machine() {
    let mut proxy = server().await;
    for hub in ["http://hub.invalid", "http://127.0.0.1:1"] {
        let way = reqwest::Proxy::all(&proxy.url).unwrap();
        let client = Client::builder(hub).proxy(way).build().unwrap();
        client.publish("a", "1").await.unwrap();
        let request = proxy.request().await;
        assert!(request.head.starts_with(&format!("POST {hub}/topics/a ")), "{}", request.head);
    }
}

#[tokio::test]
async fn an_http_client_of_ones_own_sends_the_requests() {
    let mut server = server().await;
    // Other tests may have done so.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let http = reqwest::Client::builder().user_agent("mine/1").no_proxy().build().unwrap();
    let client = Client::builder(&server.url).http_client(http.clone()).build().unwrap();
    client.publish("a", "1").await.unwrap();
    assert_eq!(server.request().await.header("user-agent"), Some("mine/1"));

    let way = reqwest::Proxy::all(&server.url).unwrap();
    let both = Client::builder(&server.url).http_client(http.clone()).proxy(way).build();
    assert!(matches!(both, Err(BuildError::OwnClient)));
    let both = Client::builder(&server.url).http_client(http).ca_pem("").build();
    assert!(matches!(both, Err(BuildError::OwnClient)));
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_refused_at_once() {
    for builder in [
        Client::builder("https://hub").ca_pem("no certificate"),
        Client::builder("https://hub").ca_file("/absent/authority.pem"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, BuildError::Certificates { .. }), "{error}");
    }
}
