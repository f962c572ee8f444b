use std::sync::Mutex;

use super::*;

/// What publishers were told: batches by their key, each with the number of events.
type Acknowledged = Arc<Mutex<Vec<(Sequence, u32, u64)>>>;

/// A copy: the moment of the crash wants the lock while the disk is held.
fn known(told: &Acknowledged) -> Vec<(Sequence, u32, u64)> {
    told.lock().unwrap().clone()
}

/// Appends random batches, some at the same time, and notes what was acknowledged.
fn publish(log: &Arc<DiskLog>, told: &Acknowledged, random: &mut fastrand::Rng, rounds: usize) {
    runtime().block_on(async {
        for _ in 0..rounds {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..random.usize(1..5) {
                let id = random.u64(..);
                let size = random.usize(0..400);
                let count = random.u32(1..4);
                let text = |place| format!("{id} {place} {count} {}", "x".repeat(size));
                let event = |place| NewEvent::text(topic(&format!("t/{}", id % 3)), text(place));
                let batch = Batch { events: (0..count).map(event).collect(), close: None, idempotency: None };
                let (log, told) = (Arc::clone(log), Arc::clone(told));
                tasks.spawn(async move {
                    if let Ok(appended) = log.append(batch).await {
                        told.lock().unwrap().push((appended.first, appended.count, id));
                    }
                });
            }
            while tasks.join_next().await.is_some() {}
        }
    });
}

/// Checks that what was told is there, in whole batches, without holes.
fn check(log: &DiskLog, told: &[(Sequence, u32, u64)], seed: u64) {
    let entries = read(log);
    let mut found = std::collections::HashMap::new();
    let mut at = 0;
    while at < entries.len() {
        let text = String::from_utf8(entries[at].data.to_vec()).unwrap();
        let mut words = text.split(' ');
        let id: u64 = words.next().unwrap().parse().unwrap();
        assert_eq!(words.next(), Some("0"), "seed {seed}: a batch begins with its first event");
        let count: u32 = words.next().unwrap().parse().unwrap();
        for place in 0..count {
            let entry = &entries[at + place as usize];
            assert_eq!(entry.sequence, (at as u64) + 1 + u64::from(place), "seed {seed}");
            assert!(
                entry.data.starts_with(format!("{id} {place} ").as_bytes()),
                "seed {seed}: a batch is whole"
            );
        }
        assert!(found.insert(id, (at as u64 + 1, count)).is_none());
        at += count as usize;
    }
    for &(first, count, id) in told {
        assert_eq!(found.get(&id), Some(&(first, count)), "seed {seed}: an acknowledged batch is lost");
    }
}

/// Cuts the power, or kills the process, at a random operation on the disk, again and again.
fn survive(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::new(random.u64(1_000..6_000));
    let told = Acknowledged::default();
    for _ in 0..4 {
        let found = Arc::new(Mutex::new(None));
        let at = bench.disk.operations() + random.u64(1..120);
        {
            let (found, told) = (Arc::clone(&found), Arc::clone(&told));
            bench.disk.at(at, move |disk| {
                *found.lock().unwrap() = Some((disk, told.lock().unwrap().clone()));
            });
        }
        let log = Arc::new(bench.open().unwrap_or_else(|error| panic!("seed {seed}: {error}")));
        check(&log, &known(&told), seed);
        publish(&log, &told, &mut random, 12);
        let crash = found.lock().unwrap().take();
        let Some((disk, before)) = crash else { continue };
        drop(log);
        let power = random.bool();
        bench = bench.on(if power { disk.after_power_cut(&mut random) } else { disk });
        *told.lock().unwrap() = before;
    }
    let log = bench.open().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    check(&log, &known(&told), seed);
}

#[test]
fn no_power_cut_loses_what_was_acknowledged_or_keeps_the_log_from_opening() {
    for seed in 0..300 {
        survive(seed);
    }
}
