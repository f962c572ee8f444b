//! How fast the disk log acknowledges, beside what the disk itself takes.
//!
//! `cargo run --release -p tidings-log --example append_rate -- [publishers] [events] [dir] [sync|os]`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that measures and prints")]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_log::{Batch, DiskConfig, DiskLog, Durability, Log};
use tidings_protocol::{NewEvent, Topic};

const DATA: usize = 200;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let publishers = arguments.next().map_or(64, |text| text.parse().unwrap());
    let events: usize = arguments.next().map_or(200_000, |text| text.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let dir = arguments.next().map_or_else(|| scratch.path().to_path_buf(), PathBuf::from);
    let durability = match arguments.next().as_deref() {
        Some("os") => Durability::Os,
        _ => Durability::Sync,
    };

    std::fs::create_dir_all(&dir).unwrap();
    let bare = bare_sync(&dir.join("bare"));
    println!("bare fdatasync of {DATA} bytes in a filled file: p50 {bare:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for tasks in [1, publishers] {
        let log = Arc::new(
            DiskLog::open(
                dir.join(format!("log-{tasks}")),
                DiskConfig { durability, ..DiskConfig::default() },
            )
            .unwrap(),
        );
        let events = if tasks == 1 { events / 10 } else { events };
        let (elapsed, p50, p99) = runtime.block_on(append(&log, tasks, events));
        let rate = events as f64 / elapsed.as_secs_f64();
        println!(
            "{tasks} publishers, {events} events: {rate:.0} events/s, p50 {p50:?}, p99 {p99:?}, p50 is {:.2} x bare",
            p50.as_secs_f64() / bare.as_secs_f64()
        );
        runtime.block_on(log.close()).unwrap();
    }
}

async fn append(log: &Arc<DiskLog>, tasks: usize, events: usize) -> (Duration, Duration, Duration) {
    let started = Instant::now();
    let local = tokio::task::LocalSet::new();
    let each = events / tasks;
    let mut latencies = Vec::with_capacity(events);
    local
        .run_until(async {
            let publishers: Vec<_> = (0..tasks)
                .map(|task| {
                    let log = Arc::clone(log);
                    tokio::task::spawn_local(async move {
                        let topic = Topic::new(&format!("rate/{}", task % 100)).unwrap();
                        let data = "x".repeat(DATA);
                        let mut latencies = Vec::with_capacity(each);
                        for _ in 0..each {
                            let event = NewEvent::text(topic.clone(), data.clone());
                            let began = Instant::now();
                            log.append(Batch::of(event)).await.unwrap();
                            latencies.push(began.elapsed());
                        }
                        latencies
                    })
                })
                .collect();
            for publisher in publishers {
                latencies.extend(publisher.await.unwrap());
            }
        })
        .await;
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    (elapsed, latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100])
}

/// The median of a write and an fdatasync, one after the other, in a file that is full of zeros.
fn bare_sync(path: &Path) -> Duration {
    let file = std::fs::File::create(path).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..16).for_each(|part| file.write_all_at(&zeros, part << 20).unwrap());
    file.sync_all().unwrap();
    let data = [1; DATA + 48];
    let mut latencies: Vec<_> = (0..5_000)
        .map(|number| {
            let began = Instant::now();
            file.write_all_at(&data, number * data.len() as u64).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    std::fs::remove_file(path).unwrap();
    latencies.sort_unstable();
    latencies[latencies.len() / 2]
}
