use std::sync::Arc;

use tidings_engine_servers::{Listener, NatsServer};
use tidings_log::{Batch, Log, ReadError, TopicQuery};
use tidings_protocol::{Selection, Selector};

use crate::lossy::Lossy;
use crate::support::{WIDE, open, publish, read, topic, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_replay_has_a_hole_where_a_message_is_lost_on_the_way() {
    let Some(server) = NatsServer::start() else { return };
    let way = Lossy::to(server.port());
    let log = open(&way.url()).await;
    for number in 0..20 {
        publish(&*log, "a", &number.to_string()).await;
    }
    // What still comes of a read that failed is after the message that the next one loses.
    for lost in [19, 7, 1] {
        way.loses(lost);
        let failed = log.read(0, &Selection::all(), WIDE).await;
        assert!(matches!(failed, Err(ReadError::Away { .. })), "{failed:?}");
        assert!(way.has_lost());
    }
    assert_eq!(read(&*log, 0, &Selection::all()).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_misses_nothing_where_a_message_is_lost_on_the_way() {
    let Some(server) = NatsServer::start() else { return };
    let way = Lossy::to(server.port());
    let (log, other) = (open(&way.url()).await, open(&url(&server)).await);
    let listener = Listener::of(&*log);
    way.loses(3);
    way.loses(6);
    let expected: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    for data in &expected {
        publish(&*other, "a", data).await;
    }
    listener.hears(|told| *told == tidings_engine_servers::Notice::Entry("9".into())).await;
    assert!(way.has_lost());
    assert_eq!(listener.entries(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_starts_misses_no_topic_where_a_message_is_lost_on_the_way() {
    let Some(server) = NatsServer::start() else { return };
    let way = Lossy::to(server.port());
    let log = open(&url(&server)).await;
    for name in ["a", "b", "c", "d"] {
        publish(&*log, name, "x").await;
    }
    for name in ["b", "c", "d"] {
        log.append(Batch { events: Vec::new(), close: Some(topic(name).into()), idempotency: None })
            .await
            .unwrap();
    }
    // The event of a topic that goes on, and the end of one.
    for lost in [1, 6] {
        way.loses(lost);
        let started: Arc<dyn Log> = open(&way.url()).await;
        assert!(way.has_lost());
        let query = TopicQuery { selector: &Selector::all(), after: None, limit: 100 };
        assert_eq!(started.topics(query).await.unwrap(), log.topics(query).await.unwrap());
    }
}
