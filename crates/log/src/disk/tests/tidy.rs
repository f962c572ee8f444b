use super::*;
use crate::{Bounds, Follower};

fn tidy(log: &DiskLog) {
    runtime().block_on(log.tidy());
}

#[derive(Default)]
struct Trims(AtomicU64);

impl Follower for Trims {
    fn appended(&self, _: &[Arc<Event>]) {}

    fn trimmed(&self, earliest: Sequence) {
        assert!(self.0.swap(earliest, Ordering::Relaxed) < earliest);
    }

    fn renewed(&self, _: Bounds) {}
}

#[test]
fn bytes_over_the_bound_are_discarded_in_whole_segments() {
    let mut bench = Bench::new(1 << 10);
    bench.config.retention.bytes = 4 << 10;
    let log = bench.open().unwrap();
    let trims = Arc::new(Trims::default());
    log.follow(Arc::clone(&trims) as Arc<dyn Follower>);
    append(&log, one("gone", "early")).unwrap();
    fill(&log, 300);
    tidy(&log);
    let bounds = log.bounds();
    assert!(bounds.earliest > 1);
    assert_eq!(trims.0.load(Ordering::Relaxed), bounds.earliest);
    let kept = read(&log);
    assert_eq!(kept.first().unwrap().sequence, bounds.earliest);
    assert_eq!(kept.len() as u64, bounds.latest - bounds.earliest + 1);
    assert!((30..100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(runtime().block_on(log.topic(&topic("gone"))).unwrap(), None);
    let expired = runtime().block_on(log.read(0, &Selection::all(), ReadLimits { entries: 1, bytes: 1 }));
    assert_eq!(expired, Err(ReadError::Expired { after: 0, earliest: bounds.earliest }));
    assert!(bench.disk.used() < 20 << 10, "the files are gone: {}", bench.disk.used());
    drop(log);
    let again = bench.open().unwrap().bounds();
    assert_eq!((again.earliest, again.latest), (bounds.earliest, bounds.latest));
}

#[test]
fn a_quiet_log_forgets_by_age() {
    let bench = Bench::new(64 << 10);
    let log = bench.open().unwrap();
    fill(&log, 10);
    let close = Batch { events: Vec::new(), close: Some(topic("ended").into()), idempotency: None };
    append(&log, close).unwrap();
    tidy(&log);
    assert_eq!(log.bounds().earliest, 1);
    bench.pass(Duration::from_secs(3_500));
    tidy(&log);
    append(&log, one("a", "younger")).unwrap();
    bench.pass(Duration::from_secs(200));
    tidy(&log);
    let bounds = log.bounds();
    assert_eq!((bounds.earliest, bounds.latest), (12, 12));
    assert_eq!(data(&read(&log)), ["younger"]);
    bench.pass(Duration::from_secs(10_000));
    tidy(&log);
    assert_eq!((log.bounds().earliest, log.bounds().latest), (13, 12));
    // A topic whose end was discarded may be published to again.
    assert_eq!(append(&log, one("ended", "begins again")).unwrap().first, 13);
    drop(log);
    assert_eq!(data(&read(&bench.open().unwrap())), ["begins again"]);
}

#[test]
fn a_reader_is_told_when_retention_overtakes_it_and_not_before() {
    let mut bench = Bench::new(1 << 10);
    bench.config.retention.bytes = 2 << 10;
    let log = Arc::new(bench.open().unwrap());
    let writer = {
        let log = Arc::clone(&log);
        std::thread::spawn(move || fill(&log, 2_000))
    };
    let runtime = runtime();
    let (mut after, mut expired) = (0, 0);
    let all = Selection::all();
    // Whoever has read nothing yet is overtaken here for certain.
    while log.bounds().earliest == 1 {
        std::thread::yield_now();
    }
    while after < 2_000 {
        match runtime.block_on(log.read(after, &all, ReadLimits { entries: 3, bytes: 1 << 20 })) {
            Ok(chunk) => {
                for entry in &chunk.entries {
                    assert_eq!(entry.sequence, after + 1, "nothing is left out silently");
                    after = entry.sequence;
                }
                assert_eq!(chunk.next, after);
            }
            Err(ReadError::Expired { earliest, .. }) => {
                assert!(earliest > after + 1);
                after = earliest - 1;
                expired += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    writer.join().unwrap();
    assert!(expired > 0, "the reader was not told that it was overtaken");
}

#[test]
fn keys_are_known_over_restarts_and_retention_until_their_window_has_passed() {
    let mut bench = Bench::new(1 << 10);
    bench.config.retention.age = Duration::from_secs(60);
    bench.config.idempotency_window = Duration::from_secs(3_600);
    let log = bench.open().unwrap();
    let batch = keyed(one("a", "once"), "k");
    let first = append(&log, batch.clone()).unwrap();
    for number in 0..50 {
        append(&log, keyed(one("a", &number.to_string()), &format!("k{number}"))).unwrap();
    }
    let again = |log: &DiskLog| append(log, batch.clone()).unwrap();
    assert_eq!(again(&log), Appended { duplicate: true, ..first });
    drop(log);
    let log = bench.open().unwrap();
    assert_eq!(again(&log), Appended { duplicate: true, ..first });
    bench.pass(Duration::from_secs(1_000));
    tidy(&log);
    assert_eq!(log.bounds().earliest, 52, "all events are gone");
    assert_eq!(again(&log), Appended { duplicate: true, ..first });
    for number in 0..50 {
        let known = append(&log, keyed(one("a", &number.to_string()), &format!("k{number}"))).unwrap();
        assert_eq!((known.first, known.duplicate), (2 + number, true));
        assert_eq!(
            append(&log, keyed(one("a", "other"), &format!("k{number}"))),
            Err(AppendError::KeyConflict { key: format!("k{number}") })
        );
    }
    drop(log);
    let log = bench.open().unwrap();
    assert_eq!(again(&log), Appended { duplicate: true, ..first });
    bench.pass(Duration::from_secs(3_000));
    tidy(&log);
    assert!(!again(&log).duplicate, "the window has passed");
    let names = bench.disk.names(Path::new(DIR)).unwrap();
    assert!(!names.iter().any(|name| name.ends_with(".keys")), "{names:?}");
}

#[test]
fn a_window_shorter_than_retention_lets_go_of_keys_and_keeps_the_events() {
    let mut bench = Bench::new(1 << 10);
    bench.config.idempotency_window = Duration::from_secs(10);
    let log = bench.open().unwrap();
    let append_all = |log: &DiskLog, duplicate: bool| {
        for number in 0..40 {
            let known = append(log, keyed(one("a", "x"), &format!("k{number}"))).unwrap();
            assert_eq!(known.duplicate, duplicate);
        }
    };
    append_all(&log, false);
    append_all(&log, true);
    bench.pass(Duration::from_secs(11));
    tidy(&log);
    drop(log);
    let has_keys = || bench.disk.names(Path::new(DIR)).unwrap().iter().any(|name| name.ends_with(".keys"));
    assert!(!has_keys());
    let log = bench.open().unwrap();
    assert!(!has_keys(), "nothing is made again that nobody asks for");
    assert_eq!(read(&log).len(), 40);
    append_all(&log, false);
    append_all(&log, true);
}

#[test]
fn files_of_others_are_left_alone() {
    let bench = Bench::new(1 << 10);
    drop(bench.open().unwrap());
    bench.disk.create(&Path::new(DIR).join("notes.new")).unwrap();
    bench.disk.create(&Path::new(DIR).join("17.new")).unwrap();
    drop(bench.open().unwrap());
    let names = bench.disk.names(Path::new(DIR)).unwrap();
    assert!(names.contains(&"notes.new".to_owned()) && !names.contains(&"17.new".to_owned()), "{names:?}");
}

#[test]
fn a_log_is_not_begun_among_files_of_others() {
    let bench = Bench::new(1 << 10);
    bench.disk.create_dir(Path::new(DIR)).unwrap();
    bench.disk.create(&Path::new(DIR).join("passwd")).unwrap();
    let refused = bench.open().unwrap_err();
    assert!(matches!(&refused, OpenError::NotEmpty { file, .. } if file == "passwd"), "{refused}");
    assert_eq!(bench.disk.names(Path::new(DIR)).unwrap(), ["passwd"]);
}
