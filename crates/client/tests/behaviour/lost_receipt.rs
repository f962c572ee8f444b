//! A publish whose answer is lost is repeated under the same key, so that it happens once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_client::{Interruption, PublishError, Since};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Script, TestHub, client, next_texts, reply};

#[tokio::test]
async fn the_event_is_published_once() {
    let hub = TestHub::start().await;
    let address = hub.address;
    // Passes the publish on, but keeps the first two answers to itself.
    let mut proxy = Script::start(move |request, mut socket| async move {
        let mut upstream = TcpStream::connect(address).await.unwrap();
        let head = request.head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        upstream.write_all(format!("{head}once").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).await.unwrap();
        if request.number >= 2 {
            socket.write_all(&answer).await.unwrap();
        }
    })
    .await;
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let heard = reasons.clone();
    let publish = client(&proxy.url).publish("a", "once");
    let published = publish
        .on_retry(move |reason, _| heard.lock().unwrap().push(matches!(reason, Interruption::Broken(_))))
        .await
        .unwrap();
    assert!(published.is_repeated());
    assert_eq!(*reasons.lock().unwrap(), [true, true]);
    let keys = [proxy.request().await, proxy.request().await, proxy.request().await]
        .map(|request| request.header("idempotency-key").unwrap().to_owned());
    assert!(keys[0] == keys[1] && keys[1] == keys[2]);

    let direct = client(&hub.url());
    direct.publish("a", "after").await.unwrap();
    let mut subscription = direct.subscribe(["a"]).since(Since::Earliest).open().unwrap();
    assert_eq!(next_texts(&mut subscription, 2).await, ["once", "after"]);
}

#[tokio::test]
async fn it_is_given_up_after_the_time_that_was_set() {
    let server =
        Script::start(|_, mut socket| async move { reply(&mut socket, "502 Bad Gateway", "").await }).await;
    let publish = client(&server.url).publish("a", "x");
    let error = publish.retry_for(Duration::from_millis(1_500)).await.unwrap_err();
    let PublishError::GaveUp { last: Interruption::Unavailable(problem), .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((problem.status, problem.kind.as_str()), (502, "about:blank"));
}
