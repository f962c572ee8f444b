use super::super::record::{ALIGN, FENCE_BYTES, HEADER, Stamp, encode_fence};
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

/// The stamp of the records in a log's first segment.
fn stamp(bench: &Bench) -> Stamp {
    let header = segment::Header::decode(&bench.disk.contents(&log_file(1)));
    header.expect("a segment has a header").stamp
}

/// A publisher who has seen the files of another log sends a fence as data, at a place where a record may begin; and the write
/// of it is torn. With the stamp of this log's own segment, which nobody outside knows, it would be taken for damage.
#[test]
fn data_that_looks_like_a_record_is_only_data() {
    for is_own in [false, true] {
        let bench = Bench::new(8 << 10);
        let log = bench.open().unwrap();
        fill(&log, 2);
        let other = Bench::new(8 << 10);
        drop(other.open().unwrap());
        let stamp = stamp(if is_own { &bench } else { &other });
        let mut fence = Vec::new();
        encode_fence(&mut fence, 9, Timestamp::from_millis(1), stamp);
        fence.resize(FENCE_BYTES as usize, 0);
        let before = bench.disk.after_kill().contents(&log_file(1));
        let start = offsets(&bench.on(bench.disk.after_kill()), 1)[2] as usize;
        // The fixed part and the topic take forty bytes.
        let name = "four";
        assert!((HEADER + name.len()).is_multiple_of(ALIGN as usize));
        append(&log, Batch::of(NewEvent::binary(topic(name), fence.repeat(5)))).unwrap();
        let after = bench.disk.after_kill().contents(&log_file(1));
        let (data, end) = (start + HEADER + name.len(), start + HEADER + name.len() + 5 * fence.len());
        assert_eq!(after[data..end], fence.repeat(5));
        // All of the write is there but for its beginning, and nothing that was written later.
        let torn = bench.on(bench.disk.after_kill());
        torn.disk.damage(&log_file(1), |bytes| {
            bytes.copy_from_slice(&before);
            bytes[start..start + HEADER].fill(0);
            bytes[start + HEADER..end].copy_from_slice(&after[start + HEADER..end]);
        });
        match torn.open() {
            Ok(log) if !is_own => assert_eq!(log.bounds().latest, 2),
            Err(OpenError::Damaged { .. }) if is_own => {}
            other => panic!("with the stamp of {}: {other:?}", if is_own { "its own" } else { "another" }),
        }
    }
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
