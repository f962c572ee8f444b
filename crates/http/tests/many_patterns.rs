//! What readers with a pattern each cost an event that does not concern them, and what their leaving costs.
//!
//! It counts the processor's time of its process, so it is a program of its own. `READERS=100000` and `--release` measure a crowd.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt as _;
use rustix::time::{ClockId, clock_gettime};
use tidings_http::{Api, HttpConfig};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{Batch, MemoryLog, Retention};
use tidings_protocol::{NewEvent, Topic};
use tower::ServiceExt as _;

/// How many events are published in a round.
const EVENTS: u32 = 500;

/// What this process has used of the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

/// A stream of what one user is told, whose reader has taken its opening and takes nothing more.
async fn reader(router: Router, user: usize) -> Body {
    let request = http::Request::get(format!("/events?topic=user/{user}/*"))
        .header("accept", "text/event-stream")
        .body(Body::empty())
        .unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    body
}

/// What a publication takes of the processor, and what the delivery of it takes: the least of some rounds.
async fn publishing(hub: &Hub, concerned: &mut Body) -> Duration {
    let topic = "orders/eu".parse::<Topic>().unwrap();
    let mut least = Duration::MAX;
    for _ in 0..12 {
        let before = processor_time();
        for _ in 0..EVENTS {
            hub.publish(Batch::of(NewEvent::text(topic.clone(), "~"))).await.unwrap();
        }
        let mut received = 0;
        while received < EVENTS {
            let frame = concerned.frame().await.unwrap().unwrap().into_data().unwrap();
            received += u32::try_from(frame.iter().filter(|byte| **byte == b'~').count()).unwrap();
        }
        least = least.min((processor_time() - before) / EVENTS);
    }
    least
}

/// Whether somebody reads the topic, and what it took to ask.
fn is_there(hub: &Hub, topic: &Topic) -> (bool, Duration) {
    let before = processor_time();
    let is_there = hub.subscribers(topic) > 0;
    (is_there, processor_time() - before)
}

#[tokio::test]
async fn patterns_of_others_cost_an_event_nothing_and_leave_in_no_time() {
    let count = std::env::var("READERS").map_or(10_000, |count| count.parse().unwrap());
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    let hub = Hub::new(Arc::new(log), HubConfig::default());
    let api = Api::builder(hub.clone(), HttpConfig::default()).open_to_everyone().build();
    let router = api.router();

    // One that is concerned, so that the events come to a shard either way.
    let request = http::Request::get("/events?topic=orders/*").header("accept", "text/event-stream");
    let orders = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let mut concerned = orders.into_body();

    let alone = publishing(&hub, &mut concerned).await;
    let mut readers = Vec::with_capacity(count);
    for user in 0..count {
        readers.push(reader(router.clone(), user).await);
    }
    let beside = publishing(&hub, &mut concerned).await;

    let leaving = readers.len().min(10_000);
    let left = format!("user/{}/news", count - leaving).parse::<Topic>().unwrap();
    let asked = (0..100).map(|_| is_there(&hub, &left)).inspect(|(there, _)| assert!(there));
    let asking = asked.map(|(_, took)| took).min().unwrap();
    // To look at each pattern would take milliseconds.
    assert!(asking < Duration::from_micros(500), "to count a topic's subscribers took {asking:?}");
    let before = processor_time();
    readers.truncate(readers.len() - leaving);
    loop {
        if !is_there(&hub, &left).0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let leaving_took = processor_time() - before;

    println!(
        "a publication alone {alone:?}, beside {count} patterns {beside:?}; \
         subscribers counted in {asking:?}; {leaving} left in {leaving_took:?}"
    );
    // To look at 10,000 patterns one by one would take some hundred microseconds here.
    assert!(
        beside < alone * 2 + Duration::from_micros(30),
        "a publication took {alone:?} alone, and {beside:?} beside {count} patterns"
    );
    assert!(leaving_took < Duration::from_secs(2), "{leaving} readers took {leaving_took:?} to leave");
}
