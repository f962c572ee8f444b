//! A process that appends is killed again and again: whatever it said was acknowledged is there, once and in
//! order, and the log opens every time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use tidings_log::{Batch, DiskConfig, DiskLog, Idempotency, Log, ReadLimits, Retention, Scope};
use tidings_protocol::{NewEvent, Selection, Sequence, Topic};

const DIR: &str = "TIDINGS_KILL_DIR";
const ROUNDS: u64 = 25;
const THREADS: usize = 4;

fn config() -> DiskConfig {
    let retention = Retention { bytes: 1 << 30, ..Retention::default() };
    DiskConfig { segment_bytes: Some(64 << 10), retention, ..DiskConfig::default() }
}

/// What the killed process does: appends from several threads, and prints each acknowledgement.
fn append_for_ever(dir: &Path) {
    let log = Arc::new(DiskLog::open(dir, config()).unwrap());
    let start = log.bounds().latest;
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for number in 0_u64.. {
                    let id = format!("{start}/{thread}/{number}");
                    let event = |place: u64| {
                        let text = format!("{id} {place} {}", "x".repeat((number % 500) as usize));
                        NewEvent::text(Topic::new(&format!("t/{thread}")).unwrap(), text)
                    };
                    let batch = Batch {
                        events: (0..1 + number % 3).map(event).collect(),
                        close: None,
                        idempotency: number
                            .is_multiple_of(5)
                            .then(|| Idempotency { scope: Scope::Batches, key: id.clone() }),
                    };
                    let appended = runtime.block_on(log.append(batch)).unwrap();
                    for (place, sequence) in appended.sequences().enumerate() {
                        let line = format!("ack {sequence} {id} {place}\n");
                        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn start(dir: &Path) -> (Child, Receiver<(Sequence, String)>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_was_acknowledged_survives_being_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            // The last line may be cut off; it ends with the place, so one that is too short is left out.
            let words: Vec<_> = line.split(' ').collect();
            if let [.., "ack", sequence, id, place] = words[..]
                && sender.send((sequence.parse().unwrap(), format!("{id} {place} "))).is_err()
            {
                break;
            }
        }
    });
    (child, receiver)
}

#[test]
fn what_was_acknowledged_survives_being_killed() {
    if let Some(dir) = std::env::var_os(DIR) {
        return append_for_ever(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut acknowledged: HashMap<Sequence, String> = HashMap::new();
    for round in 0..ROUNDS {
        let (mut child, acks) = start(dir.path());
        // It lives for some acknowledgements, and for some time more.
        let count = random.usize(0..400);
        for _ in 0..count {
            let (sequence, text) = acks.recv_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(acknowledged.insert(sequence, text), None, "round {round}: a number is given twice");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for (sequence, text) in acks {
            assert_eq!(acknowledged.insert(sequence, text), None, "round {round}: a number is given twice");
        }
        check(dir.path(), &acknowledged, round);
    }
    assert!(acknowledged.len() > 1_000, "{}", acknowledged.len());
}

fn check(dir: &Path, acknowledged: &HashMap<Sequence, String>, round: u64) {
    let log = DiskLog::open(dir, config()).unwrap_or_else(|error| panic!("round {round}: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let limits = ReadLimits { entries: 10_000, bytes: 16 << 20 };
    let (mut after, mut found) = (0, 0);
    loop {
        let chunk = runtime.block_on(log.read(after, &Selection::all(), limits)).unwrap();
        for entry in &chunk.entries {
            assert_eq!(entry.sequence, after + 1, "round {round}: numbers have no holes");
            after = entry.sequence;
            if let Some(text) = acknowledged.get(&after) {
                assert!(entry.data.starts_with(text.as_bytes()), "round {round}: {after} is another event");
                found += 1;
            }
        }
        if chunk.entries.is_empty() {
            break;
        }
    }
    assert_eq!(found, acknowledged.len(), "round {round}: acknowledged events are lost");
}
