//! What an event costs the hub on its way: framing it, and finding it in the tail.
#![allow(missing_docs, clippy::unwrap_used, reason = "macros and fixed inputs")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tidings_hub::{Entry, Framing, Hub, HubConfig, PullLimits};
use tidings_log::{Batch, MemoryLog, Retention};
use tidings_protocol::{Closing, Epoch, Event, Format, NewEvent, Selection, Selector, Timestamp, Topic};

const EVENTS: u64 = 10_000;
const TOPICS: u64 = 100;
const LIMITS: PullLimits = PullLimits { events: 1_000, bytes: 1 << 20 };

fn frame(c: &mut Criterion) {
    let event = Arc::new(Event {
        sequence: 1_042,
        time: Timestamp::from_millis(1_780_000_000_000),
        topic: Topic::new("orders/42").unwrap(),
        event_type: None,
        format: Format::Json,
        data: Bytes::from_static(&[b'7'; 100]),
        closing: Closing::No,
        expires: None,
    });
    let entry = || Entry::new(Arc::clone(&event), Epoch::from_random(0));
    let mut group = c.benchmark_group("frame");
    for (name, framing) in [
        ("a stream's block", Framing::Stream { topic: false, envelope: false }),
        ("a line", Framing::Line),
        ("a page's object", Framing::Object),
    ] {
        group.bench_function(name, |b| {
            b.iter_batched(entry, |entry| black_box(entry.frame(framing).len()), BatchSize::SmallInput);
        });
    }
    let framed = entry();
    group.bench_function("one that is there already", |b| {
        b.iter(|| black_box(framed.frame(Framing::Line).len()));
    });
    group.finish();
}

/// A hub whose tail has events on many topics.
fn hub() -> Hub {
    let hub = Hub::new(
        Arc::new(MemoryLog::new(Retention::default(), Duration::from_secs(60))),
        HubConfig::default(),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for number in 0..EVENTS {
        let topic = Topic::new(&format!("orders/{}", number % TOPICS)).unwrap();
        runtime.block_on(hub.publish(Batch::of(NewEvent::text(topic, "x".repeat(100))))).unwrap();
    }
    hub
}

fn tail(c: &mut Criterion) {
    let hub = hub();
    let select = |text: &str| Selection::new([Selector::new(text).unwrap()]);
    let (one, pattern) = (select("orders/42"), select("orders/*"));
    let mut group = c.benchmark_group("tail");
    group.bench_function("nothing new", |b| {
        b.iter(|| black_box(hub.recent_of(EVENTS, &one, LIMITS)));
    });
    group.bench_function("the last event of everything", |b| {
        b.iter(|| black_box(hub.recent(EVENTS - 1, LIMITS)));
    });
    group.bench_function("100 events of one topic among 10,000", |b| {
        b.iter(|| black_box(hub.recent_of(0, &one, LIMITS)));
    });
    group.bench_function("1,000 events of a pattern", |b| {
        b.iter(|| black_box(hub.recent_of(0, &pattern, LIMITS)));
    });
    group.finish();
}

criterion_group!(benches, frame, tail);
criterion_main!(benches);
