//! What is not a hub's answer is not taken for one.

use std::time::Duration;

use tidings_client::{Interruption, PublishError, Transport};

use crate::support::{Script, begin_stream, block, client, hold, next_interruption, next_texts, reply};

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
    for head in ["200 OK\ncontent-type: text/html", "301 Moved\nlocation: https://hub.example/"] {
        let server =
            Script::start(move |_, mut socket| async move { reply(&mut socket, head, "").await }).await;
        let publish = client(&server.url).publish("a", "1").retry_for(Duration::ZERO);
        let error = publish.await.unwrap_err();
        let PublishError::GaveUp { last: Interruption::Unexpected { .. }, .. } = error else {
            panic!("{error:?}")
        };
    }
}
