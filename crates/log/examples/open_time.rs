//! How long opening takes, and reading one topic far back, with many events in many segments.
//!
//! `cargo run --release -p tidings-log --example open_time -- [events] [topics] [dir]`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures and prints")]

use std::path::PathBuf;
use std::time::Instant;

use tidings_log::{Batch, DiskConfig, DiskLog, Durability, Log, Position, ReadLimits, Retention};
use tidings_protocol::{NewEvent, Selection, Selector, Topic};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let events: u64 = arguments.next().map_or(10_000_000, |text| text.parse().unwrap());
    let topics: u64 = arguments.next().map_or(1_000, |text| text.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let dir = arguments.next().map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    let retention = Retention { bytes: 1 << 40, ..Retention::default() };
    let config = DiskConfig { retention, durability: Durability::Os, ..DiskConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    let log = DiskLog::open(&dir, config).unwrap();
    let began = Instant::now();
    let mut appended = log.bounds().latest;
    while appended < events {
        let event = |number: u64| {
            let topic =
                if number % 1_000_000 == 7 { "rare".to_owned() } else { format!("t/{}", number % topics) };
            NewEvent::text(Topic::new(&topic).unwrap(), format!("{number:0200}"))
        };
        let batch = (appended..(appended + 1_000).min(events)).map(event).collect();
        let batch = Batch { events: batch, close: None, idempotency: None };
        appended = runtime.block_on(log.append(batch)).unwrap().last();
    }
    println!("{events} events appended in {:?}", began.elapsed());
    let began = Instant::now();
    runtime.block_on(log.close()).unwrap();
    drop(log);
    println!("closed in {:?}", began.elapsed());

    for _ in 0..3 {
        let began = Instant::now();
        let log = DiskLog::open(&dir, config).unwrap();
        println!("opened in {:?}: {:?}", began.elapsed(), log.bounds());
    }
    let log = DiskLog::open(&dir, config).unwrap();
    for selector in ["rare", "t/5", "t/*", "none/*"] {
        let selection = Selection::new([Selector::new(selector).unwrap()]);
        let began = Instant::now();
        let (mut after, mut count, mut chunks) = (0, 0, 0);
        loop {
            let limits = ReadLimits { entries: 1_000, bytes: 1 << 20 };
            let chunk = runtime.block_on(log.read(after, &selection, limits)).unwrap();
            count += chunk.entries.len();
            chunks += 1;
            if chunk.next == after {
                break;
            }
            after = chunk.next;
        }
        println!("{selector}: {count} events in {chunks} chunks, {:?}", began.elapsed());
        let began = Instant::now();
        let place = runtime.block_on(log.locate(Position::Last(10), &selection)).unwrap();
        println!("{selector}: the last ten are after {place}, {:?}", began.elapsed());
    }
    println!("memory: {}", memory());
}

/// The largest resident size so far, as the system writes it.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap_or("unknown").split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}
