//! Readers that wait are woken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, with helpers that are none themselves")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings_hub::{Audience, Hub, HubConfig, PullLimits};
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

/// Fails whenever it is woken.
struct Frail(Arc<AtomicBool>);

impl Audience for Frail {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
        panic!("an audience that fails");
    }

    fn subscribers(&self, _: &Topic, _: &mut u64) -> usize {
        0
    }
}

#[tokio::test]
async fn an_audience_that_fails_costs_nobody_else_an_event() {
    let hub = hub();
    let failed = Arc::new(AtomicBool::new(false));
    hub.attach(Arc::new(Frail(Arc::clone(&failed))));
    // Attached after it, so rung after it.
    let heard = Arc::new(Frail(Arc::default()));
    hub.attach(Arc::clone(&heard) as Arc<dyn Audience>);
    let topic = Topic::new("a").unwrap();
    let mut subscription =
        hub.subscribe(Selection::new([topic.clone().into()]), Start::Latest).await.unwrap();
    for number in ["1", "2"] {
        hub.publish(Batch::of(NewEvent::text(topic.clone(), number))).await.unwrap();
        let next = timeout(Duration::from_secs(10), subscription.next(PullLimits::default()));
        assert_eq!(next.await.expect("a wake-up").unwrap().entries[0].event().data, number);
    }
    assert!(failed.load(Ordering::Relaxed) && heard.0.load(Ordering::Relaxed));
    assert_eq!(hub.ready(), Ok(()));
}

#[test]
fn a_hub_is_not_ready_without_a_thread_that_it_needs() {
    let hub = hub();
    assert_eq!(hub.ready(), Ok(()));
    hub.supervisor().spawn("shard", || Err::<(), _>("no epoll")).unwrap().join().unwrap();
    let missing = hub.clone().ready().unwrap_err();
    assert!(missing.to_string().contains("the thread `shard` has ended: no epoll"), "{missing}");
}
