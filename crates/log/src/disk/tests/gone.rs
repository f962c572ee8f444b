//! Deleted topics and events that expire, as the files have them.

use std::path::PathBuf;

use super::*;
use crate::disk::bytes::u32_at;
use crate::disk::limits;

fn delete(log: &DiskLog, name: &str) -> Sequence {
    append(log, Batch::deletion(topic(name))).unwrap().first
}

fn lasting(name: &str, data: &str, seconds: u64) -> Batch {
    Batch::of(NewEvent::text(topic(name), data).lasting(Some(Duration::from_secs(seconds))))
}

/// The format of each segment, oldest first.
fn formats(bench: &Bench, log: &DiskLog) -> Vec<u32> {
    let bases: Vec<_> = log.shared.view().segments.iter().map(|segment| segment.base()).collect();
    bases.iter().map(|base| u32_at(&bench.disk.contents(&log_file(*base)), 8)).collect()
}

#[test]
fn a_segment_has_the_second_format_where_it_is_needed() {
    let bench = Bench::new(64 << 10);
    let log = bench.open().unwrap();
    fill(&log, 10);
    assert_eq!(formats(&bench, &log), [limits::FORMAT], "older programs read it");
    append(&log, lasting("a", "x", 60)).unwrap();
    fill(&log, 10);
    delete(&log, "a");
    assert_eq!(formats(&bench, &log), [limits::FORMAT, limits::FORMAT_STATE]);
    drop(log);
    // An empty log begins with it.
    let bench = Bench::new(64 << 10);
    let log = bench.open().unwrap();
    let deleted = delete(&log, "a");
    assert_eq!((deleted, formats(&bench, &log)), (1, vec![limits::FORMAT_STATE]));
    drop(log);
    let log = bench.open().unwrap();
    assert_eq!(log.deleted_upto(&topic("a")), 1);
}

/// Whether the index of a segment is there, was lost, or the log was not closed.
#[test]
fn what_is_deleted_is_known_after_every_kind_of_start() {
    let bench = Bench::new(1 << 10);
    let log = bench.open().unwrap();
    append(&log, one("a", "gone")).unwrap();
    append(&log, one("b", "gone")).unwrap();
    let a = delete(&log, "a");
    let b = delete(&log, "b");
    append(&log, one("b", "anew")).unwrap();
    let check = |log: &DiskLog| {
        assert_eq!((log.deleted_upto(&topic("a")), log.deleted_upto(&topic("b"))), (a, b));
        let all = read(log);
        let visible: Vec<_> = all.iter().filter(|entry| entry.is_visible()).cloned().collect();
        assert_eq!(data(&visible[..1]), ["anew"]);
        assert!(all.iter().any(|entry| entry.sequence == a && entry.deletes()));
        assert_eq!(runtime().block_on(log.topic(&topic("a"))).unwrap(), None);
    };
    check(&log);
    fill(&log, 100);
    runtime().block_on(log.tidy());
    drop(log);
    check(&bench.open().unwrap());
    for name in bench.disk.names(Path::new(DIR)).unwrap() {
        if name.ends_with(".index") {
            bench.disk.remove(&PathBuf::from(DIR).join(name)).unwrap();
        }
    }
    check(&bench.open().unwrap());
}

#[test]
fn a_deletion_is_forgotten_with_what_it_is_about() {
    let mut bench = Bench::new(1 << 10);
    bench.config.retention.bytes = 4 << 10;
    let log = bench.open().unwrap();
    append(&log, one("a", "gone")).unwrap();
    delete(&log, "a");
    fill(&log, 300);
    runtime().block_on(log.tidy());
    assert_eq!(log.deleted_upto(&topic("a")), 0);
    assert_eq!(log.topic_count(), 3);
}

/// A clock that goes ahead lets events expire, and one that goes back lets them be read again: it never makes a gap.
#[test]
fn the_clock_says_what_has_expired() {
    let bench = Bench::new(64 << 10);
    let log = bench.open().unwrap();
    append(&log, lasting("a", "short", 60)).unwrap();
    append(&log, one("a", "stays")).unwrap();
    append(&log, lasting("a", "long", 600)).unwrap();
    assert_eq!(data(&read(&log)), ["short", "stays", "long"]);
    bench.pass(Duration::from_secs(60));
    assert_eq!(data(&read(&log)), ["stays", "long"]);
    bench.pass(Duration::from_secs(3_000));
    assert_eq!(data(&read(&log)), ["stays"]);
    bench.clock.fetch_sub(3_030_000, Ordering::Relaxed);
    assert_eq!(data(&read(&log)), ["short", "stays", "long"]);
}
