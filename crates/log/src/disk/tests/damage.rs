use super::*;

#[test]
fn one_directory_serves_one_log() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    match bench.open() {
        Err(OpenError::Locked { dir }) => assert_eq!(dir, Path::new(DIR)),
        other => panic!("{other:?}"),
    }
    drop(log);
    bench.open().unwrap();
}

/// Every byte of every record matters: flipped, the log is refused, and the message says where.
#[test]
fn a_flipped_byte_in_the_newest_segment_refuses() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 6);
    // The fence of an idle log is written after the answer.
    runtime().block_on(log.tidy());
    wait_for_fence(&bench);
    let killed = bench.disk.after_kill();
    let places = offsets(&bench.on(killed.clone()), 1);
    assert_eq!(places.len(), 7);
    for (number, range) in places.windows(2).enumerate() {
        let length =
            u64::from(super::super::bytes::u32_at(&killed.contents(&log_file(1)), range[0] as usize + 8));
        for at in (range[0]..range[0] + length).step_by(5) {
            let damaged = bench.on(killed.after_kill());
            damaged.disk.damage(&log_file(1), |bytes| bytes[at as usize] ^= 0x10);
            let before = damaged.disk.contents(&log_file(1));
            assert_eq!(damaged.refused(), (log_file(1), range[0]), "byte {at} of record {number}");
            assert_eq!(damaged.disk.contents(&log_file(1)), before, "nothing is changed");
        }
    }
}

/// Waits until the writer has nothing to do any more.
fn wait_for_fence(bench: &Bench) {
    let is_there = || {
        let end = *offsets(bench, 1).last().unwrap() as usize;
        let bytes = bench.disk.contents(&log_file(1));
        super::super::bytes::u16_at(&bytes, end + 12) & (1 << 7) != 0
    };
    let began = std::time::Instant::now();
    while !is_there() {
        assert!(began.elapsed() < Duration::from_secs(10), "an idle log has no fence");
        std::thread::yield_now();
    }
}

/// A busy log is killed: the fence of the last group tells damage before it from a torn end.
#[test]
fn each_group_vouches_for_those_before_it() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 6);
    wait_for_fence(&bench);
    let killed = bench.disk.after_kill();
    let places = offsets(&bench.on(killed.clone()), 1);
    killed.damage(&log_file(1), |bytes| bytes[places[6] as usize..].fill(0));
    for (number, &place) in places[..6].iter().enumerate() {
        let damaged = bench.on(killed.after_kill());
        damaged.disk.damage(&log_file(1), |bytes| bytes[place as usize + 20] ^= 1);
        if number < 5 {
            assert_eq!(damaged.refused(), (log_file(1), place));
        } else {
            assert_eq!(data(&read(&damaged.open().unwrap())), ["0", "1", "2", "3", "4"]);
        }
    }
}

#[test]
fn after_a_clean_end_a_lost_record_refuses() {
    let bench = Bench::new(8 << 10);
    let log = bench.open().unwrap();
    fill(&log, 6);
    drop(log);
    let places = offsets(&bench, 1);
    let damaged = bench.on(bench.disk.after_kill());
    damaged.disk.damage(&log_file(1), |bytes| bytes[places[5] as usize..].fill(0));
    assert_eq!(damaged.refused(), (log_file(1), places[5]));
}

fn sealed() -> (Bench, Vec<Sequence>) {
    let bench = Bench::new(1 << 10);
    let log = bench.open().unwrap();
    fill(&log, 60);
    drop(log);
    let names = bench.disk.names(Path::new(DIR)).unwrap();
    let mut bases: Vec<_> = names.iter().filter_map(|name| segment::base_of(name, "log")).collect();
    bases.sort_unstable();
    assert!(bases.len() > 3);
    (bench, bases)
}

#[test]
fn damage_in_a_sealed_segment_is_found_when_it_is_read() {
    let (bench, bases) = sealed();
    let places = offsets_of_sealed(&bench, bases[1]);
    bench.disk.damage(&log_file(bases[1]), |bytes| bytes[places[2] as usize + 38] ^= 1);
    let log = bench.open().unwrap();
    let number = (bases[1] + 2 - 1) % 3;
    for selector in ["**".to_owned(), format!("t/{number}"), format!("*/{number}")] {
        match try_read(&log, &selector) {
            Err(ReadError::Damaged { file, offset, .. }) => {
                assert_eq!(file, log_file(bases[1]));
                assert!(places.contains(&offset));
            }
            other => panic!("{selector}: {other:?}"),
        }
    }
}

