use super::*;

/// A disk with one event less than `log` has, and every state that writing the last one may leave.
#[test]
fn a_write_that_is_torn_at_any_byte_is_cut_off() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 5);
    let batch = Batch {
        events: vec![NewEvent::text(topic("a"), "first"), NewEvent::text(topic("b"), "second")],
        close: None,
        idempotency: None,
    };
    // Before the fence of an idle log, as the writer leaves it to a group that is under way.
    let before = bench.disk.contents(&log_file(1));
    append(&log, batch).unwrap();
    let after = bench.disk.after_kill().contents(&log_file(1));
    let places = offsets(&bench.on(bench.disk.after_kill()), 1);
    let (start, end) = (places[5] as usize, places[7] as usize);
    // What is missing of the padding is zero anyway.
    let whole = places[6] as usize + super::super::bytes::u32_at(&after, places[6] as usize + 8) as usize;
    for cut in start..=end {
        let torn = bench.on(bench.disk.after_kill());
        torn.disk.damage(&log_file(1), |bytes| {
            bytes.copy_from_slice(&before);
            bytes[start..cut].copy_from_slice(&after[start..cut]);
        });
        let log = torn.open().unwrap_or_else(|error| panic!("torn at byte {cut}: {error}"));
        let expected = if cut < whole { 5 } else { 7 };
        assert_eq!(log.bounds().latest, expected, "torn at byte {cut}");
        // What is appended now takes the place, and nothing of the torn write shows through.
        let next = append(&log, one("c", "x")).unwrap().first;
        assert_eq!(next, expected + 1);
        let again = torn.on(torn.disk.after_kill()).open().unwrap();
        assert_eq!(data(&read(&again)).last().map(String::as_str), Some("x"));
        assert_eq!(read(&again).len() as u64, next);
    }
}

#[test]
fn data_that_looks_like_a_record_is_only_data() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 2);
    // A publisher who has seen a log file sends a fence of that log as data.
    let places = offsets(&bench, 1);
    let other = Bench::new(8 << 10);
    let other_log = other.open().unwrap();
    fill(&other_log, 2);
    drop(other_log);
    let record = other.disk.contents(&log_file(1))[places[0] as usize..places[1] as usize].to_vec();
    let event = NewEvent::binary(topic("a"), record.repeat(5));
    append(&log, Batch::of(event)).unwrap();
    let torn = bench.on(bench.disk.after_kill());
    torn.disk.damage(&log_file(1), |bytes| {
        bytes[places[2] as usize..places[2] as usize + 36].fill(0);
        let end = bytes.len();
        // Without the fence that follows, this is a torn write.
        let fence = (0..end - 36)
            .rev()
            .find(|&at| bytes[at..at + 4] == bytes[places[0] as usize..places[0] as usize + 4]);
        let fence = fence.filter(|&fence| fence > places[2] as usize);
        if let Some(fence) = fence {
            bytes[fence..fence + 40].fill(0);
        }
    });
    assert_eq!(torn.open().unwrap().bounds().latest, 2);
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 2);
    let event = || NewEvent::text(topic("a"), "same size");
    append(&log, Batch { events: vec![event(), event(), event()], close: None, idempotency: None }).unwrap();
    let places = offsets(&bench, 1);
    // The second and the third are on the disk, the first is not, and nobody was told.
    let torn = bench.on(bench.disk.after_kill());
    torn.disk.damage(&log_file(1), |bytes| {
        bytes[places[2] as usize..places[3] as usize].fill(0);
        bytes[places[5] as usize..].fill(0);
    });
    let log = torn.open().unwrap();
    assert_eq!(log.bounds().latest, 2);
    let rest = &torn.disk.contents(&log_file(1))[places[2] as usize..];
    assert!(rest.iter().all(|&byte| byte == 0));
    append(&log, Batch::of(event())).unwrap();
    let again = torn.on(torn.disk.after_kill());
    assert_eq!(again.open().unwrap().bounds().latest, 3);
}
