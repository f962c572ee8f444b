//! What is not a hub's answer is not taken for one, also where it says that something is final.

use std::time::Duration;

use tidings_client::{Interruption, PublishError, Since, Transport};

use crate::support::{Script, begin_stream, block, client, hold, next_interruption, next_texts, page, reply};

#[tokio::test]
async fn a_page_of_html_or_a_redirect_is_waited_out() {
    for transport in [Transport::Sse, Transport::Auto] {
        let server = Script::start(|request, mut socket| async move {
            match request.number {
                0 => reply(&mut socket, "200 OK\ncontent-type: text/html", "<p>Log in, please").await,
                1 => reply(&mut socket, "302 Found\nlocation: http://portal.example/", "").await,
                _ => {
                    begin_stream(&mut socket, &block(1)).await;
                    hold(socket).await;
                }
            }
        })
        .await;
        let mut subscription = client(&server.url).subscribe(["a"]).transport(transport).open().unwrap();
        for words in ["text/html", "http://portal.example/"] {
            let (reason, _) = next_interruption(&mut subscription).await;
            assert!(matches!(reason, Interruption::Unexpected { .. }), "{reason}");
            assert!(reason.to_string().contains(words), "{reason}");
        }
        assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);
    }
}

#[tokio::test]
async fn nothing_counts_as_published_there() {
    for (head, body) in [
        ("200 OK\ncontent-type: text/html", ""),
        ("301 Moved\nlocation: https://hub.example/", ""),
        ("201 Created\ncontent-type: application/json", "{}"),
        ("201 Created\ncontent-type: application/json", r#"{"ids":["x-1","x-2"]}"#),
    ] {
        let server =
            Script::start(move |_, mut socket| async move { reply(&mut socket, head, body).await }).await;
        let publish = client(&server.url).publish("a", "1").retry_for(Duration::ZERO);
        let error = publish.await.unwrap_err();
        let PublishError::GaveUp {
            last: Interruption::Unexpected { .. } | Interruption::Malformed(_), ..
        } = error
        else {
            panic!("{error:?}")
        };
    }
}

/// What a proxy answers while the hub behind it is deployed.
const DEPLOYING: [(&str, &str); 6] = [
    ("404 Not Found\ncontent-type: text/html", "<h1>404</h1>"),
    ("404 Not Found\ncontent-type: text/plain", "404 page not found"),
    ("403 Forbidden\ncontent-type: application/json", r#"{"error":"no"}"#),
    ("410 Gone\ncontent-type: application/problem+json", r#"{"type":"about:blank","status":410}"#),
    ("400 Bad Request", ""),
    ("401 Unauthorized\ncontent-type: text/html", "Who are you?"),
];

#[tokio::test]
async fn a_proxys_refusal_is_not_the_hubs() {
    // Each is waited out for longer than the one before, so a transport gets two of them.
    for (number, transport) in [Transport::Sse, Transport::LongPoll, Transport::Poll].into_iter().enumerate()
    {
        let answers = &DEPLOYING[2 * number..][..2];
        let server = Script::start(move |request, mut socket| async move {
            match answers.get(request.number) {
                Some((head, body)) => reply(&mut socket, head, body).await,
                None if request.wants_stream() => {
                    begin_stream(&mut socket, &block(1)).await;
                    hold(socket).await;
                }
                None => page(&mut socket, &[1], 1).await,
            }
        })
        .await;
        let subscribe = client(&server.url).subscribe(["a"]).since(Since::Earliest).transport(transport);
        let mut subscription = subscribe.open().unwrap();
        for _ in answers {
            let (reason, _) = next_interruption(&mut subscription).await;
            assert!(matches!(reason, Interruption::Unexpected { .. }), "{reason}");
        }
        assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);
    }
    let server = Script::start(|request, mut socket| async move {
        match DEPLOYING[..2].get(request.number) {
            Some((head, body)) => reply(&mut socket, head, body).await,
            None => {
                let head = "201 Created\ncontent-type: application/json";
                reply(&mut socket, head, r#"{"id":"q7m2x9-1","topic":"a","time":"t"}"#).await;
            }
        }
    })
    .await;
    let published = client(&server.url).publish("a", "1").await.unwrap();
    assert_eq!(published.id(), Some("q7m2x9-1"));
}
