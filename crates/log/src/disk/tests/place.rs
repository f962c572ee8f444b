//! The log's folder: who may open it, what it takes, and what becomes of a log that loses it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use super::super::limits;
use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn modes(dir: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), mode(&entry.path()))).collect()
}

fn config() -> DiskConfig {
    DiskConfig { segment_bytes: Some(4 << 10), ..DiskConfig::default() }
}

#[test]
fn the_folder_is_its_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/log");
    let log = DiskLog::open(&dir, config()).unwrap();
    for number in 0..200 {
        append(&log, keyed(one("a", "x"), &number.to_string())).unwrap();
    }
    runtime().block_on(log.tidy());
    assert_eq!(mode(&dir), 0o700);
    let files = modes(&dir);
    for kind in ["LOCK", "state", ".log", ".index", ".keys"] {
        assert!(files.iter().any(|(name, _)| name.ends_with(kind)), "{kind} in {files:?}");
    }
    assert_eq!(
        files.iter().filter(|(_, mode)| *mode != 0o600).collect::<Vec<_>>(),
        [] as [&(String, u32); 0]
    );
}

#[test]
fn what_was_left_open_to_everybody_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    drop(DiskLog::open(dir.path(), config()).unwrap());
    let foreign = dir.path().join("notes.txt");
    fs::write(&foreign, "somebody's own").unwrap();
    for (name, _) in modes(dir.path()) {
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(DiskLog::open(dir.path(), config()).unwrap());
    assert_eq!(mode(dir.path()), 0o700);
    assert_eq!(mode(&foreign), 0o644, "it is not the log's");
    let open: Vec<_> = modes(dir.path()).into_iter().filter(|(_, mode)| *mode != 0o600).collect();
    assert_eq!(open, [("notes.txt".to_owned(), 0o644)]);
    // A group that somebody has let in on purpose stays.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).unwrap();
    drop(DiskLog::open(dir.path(), config()).unwrap());
    assert_eq!(mode(dir.path()), 0o750);
}

/// Appends until the log refuses, and says why.
fn refusal(log: &DiskLog) -> AppendError {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Err(error) = append(log, one("a", "x")) {
            return error;
        }
        assert!(Instant::now() < until, "the log takes writes that are lost");
        std::thread::yield_now();
    }
}

#[test]
fn a_folder_that_is_removed_ends_the_writing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    let log = DiskLog::open(&dir, DiskConfig::default()).unwrap();
    append(&log, one("a", "kept")).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let error = refusal(&log);
    assert!(matches!(error, AppendError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("removed, replaced or cut"), "{error}");
    assert!(log.ready().is_err());
}

#[test]
fn a_folder_in_whose_place_another_is_put_ends_the_writing() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("log");
    let log = DiskLog::open(&dir, DiskConfig::default()).unwrap();
    append(&log, one("a", "kept")).unwrap();
    fs::rename(&dir, parent.path().join("aside")).unwrap();
    drop(DiskLog::open(&dir, DiskConfig::default()).unwrap());
    assert!(refusal(&log).to_string().contains("removed, replaced or cut"));
}

#[test]
fn a_quiet_log_notices_too_that_its_folder_is_gone() {
    let bench = Bench::new(1 << 20);
    let log = bench.open().unwrap();
    append(&log, one("a", "kept")).unwrap();
    bench.disk.remove_folder();
    let until = Instant::now() + Duration::from_secs(30);
    while log.ready().is_ok() {
        assert!(Instant::now() < until, "a log without its folder is ready");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_segment_that_is_cut_ends_the_writing() {
    let parent = tempfile::tempdir().unwrap();
    let log = DiskLog::open(parent.path(), DiskConfig::default()).unwrap();
    append(&log, one("a", "kept")).unwrap();
    let active = parent.path().join("00000000000000000001.log");
    fs::OpenOptions::new().write(true).open(active).unwrap().set_len(0).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while log.ready().is_ok() {
        assert!(Instant::now() < until, "a log whose segment is gone is ready");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(refusal(&log).to_string().contains("removed, replaced or cut"));
}

#[test]
fn rolling_is_no_removal() {
    let bench = Bench::new(1 << 10);
    let log = bench.open().unwrap();
    let until = Instant::now() + 3 * limits::PLACE_CHECK;
    while Instant::now() < until {
        fill(&log, 20);
    }
    assert_eq!(log.ready(), Ok(()));
}

fn sizes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries.map(|entry| entry.metadata().unwrap().len()).sum()
}

#[test]
fn an_empty_log_is_small_and_grows_with_what_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let log = DiskLog::open(dir.path(), DiskConfig::default()).unwrap();
    runtime().block_on(log.tidy());
    let empty = sizes(dir.path());
    assert!(empty <= 2 * limits::SEGMENT_BYTES_FIRST + (64 << 10), "{empty} bytes");
    let data = "x".repeat(1 << 20);
    for _ in 0..20 {
        append(&log, one("a", &data)).unwrap();
    }
    runtime().block_on(log.tidy());
    let segments = log.stats().segments.unwrap();
    assert!((2..=8).contains(&segments), "segments grow: {segments}");
    drop(log);
    let log = DiskLog::open(dir.path(), DiskConfig::default()).unwrap();
    assert_eq!(read(&log).len(), 20);
}

#[test]
fn a_quiet_log_stays_small() {
    let bench = Bench { config: DiskConfig { segment_bytes: None, ..Bench::new(1).config }, ..Bench::new(1) };
    let log = bench.open().unwrap();
    for _ in 0..20 {
        append(&log, one("a", "x")).unwrap();
        // An eighth of the age that is kept, after which the segment is ended.
        bench.pass(Duration::from_secs(500));
        runtime().block_on(log.tidy());
    }
    assert!(log.stats().segments.unwrap() > 3);
    let used = bench.disk.used();
    assert!(used <= 2 * limits::SEGMENT_BYTES_FIRST + (64 << 10), "{used} bytes");
}

#[test]
fn a_disk_without_room_says_how_much_is_wanted() {
    let bench = Bench { config: DiskConfig { segment_bytes: None, ..Bench::new(1).config }, ..Bench::new(1) };
    bench.disk.set_capacity(Some(100 << 10));
    let error = bench.open().unwrap_err().to_string();
    assert!(error.contains(&limits::SEGMENT_BYTES_FIRST.to_string()), "{error}");
}

#[test]
fn a_clock_that_was_ahead_is_told() {
    let bench = Bench::new(1 << 20);
    let log = bench.open().unwrap();
    bench.pass(Duration::from_secs(1_000_000));
    append(&log, one("a", "x")).unwrap();
    assert_eq!(log.stats().clock_behind, Some(Duration::ZERO));
    bench.clock.fetch_sub(400_000_000, Ordering::Relaxed);
    assert_eq!(log.stats().clock_behind, Some(Duration::from_secs(400_000)));
    drop(log);
    assert_eq!(bench.open().unwrap().stats().clock_behind, Some(Duration::from_secs(400_000)));
}
