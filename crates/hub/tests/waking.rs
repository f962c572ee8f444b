//! Readers that wait are woken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_hub::{Hub, HubConfig, PullLimits};
use tidings_log::{Batch, MemoryLog, Retention};
use tidings_protocol::{NewEvent, Selection, Start, Topic};
use tokio::time::timeout;

fn hub() -> Hub {
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    Hub::new(Arc::new(log), HubConfig::default())
}

#[tokio::test]
async fn the_first_event_of_a_new_hub_wakes_who_waits_for_it() {
    // Work for every core, so that what the hub does in the background comes late.
    let done = Arc::new(AtomicBool::new(false));
    let busy = (0..8).map(|_| {
        let done = Arc::clone(&done);
        std::thread::spawn(move || while !done.load(Ordering::Relaxed) {})
    });
    let busy: Vec<_> = busy.collect();
    let topic = Topic::new("a").unwrap();
    for _ in 0..50 {
        let hub = hub();
        let mut subscription =
            hub.subscribe(Selection::new([topic.clone().into()]), Start::Latest).await.unwrap();
        let waiting = tokio::spawn(async move { subscription.next(PullLimits::default()).await });
        while hub.subscribers(&topic) == 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        hub.publish(Batch::of(NewEvent::text(topic.clone(), "x"))).await.unwrap();
        let pull = timeout(Duration::from_secs(10), waiting).await.expect("a wake-up").unwrap().unwrap();
        assert_eq!(pull.entries.len(), 1);
    }
    done.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().unwrap();
    }
}
