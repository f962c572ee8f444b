//! Logs that older versions wrote are read by this one.
//!
//! `TIDINGS_WRITE_FIXTURE=1 cargo test -p tidings-log --test format` writes the fixture of the present version,
//! where there is none yet. A fixture is never written again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tidings_log::{
    AppendError, Appended, Batch, DiskConfig, DiskLog, Idempotency, Log, ReadLimits, Retention, Scope,
};
use tidings_protocol::{Cursor, EventType, Format, GapReason, NewEvent, Selection, Timestamp, Topic};

fn config() -> DiskConfig {
    let age = Duration::from_secs(1_000 * 365 * 86_400);
    DiskConfig {
        retention: Retention { age, bytes: 1 << 30 },
        idempotency_window: age,
        segment_bytes: Some(2 << 10),
        ..DiskConfig::default()
    }
}

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

/// What the fixture of version 1 holds, batch by batch.
fn batches() -> Vec<Batch> {
    let mut batches: Vec<Batch> = (0..40)
        .map(|number| {
            let topic = topic(["orders/1", "orders/2", "größe"][number % 3]);
            let event_type = (number % 2 == 0).then(|| EventType::new("shipped").unwrap());
            let format = [Format::Text, Format::Json, Format::Binary][number % 3];
            let data = format!("{{\"number\":{number},\"rest\":\"{}\"}}", "x".repeat(number * 3));
            let event = NewEvent::new(topic, event_type, format, data).unwrap();
            let idempotency = (number % 4 == 0)
                .then(|| Idempotency { scope: Scope::Topic(event.topic.clone()), key: format!("k{number}") });
            Batch { idempotency, ..Batch::of(event) }
        })
        .collect();
    batches.push(Batch {
        events: vec![NewEvent::text(topic("ended"), "first"), NewEvent::text(topic("ended"), "last")],
        close: Some(topic("ended").into()),
        idempotency: Some(Idempotency { scope: Scope::Batches, key: "batch".into() }),
    });
    batches.push(Batch { events: Vec::new(), close: Some(topic("orders/1").into()), idempotency: None });
    batches
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A copy of a fixture, which is never written to.
fn copy(source: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn writes(source: &Path) -> bool {
    std::env::var_os("TIDINGS_WRITE_FIXTURE").is_some() && !source.exists()
}

#[tokio::test]
async fn a_log_of_version_1_is_read() {
    let source = fixture("v1");
    if writes(&source) {
        let log = DiskLog::open(&source, config()).unwrap();
        for batch in batches() {
            log.append(batch).await.unwrap();
        }
        log.close().await.unwrap();
    }
    let copy = copy(&source);
    let log = DiskLog::open(copy.path(), config()).unwrap();
    let bounds = log.bounds();
    assert_eq!((bounds.earliest, bounds.latest), (1, 43));
    // Cursors that the older version gave out are good, and so are the ids of its events.
    for place in [0, 1, 43] {
        let cursor = Cursor::new("artdgnjh".parse().unwrap(), place);
        assert_eq!((bounds.lineage.id(place), bounds.resume(cursor)), (cursor, Ok(place)));
    }
    assert_eq!(bounds.resume("artdgnjh-44".parse().unwrap()), Err(GapReason::Ahead));
    let limits = ReadLimits { entries: 1_000, bytes: 1 << 20 };
    let chunk = log.read(0, &Selection::all(), limits).await.unwrap();
    let mut entries = chunk.entries.iter();
    for batch in batches() {
        for event in &batch.events {
            let entry = entries.next().unwrap();
            assert_eq!((&entry.topic, &entry.event_type), (&event.topic, &event.event_type));
            assert_eq!((entry.format, &entry.data), (event.format(), event.data()));
            assert!(entry.time > Timestamp::default());
        }
    }
    assert!(entries.next().unwrap().closes());
    assert!(entries.next().is_none());
    // Keys are known in sealed segments and in the newest one, and ends are known.
    for (number, batch) in batches().into_iter().enumerate().filter(|(_, batch)| batch.idempotency.is_some())
    {
        let Appended { epoch, first, duplicate, .. } = log.append(batch).await.unwrap();
        assert_eq!((epoch.as_str(), first, duplicate), ("artdgnjh", number as u64 + 1, true));
    }
    for name in ["ended", "orders/1"] {
        let refused = log.append(Batch::of(NewEvent::text(topic(name), ""))).await;
        assert_eq!(refused, Err(AppendError::TopicClosed { topic: topic(name) }));
    }
    assert_eq!(log.append(Batch::of(NewEvent::text(topic("orders/2"), ""))).await.unwrap().first, 44);
}

/// The state of a log of version 1 that remembers its epochs.
#[tokio::test]
async fn the_epochs_of_a_log_are_read() {
    let source = fixture("v1-epochs");
    if writes(&source) {
        for count in [3, 0, 2, 4] {
            let log = DiskLog::open(&source, config()).unwrap();
            for number in 0..count {
                log.append(Batch::of(NewEvent::text(topic("a"), number.to_string()))).await.unwrap();
            }
            log.close().await.unwrap();
        }
    }
    let state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(source.join("state")).unwrap()).unwrap();
    let copy = copy(&source);
    let log = DiskLog::open(copy.path(), config()).unwrap();
    let bounds = log.bounds();
    // An epoch in which nothing was written is none that anybody knows.
    let present = format!("{}-9", state["epoch"].as_str().unwrap());
    let ends: Vec<_> = bounds.lineage.past().iter().map(ToString::to_string).collect();
    assert_eq!(state["past"].as_array().unwrap()[..], ends[..2]);
    assert_eq!(ends[2..], [present]);
    for (place, end) in [(1, 0), (3, 0), (4, 1), (5, 1), (6, 2), (9, 2)] {
        let epoch = bounds.lineage.past()[end].epoch;
        assert_eq!(bounds.lineage.id(place), Cursor::new(epoch, place));
        assert_eq!(bounds.resume(Cursor::new(epoch, place)), Ok(place));
        assert_eq!(bounds.resume(Cursor::new(epoch, 10)), Err(GapReason::Ahead));
    }
}