fn offsets_of_sealed(bench: &Bench, base: Sequence) -> Vec<u64> {
    let bytes = bench.disk.contents(&log_file(base));
    let mut offsets = vec![segment::HEADER];
    while (*offsets.last().unwrap() as usize) < bytes.len() {
        let at = *offsets.last().unwrap();
        let length = super::super::bytes::u32_at(&bytes, at as usize + 8);
        offsets.push(at + super::super::record::padded(u64::from(length)));
    }
    offsets
}

#[test]
fn a_sealed_segment_that_is_too_short_refuses() {
    let (bench, bases) = sealed();
    let length = bench.disk.contents(&log_file(bases[1])).len();
    bench.disk.damage(&log_file(bases[1]), |bytes| bytes.truncate(length - 8));
    assert_eq!(bench.refused(), (log_file(bases[1]), length as u64 - 8));
    // Without its index as well.
    bench.disk.remove(&segment::path(Path::new(DIR), bases[1], "index")).unwrap();
    assert_eq!(bench.refused().0, log_file(bases[1]));
}

#[test]
fn a_missing_segment_refuses() {
    for lost in 0..4 {
        let (bench, bases) = sealed();
        let lost = if lost == 3 { bases[bases.len() - 1] } else { bases[lost] };
        bench.disk.remove(&log_file(lost)).unwrap();
        let (file, _) = bench.refused();
        let named = log_file(lost);
        let newest = log_file(bases[bases.len() - 2]);
        assert!(file == named || (lost == bases[bases.len() - 1] && file == newest), "{file:?}");
    }
    let (bench, bases) = sealed();
    bases.iter().for_each(|&base| bench.disk.remove(&log_file(base)).unwrap());
    bench.refused();
}

#[test]
fn a_lost_state_refuses() {
    let (bench, _) = sealed();
    bench.disk.remove(&Path::new(DIR).join("state")).unwrap();
    assert_eq!(bench.refused().0, Path::new(DIR).join("state"));
}

#[test]
fn a_missing_or_broken_index_is_made_again() {
    let (bench, bases) = sealed();
    let expected = data(&read(&bench.open().unwrap()));
    let index = |base| segment::path(Path::new(DIR), base, "index");
    let before = bench.disk.contents(&index(bases[1]));
    bench.disk.remove(&index(bases[0])).unwrap();
    for at in 0..before.len() {
        bench.disk.damage(&index(bases[1]), |bytes| bytes[at] ^= 4);
        let log = bench.open().unwrap();
        assert_eq!(data(&read(&log)), expected);
        // Postings are checked when they are read, and everything is there without them.
        for topic in ["t/0", "t/1", "t/2"] {
            assert_eq!(try_read(&log, topic).unwrap().len(), 20, "byte {at}");
        }
        drop(log);
        bench.disk.damage(&index(bases[1]), |bytes| bytes.clone_from(&before));
    }
    bench.disk.contents(&index(bases[0]));
}

#[test]
fn another_format_is_named() {
    let (bench, bases) = sealed();
    let state = Path::new(DIR).join("state");
    let text = String::from_utf8(bench.disk.contents(&state)).unwrap();
    let newer = bench.on(bench.disk.after_kill());
    newer.disk.damage(&state, |bytes| *bytes = text.replace("\"format\": 1", "\"format\": 2").into_bytes());
    assert!(matches!(newer.open(), Err(OpenError::UnknownFormat { found: 2, supported: 1, .. })));
    bench.disk.damage(&log_file(bases[0]), |bytes| bytes[8] = 9);
    assert!(matches!(bench.open(), Err(OpenError::UnknownFormat { found: 9, supported: 1, .. })));
}

#[test]
fn segments_of_another_log_refuse() {
    let ((bench, bases), (other, _)) = (sealed(), sealed());
    let foreign = other.disk.contents(&log_file(bases[1]));
    bench.disk.damage(&log_file(bases[1]), |bytes| *bytes = foreign);
    assert_eq!(bench.refused(), (log_file(bases[1]), 0));
}
