//! Idempotency keys and the bytes that they may take.

use super::super::limits;
use super::*;

/// Publishes with a key each, and discards by age, so that the keys outlive what they are keys of.
fn publish(bench: &Bench, log: &DiskLog, from: usize, count: usize) {
    for number in from..from + count {
        append(log, keyed(one("a", "x"), &format!("k{number}"))).unwrap();
        if number % 50 == 49 {
            bench.pass(Duration::from_secs(10));
            runtime().block_on(log.tidy());
        }
    }
}

fn key_files(bench: &Bench) -> u64 {
    let files: Arc<dyn Files> = Arc::new(bench.disk.clone());
    let names = files.names(Path::new(DIR)).unwrap();
    let keys = names.iter().filter(|name| name.ends_with(".keys"));
    keys.map(|name| bench.disk.contents(&Path::new(DIR).join(name)).len() as u64).sum()
}

fn bench() -> Bench {
    let mut bench = Bench::new(4 << 10);
    bench.config.retention = Retention { age: Duration::from_secs(60), bytes: 64 << 10 };
    bench.config.idempotency_window = Duration::from_secs(1_000_000);
    bench
}

#[test]
fn keys_that_outlive_their_segments_take_a_share_of_what_is_kept() {
    let bench = bench();
    let log = bench.open().unwrap();
    publish(&bench, &log, 0, 2_000);
    let share = bench.config.retention.bytes / limits::KEYS_SHARE;
    // Those of what is still kept come beside it; all 2,000 would take 130 KiB.
    let bounds = log.bounds();
    let bound = share + 70 * (bounds.latest - bounds.earliest + 100);
    let taken = key_files(&bench);
    assert!(taken > share / 2 && taken <= bound, "{taken} bytes of keys, where {bound} are the bound");
    // The latest are known, over a restart too; the oldest are not.
    drop(log);
    let log = bench.open().unwrap();
    assert!(append(&log, keyed(one("a", "x"), "k1999")).unwrap().duplicate);
    assert!(!append(&log, keyed(one("a", "x"), "k0")).unwrap().duplicate);
}

#[test]
fn keys_count_as_what_is_kept() {
    let mut bench = bench();
    bench.config.retention.age = Duration::from_secs(1_000_000);
    let log = bench.open().unwrap();
    publish(&bench, &log, 0, 3_000);
    runtime().block_on(log.tidy());
    let stats = log.stats();
    let most = bench.config.retention.bytes + (8 << 10);
    assert!(stats.bytes.unwrap() <= most, "{stats:?}");
    assert!(bench.disk.used() <= most + (24 << 10), "{} bytes on the disk", bench.disk.used());
}

#[test]
fn a_key_is_known_for_as_long_as_its_event_is_kept() {
    let mut bench = bench();
    bench.config.retention.age = Duration::from_secs(1_000_000);
    let log = bench.open().unwrap();
    publish(&bench, &log, 0, 1_000);
    runtime().block_on(log.tidy());
    let earliest = log.bounds().earliest;
    assert!(earliest > 1, "something is discarded");
    for number in [earliest as usize, 999] {
        assert!(append(&log, keyed(one("a", "x"), &format!("k{number}"))).unwrap().duplicate, "k{number}");
    }
}
