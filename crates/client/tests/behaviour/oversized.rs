//! A peer cannot make the client hold more than it was told to.

use tidings_client::{Interruption, Transport};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::oneshot;

use crate::support::{PATIENCE, Script, begin_stream, client, next_interruption, reply};

#[tokio::test]
async fn a_line_without_an_end_is_cut_off() {
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let server = Script::start(move |_, mut socket| {
        let tell = tell.lock().unwrap().take();
        async move {
            begin_stream(&mut socket, "id: q7m2x9-1\n\ndata: ").await;
            let mut sent = 0_usize;
            while socket.write_all(&[b'x'; 1 << 14]).await.is_ok() {
                sent += 1 << 14;
            }
            tell.unwrap().send(sent).unwrap();
        }
    })
    .await;
    let subscribe = client(&server.url).subscribe(["a"]).max_event_bytes(1 << 16);
    let mut subscription = subscribe.transport(Transport::Sse).open().unwrap();
    let (reason, _) = next_interruption(&mut subscription).await;
    assert!(matches!(reason, Interruption::Malformed(_)), "{reason}");
    drop(subscription);
    let sent = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    assert!(sent < 64 << 20, "the rest stays in the buffers of the system: {sent}");
}

#[tokio::test]
async fn a_page_is_no_larger_than_two_events() {
    let server = Script::start(|_, mut socket| async move {
        let events = " ".repeat(1 << 18);
        let body = format!(r#"{{"events":[{events}],"next":"q7m2x9-1"}}"#);
        reply(&mut socket, "200 OK\ncontent-type: application/json", &body).await;
    })
    .await;
    let subscribe = client(&server.url).subscribe(["a"]).max_event_bytes(1 << 16);
    let mut subscription = subscribe.transport(Transport::Poll).open().unwrap();
    let (reason, _) = next_interruption(&mut subscription).await;
    assert!(matches!(reason, Interruption::Malformed(_)), "{reason}");
}
