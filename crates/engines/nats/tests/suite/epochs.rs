use std::time::Duration;

use async_nats::jetstream::stream::Config;
use tidings_engine_servers::{Listener, NatsServer, Notice};
use tidings_protocol::Selection;

use crate::raw::{context, put, stream};
use crate::support::{agree, eventually, open, publish, publish_at_last, read, url};

async fn described(server: &NatsServer) -> String {
    stream(server.port()).await.cached_info().config.description.clone().unwrap()
}

async fn describe(server: &NatsServer, description: &str) {
    let config = stream(server.port()).await.cached_info().config.clone();
    let config = Config { description: Some(description.to_owned()), ..config };
    context(server.port()).await.update_stream(config).await.unwrap();
}

/// Two hubs find the same loss, and each writes an epoch into the stream and into its description, in another order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_epoch_in_the_stream_stays_whatever_its_description_says() {
    let Some(server) = NatsServer::start() else { return };
    let context = context(server.port()).await;
    let log = open(&url(&server)).await;
    let listener = Listener::of(&*log);
    publish(&*log, "a", "before").await;
    let before = described(&server).await;
    put(&context, "LOG.epoch", "first1").await;
    let number = put(&context, "LOG.epoch", "second2").await;
    eventually("it follows", || log.bounds().epoch().as_str() == "second2" && log.ready().is_ok()).await;
    let after = format!("the log of Tidings, epoch second2 since message {number}");
    assert_eq!(described(&server).await, after);
    publish(&*log, "a", "after").await;
    // What comes back, written by somebody who has read it before.
    for (stale, key) in
        [(before, "one"), ("the log of Tidings, epoch first1 since message 2".to_owned(), "two")]
    {
        describe(&server, &stale).await;
        let told = listener.told().len();
        let begun = tokio::time::Instant::now();
        while described(&server).await != after {
            assert!(begun.elapsed() < Duration::from_secs(30), "it stays as it is");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        eventually("it is back", || log.ready().is_ok()).await;
        // It may have noticed only now, and refuses until it has looked again.
        publish_at_last(&*log, "a", "and on", key).await;
        assert_eq!(listener.told().len(), told + 1, "{:?}", listener.told());
    }
    let renewed = listener.told().into_iter().filter(|told| matches!(told, Notice::Renewed(_))).count();
    assert!(renewed <= 2, "{:?}", listener.told());
    let started = open(&url(&server)).await;
    agree(&*started, &*log).await;
    assert_eq!(read(&*started, 0, &Selection::all()).await.len(), 4);
}

/// The stream has lost the message that its epoch began with, and no hub remembers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_whose_beginning_is_lost_is_followed_by_another() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    publish(&*log, "a", "x").await;
    log.close().await.unwrap();
    describe(&server, "the log of Tidings, epoch lost77 since message 7").await;
    let started = open(&url(&server)).await;
    let bounds = started.bounds();
    assert_ne!(bounds.epoch().as_str(), "lost77");
    assert_ne!(bounds.epoch(), log.bounds().epoch());
    publish(&*started, "a", "y").await;
    assert_eq!(open(&url(&server)).await.bounds().epoch(), bounds.epoch());
}
