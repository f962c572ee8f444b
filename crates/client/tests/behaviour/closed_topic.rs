//! A topic that has ended ends its subscriptions, after its last event.

use futures_util::StreamExt as _;
use tidings_client::{Item, PublishError, Since, Transport};

use crate::support::{TestHub, client, next, next_texts};

#[tokio::test]
async fn the_end_comes_after_the_last_event_and_again_for_those_who_come_back() {
    let hub = TestHub::start().await;
    let client = client(&hub.url());
    client.publish("a", "1").await.unwrap();
    client.publish("a", "").close().await.unwrap();
    for transport in [Transport::Sse, Transport::WebSocket, Transport::LongPoll, Transport::Poll] {
        let subscribe = client.subscribe(["a"]).transport(transport);
        let mut subscription = subscribe.clone().since(Since::Earliest).open().unwrap();
        assert_eq!(next_texts(&mut subscription, 2).await, ["1", ""]);
        assert!(matches!(next(&mut subscription).await, Item::Closed { .. }));
        for _ in 0..2 {
            assert!(subscription.next().await.is_none());
        }

        let mut again = subscribe.cursor(subscription.cursor().unwrap()).open().unwrap();
        loop {
            match next(&mut again).await {
                Item::Open { .. } => {}
                Item::Closed { .. } => break,
                item => panic!("{item:?}"),
            }
        }
    }

    let refused = client.publish("a", "late").await.unwrap_err();
    let PublishError::Refused(problem) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.status, problem.kind.as_str()), (409, "urn:tidings:topic-closed"));
}
