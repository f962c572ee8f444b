//! Where events may be missing, the subscriber is told, and then goes on.

use tidings_client::{GapReason, Item, Transport};

use crate::support::{TestHub, client, next, next_texts};

#[tokio::test]
async fn a_cursor_of_another_log_is_a_gap_and_not_an_error() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    client.publish("a", "1").await.unwrap();
    for transport in [Transport::Sse, Transport::WebSocket, Transport::LongPoll, Transport::Poll] {
        for cursor in ["q7m2x9-1042", "no cursor at all"] {
            let mut subscription =
                client.subscribe(["a"]).cursor(cursor).transport(transport).open().unwrap();
            assert!(matches!(next(&mut subscription).await, Item::Open { .. }));
            let item = next(&mut subscription).await;
            let Item::Gap(gap) = item else { panic!("{item:?}") };
            assert_eq!((gap.reason, gap.since.as_str()), (GapReason::Unknown, cursor));
            assert_eq!(subscription.cursor(), Some(gap.resumed.as_str()));
            assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);
        }
    }
}
