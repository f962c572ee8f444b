use tidings_engine_servers::NatsServer;
use tidings_log::{AppendError, Batch};
use tidings_protocol::Selection;

use crate::support::{event, open, publish, read, url};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_no_message_takes_is_refused_whole() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    let large = vec![event("a", &"x".repeat(1 << 20)); 5];
    let refused = log.append(Batch { events: large, close: None, idempotency: None }).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    let many = vec![event("a", ""); 65_537];
    let refused = log.append(Batch { events: many, close: None, idempotency: None }).await;
    assert_eq!(refused, Err(AppendError::TooMany { events: 65_537, limit: 65_536 }));
    assert_eq!(publish(&*log, "a", "").await, 65_536);
    // As many as go into one message, which then has all of its numbers.
    let most = vec![event("a", "x"); 65_536];
    let appended = log.append(Batch { events: most, close: None, idempotency: None }).await.unwrap();
    assert_eq!((appended.first, appended.last()), (65_537, 131_072));
    let found = read(&*log, 0, &Selection::all()).await;
    assert_eq!(found.len(), 65_537);
    let middle = read(&*log, appended.first + 1_000, &Selection::all()).await;
    assert_eq!(middle.len(), 65_536 - 1_001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_is_read_at_once_is_read_in_parts() {
    let Some(server) = NatsServer::start() else { return };
    let log = open(&url(&server)).await;
    let batch = vec![event("a", &"x".repeat(300 << 10)); 10];
    for _ in 0..8 {
        log.append(Batch { events: batch.clone(), close: None, idempotency: None }).await.unwrap();
    }
    // A log that has followed nothing has to ask for all of it.
    let late = open(&url(&server)).await;
    assert_eq!(read(&*late, 0, &Selection::all()).await.len(), 80);
}
