//! A stream on which nothing comes any more, not even heartbeats, is given up.

use std::time::Duration;

use tidings_client::{Interruption, Transport};
use tokio::io::AsyncWriteExt as _;

use crate::support::{Script, begin_stream, block, client, hold, next_interruption, next_open, next_texts};

#[tokio::test]
async fn silence_of_two_and_a_half_heartbeats_is_death() {
    let server = Script::start(|request, mut socket| async move {
        begin_stream(&mut socket, "retry: 100\nid: q7m2x9-1\n\n").await;
        if request.number > 0 {
            socket.write_all(block(2).as_bytes()).await.unwrap();
        }
        hold(socket).await;
    })
    .await;
    let subscribe = client(&server.url).subscribe(["a"]).heartbeat(Duration::from_secs(1));
    let mut subscription = subscribe.transport(Transport::Sse).open().unwrap();
    next_open(&mut subscription).await;
    let (reason, _) = next_interruption(&mut subscription).await;
    assert!(
        matches!(reason, Interruption::Silent { after } if after == Duration::from_millis(2_500)),
        "{reason}"
    );
    assert_eq!(next_texts(&mut subscription, 1).await, ["2"]);
}
