//! Whose cursors are continued after a restart, a crash, a power cut, and a copy that was restored.

use tidings_protocol::{Cursor, GapReason, Sequence};

use super::super::Durability;
use super::*;

/// Appends so many events, and gives their ids as publishers and readers were told.
fn publish(log: &DiskLog, count: usize) -> Vec<Cursor> {
    let ids = (0..count).map(|number| append(log, one("a", &number.to_string())).unwrap());
    ids.map(|appended| Cursor::new(appended.epoch, appended.first)).collect()
}

fn resume(log: &DiskLog, cursor: Cursor) -> Result<Sequence, GapReason> {
    log.bounds().resume(cursor)
}

#[test]
fn each_opening_has_an_epoch_and_events_keep_theirs() {
    let mut bench = Bench::new(1 << 10);
    for durability in [Durability::Sync, Durability::Os] {
        bench = bench.on(FaultyFiles::default());
        bench.config.durability = durability;
        let mut ids = vec![bench.open().unwrap().bounds().lineage.id(0)];
        let mut epochs = Vec::new();
        for round in 0..20 {
            let log = bench.open().unwrap();
            epochs.push(log.bounds().epoch());
            ids.extend(publish(&log, round % 4));
            for (sequence, id) in ids.iter().enumerate() {
                assert_eq!(log.bounds().lineage.id(sequence as u64), *id);
                assert_eq!(resume(&log, *id), Ok(sequence as u64));
            }
            assert_eq!(resume(&log, Cursor::new(epochs[0], 1_000)), Err(GapReason::Ahead));
            if round % 3 == 0 {
                // Not closed.
                bench = bench.on(bench.disk.after_kill());
            }
        }
        epochs.sort_unstable_by_key(ToString::to_string);
        epochs.dedup();
        assert_eq!(epochs.len(), 20, "each is another");
    }
}

#[test]
fn a_hub_that_is_started_often_and_writes_nothing_leaves_no_trace() {
    let bench = Bench::new(8 << 10);
    let id = publish(&bench.open().unwrap(), 1)[0];
    let mut state = bench.disk.contents(&Path::new(DIR).join("state")).len();
    for round in 0..100 {
        let log = bench.open().unwrap();
        assert_eq!(log.bounds().lineage.past(), [id], "round {round}");
        assert_eq!(log.bounds().lineage.id(1), id);
        drop(log);
        let now = bench.disk.contents(&Path::new(DIR).join("state")).len();
        assert!(round == 0 || now == state, "{now} bytes after {state}");
        state = now;
    }
}

#[test]
fn a_copy_that_is_restored_tells_those_alone_who_had_seen_more() {
    let mut bench = Bench::new(8 << 10);
    for (durability, is_closed) in
        [(Durability::Sync, false), (Durability::Sync, true), (Durability::Os, false), (Durability::Os, true)]
    {
        bench = bench.on(FaultyFiles::default());
        bench.config.durability = durability;
        let mut log = Some(bench.open().unwrap());
        let before = publish(log.as_ref().unwrap(), 10);
        if is_closed {
            log = None;
        }
        let copy = bench.on(bench.disk.after_kill());
        let log = log.unwrap_or_else(|| bench.open().unwrap());
        let lost = publish(&log, 10);
        drop(log);

        let restored = copy.open().unwrap();
        let new = publish(&restored, 15);
        assert_eq!((lost[0].sequence, new[0].sequence), (11, 11), "the numbers are given out again");
        for (number, id) in before.iter().enumerate() {
            assert_eq!(resume(&restored, *id), Ok(number as u64 + 1));
        }
        let told = if is_closed { GapReason::Unknown } else { GapReason::Ahead };
        for id in &lost {
            assert_eq!(resume(&restored, *id), Err(told), "{id}");
        }
        // And the other way round, where the original goes on after all.
        let original = bench.open().unwrap();
        for id in new {
            assert_eq!(resume(&original, id), Err(GapReason::Unknown));
        }
        for id in before.iter().chain(&lost) {
            assert_eq!(resume(&original, *id), Ok(id.sequence));
        }
    }
}

#[test]
fn a_power_cut_is_told_to_those_who_lost_something() {
    for durability in [Durability::Sync, Durability::Os] {
        let mut losses = 0;
        for seed in 0..100 {
            let mut bench = Bench::new(2 << 10);
            bench.config.durability = durability;
            let mut ids = publish(&bench.open().unwrap(), 7);
            let log = bench.open().unwrap();
            ids.extend(publish(&log, 30));
            let cut = bench.on(bench.disk.after_power_cut(&mut fastrand::Rng::with_seed(seed)));
            let log = cut.open().unwrap();
            let latest = log.bounds().latest;
            losses += usize::from(latest < 37);
            let new = publish(&log, 5);
            for id in &ids {
                let expected = if id.sequence <= latest { Ok(id.sequence) } else { Err(GapReason::Ahead) };
                assert_eq!(resume(&log, *id), expected, "seed {seed}, {latest} left: {id}");
            }
            assert!(new.iter().all(|id| !ids.contains(id)), "no id is given twice");
        }
        match durability {
            Durability::Sync => assert_eq!(losses, 0, "what was acknowledged is there"),
            Durability::Os => assert!(losses > 0, "nothing was ever lost, so nothing was tried"),
        }
    }
}

#[test]
fn a_repetition_has_the_id_that_it_had() {
    let bench = Bench::new(1 << 10);
    let first = append(&bench.open().unwrap(), keyed(one("a", "x"), "k")).unwrap();
    for _ in 0..3 {
        let log = bench.open().unwrap();
        publish(&log, 20);
        let again = append(&log, keyed(one("a", "x"), "k")).unwrap();
        assert_eq!((again.epoch, again.first, again.duplicate), (first.epoch, first.first, true));
    }
}
