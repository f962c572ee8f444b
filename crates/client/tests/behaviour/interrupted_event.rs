//! A connection that dies in the middle of an event neither loses nor doubles it.

use tidings_client::{Interruption, Item, Since, Transport};
use tokio::io::AsyncWriteExt as _;

use crate::support::{Script, begin_stream, block, client, hold, next, next_interruption, next_texts};

#[tokio::test]
async fn the_event_comes_once_after_the_reconnect() {
    let mut server = Script::start(|request, mut socket| async move {
        match request.number {
            0 => {
                let half = block(2);
                let half = &half[..half.len() - 1];
                begin_stream(&mut socket, &format!("retry: 100\nid: q7m2x9-0\n\n{}{half}", block(1))).await;
                socket.shutdown().await.unwrap();
            }
            _ => {
                begin_stream(&mut socket, &format!("id: q7m2x9-1\n\n{}", block(2))).await;
                hold(socket).await;
            }
        }
    })
    .await;
    let subscribe = client(&server.url).subscribe(["a"]).since(Since::Earliest).transport(Transport::Sse);
    let mut subscription = subscribe.open().unwrap();
    assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);
    let (reason, after) = next_interruption(&mut subscription).await;
    assert!(matches!(reason, Interruption::Ended), "{reason}");
    assert!(after.as_millis() <= 100, "`retry:` is obeyed: {after:?}");
    assert_eq!(next_texts(&mut subscription, 1).await, ["2"]);

    let first = server.request().await;
    assert_eq!((first.parameter("since"), first.parameter("lastEventId")), (Some("earliest"), None));
    assert_eq!((first.parameter("envelope"), first.parameter("heartbeat")), (Some("true"), Some("15")));
    assert_eq!(server.request().await.parameter("lastEventId"), Some("q7m2x9-1"));
}

#[tokio::test]
async fn the_first_block_is_enough_to_resume_from() {
    let mut server = Script::start(|request, mut socket| async move {
        begin_stream(&mut socket, "retry: 100\nid: q7m2x9-7\n\n:\nid: q7m2x9-9\n\n").await;
        if request.number > 0 {
            begin_stream(&mut socket, &block(10)).await;
        }
    })
    .await;
    let mut subscription = client(&server.url).subscribe(["a"]).transport(Transport::Sse).open().unwrap();
    assert_eq!(subscription.cursor(), None);
    next_interruption(&mut subscription).await;
    assert_eq!(subscription.cursor(), Some("q7m2x9-9"));
    next_interruption(&mut subscription).await;
    assert_eq!(server.request().await.parameter("since"), Some("latest"));
    assert_eq!(server.request().await.parameter("lastEventId"), Some("q7m2x9-9"));
}

#[tokio::test]
async fn it_is_not_open_before_it_has_a_place_to_go_on_from() {
    let mut server = Script::start(|request, mut socket| async move {
        match request.number {
            // Something on the way cuts it off: whoever relied on this being open would lose what comes now.
            0 => begin_stream(&mut socket, "retry: 100\n").await,
            // So a hub says that it cannot serve the stream now.
            1 => begin_stream(&mut socket, "retry: 100\n\n").await,
            _ => {
                begin_stream(&mut socket, "retry: 100\nid: q7m2x9-7\n\n").await;
                hold(socket).await;
            }
        }
    })
    .await;
    let mut subscription = client(&server.url).subscribe(["a"]).transport(Transport::Sse).open().unwrap();
    for _ in 0..2 {
        let item = next(&mut subscription).await;
        let Item::Reconnecting { reason: Interruption::Postponed, .. } = item else { panic!("{item:?}") };
        assert_eq!(server.request().await.parameter("since"), Some("latest"));
    }
    let item = next(&mut subscription).await;
    assert!(matches!(item, Item::Open { transport: Transport::Sse }), "{item:?}");
    assert_eq!(subscription.cursor(), Some("q7m2x9-7"), "the place comes with it");
}
