use super::super::faults::Fault;
use super::*;

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    let bench = Bench::new(1 << 10);
    let log = bench.open().unwrap();
    fill(&log, 3);
    runtime().block_on(log.tidy());
    bench.disk.set_capacity(Some(bench.disk.used()));
    let mut acknowledged = vec!["0".to_owned(), "1".to_owned(), "2".to_owned()];
    let refused = loop {
        let text = format!("n{}", acknowledged.len());
        match append(&log, one("a", &text)) {
            Ok(_) => acknowledged.push(text),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
    runtime().block_on(log.tidy());
    assert!(log.ready().is_err(), "a full log is not ready");
    let killed = bench.on(bench.disk.after_kill());
    assert_eq!(data(&read(&killed.open().unwrap())), acknowledged);
    bench.disk.set_capacity(None);
    append(&log, one("a", "again")).unwrap();
    assert_eq!(log.ready(), Ok(()));
    acknowledged.push("again".into());
    assert_eq!(data(&read(&log)), acknowledged);
}

#[test]
fn a_write_that_finds_no_room_leaves_nothing() {
    let bench = Bench::new(64 << 10);
    let log = bench.open().unwrap();
    fill(&log, 3);
    bench.disk.set_fault(Some(Fault::WriteFull(4_096)));
    let event = || NewEvent::text(topic("a"), "x".repeat(100));
    let batch = Batch { events: vec![event(); 50], close: None, idempotency: None };
    assert!(matches!(append(&log, batch.clone()), Err(AppendError::Full { .. })));
    let batch = keyed(batch, "k");
    assert!(matches!(append(&log, batch.clone()), Err(AppendError::Full { .. })));
    assert_eq!(log.ready(), Ok(()));
    let end = *offsets(&bench, 1).last().unwrap() + super::super::record::FENCE_BYTES;
    let rest = &bench.disk.contents(&log_file(1))[end as usize..];
    assert!(rest.iter().all(|&byte| byte == 0), "what was refused is not on the disk");
    // One that fits has the size of the first of the refused: the second would go on from it.
    append(&log, Batch::of(event())).unwrap();
    for seed in 0..20 {
        let cut = bench.on(bench.disk.after_power_cut(&mut fastrand::Rng::with_seed(seed)));
        assert_eq!(data(&read(&cut.open().unwrap())), ["0", "1", "2", &"x".repeat(100)]);
    }
    bench.disk.set_fault(None);
    let appended = append(&log, batch).unwrap();
    assert_eq!((appended.first, appended.count, appended.duplicate), (5, 50, false));
}

#[test]
fn a_batch_larger_than_a_segment_has_one_of_its_own() {
    let bench = Bench::new(4 << 10);
    let log = bench.open().unwrap();
    for round in 0..3 {
        let text = "x".repeat(20_000 + round);
        append(&log, one("large", &text)).unwrap();
        append(&log, one("small", "s")).unwrap();
    }
    let lengths = |log: &DiskLog| read(log).iter().map(|entry| entry.data.len()).collect::<Vec<_>>();
    assert_eq!(lengths(&log), [20_000, 1, 20_001, 1, 20_002, 1]);
    drop(log);
    assert_eq!(lengths(&bench.open().unwrap()), [20_000, 1, 20_001, 1, 20_002, 1]);
    let log = bench.open().unwrap();
    let huge = one("huge", &"x".repeat(DiskLog::BATCH_BYTES));
    assert!(matches!(append(&log, huge), Err(AppendError::TooLarge { limit: DiskLog::BATCH_BYTES, .. })));
}
