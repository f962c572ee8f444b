use super::super::faults::Fault;
use super::*;

#[test]
fn a_sync_that_fails_ends_all_writing() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 3);
    bench.disk.set_fault(Some(Fault::Sync));
    let failed = append(&log, one("a", "lost")).unwrap_err();
    assert!(
        matches!(&failed, AppendError::Unavailable(reason) if reason.reason.contains("sync")),
        "{failed}"
    );
    // The disk is sound again, but what it holds is not known: still nothing is acknowledged.
    bench.disk.set_fault(None);
    assert_eq!(append(&log, one("a", "later")), Err(failed));
    assert!(log.ready().is_err());
    assert_eq!(data(&read(&log)), ["0", "1", "2"], "what was not synced is not shown");
    assert!(runtime().block_on(log.close()).is_err());
}

#[test]
fn after_a_failed_sync_a_restart_writes_again_what_the_cache_alone_holds() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 3);
    bench.disk.set_fault(Some(Fault::Sync));
    append(&log, one("a", "in the cache")).unwrap_err();
    let restarted = bench.on(bench.disk.after_kill());
    let log = restarted.open().unwrap();
    let seen = data(&read(&log));
    assert_eq!(seen, ["0", "1", "2", "in the cache"], "the publisher was told that it is not known");
    for seed in 0..20 {
        let after = restarted.on(restarted.disk.after_power_cut(&mut fastrand::Rng::with_seed(seed)));
        assert_eq!(data(&read(&after.open().unwrap())), seen, "what was shown once stays");
    }
}

#[test]
fn a_write_that_fails_ends_all_writing() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 3);
    bench.disk.set_fault(Some(Fault::Write));
    assert!(matches!(append(&log, one("a", "lost")), Err(AppendError::Unavailable(_))));
    bench.disk.set_fault(None);
    assert!(matches!(append(&log, one("a", "lost")), Err(AppendError::Unavailable(_))));
    drop(log);
    assert_eq!(data(&read(&bench.open().unwrap())), ["0", "1", "2"]);
}

#[test]
fn who_publishes_alone_soon_writes_for_itself() {
    let bench = Bench::new(64 << 10);
    let log = bench.open().unwrap();
    let own = std::thread::current().id();
    // How soon is for the system to say, which has other things to do as well.
    let rounds = (1..=50).find(|_| {
        fill(&log, 200);
        bench.disk.syncs().contains(&own)
    });
    let rounds = rounds.expect("not every sync to be the writer's");
    drop(log);
    let again = bench.on(bench.disk.after_power_cut(&mut fastrand::Rng::with_seed(1)));
    let log = again.open().unwrap();
    let expected: Vec<_> = (0..rounds).flat_map(|_| 0..200).map(|number: u32| number.to_string()).collect();
    assert_eq!(data(&read(&log)), expected);
}

#[test]
fn who_writes_for_itself_is_told_of_a_failed_sync() {
    let bench = Bench::new(64 << 10);
    let log = bench.open().unwrap();
    let own = std::thread::current().id();
    let alone = (0..10_000).any(|_| {
        fill(&log, 1);
        bench.disk.syncs().last() == Some(&own)
    });
    assert!(alone, "every sync was the writer's");
    let before = log.bounds().latest;
    bench.disk.set_fault(Some(Fault::Sync));
    let failed = append(&log, one("a", "lost")).unwrap_err();
    assert!(matches!(failed, AppendError::Unavailable(_)), "{failed}");
    bench.disk.set_fault(None);
    assert_eq!(append(&log, one("a", "later")), Err(failed));
    assert_eq!(log.bounds().latest, before);
    assert!(runtime().block_on(log.close()).is_err());
}

#[test]
fn who_writes_for_itself_while_the_log_is_closed_writes_nothing_after_its_end() {
    for _ in 0..50 {
        let bench = Bench::new(64 << 10);
        let log = Arc::new(bench.open().unwrap());
        fill(&log, 20);
        let publisher = std::thread::spawn({
            let log = Arc::clone(&log);
            move || (0..).take_while(|_| append(&log, one("a", "x")).is_ok()).count()
        });
        runtime().block_on(log.close()).unwrap();
        let appended = publisher.join().unwrap();
        drop(log);
        let again = bench.open().unwrap();
        assert_eq!(again.bounds().latest, 20 + appended as u64);
    }
}

#[test]
fn a_keeper_that_panics_ends_the_writing() {
    let bench = Bench::new(1 << 10);
    let log = bench.open().unwrap();
    bench.disk.set_fault(Some(Fault::PanicAtShortening));
    let error = loop {
        if let Err(error) = append(&log, one("a", "x")) {
            break error;
        }
    };
    assert!(error.to_string().contains("keeper"), "{error}");
    assert!(log.ready().is_err());
    assert!(runtime().block_on(log.close()).is_err());
}
