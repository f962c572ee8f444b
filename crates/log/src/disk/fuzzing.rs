//! What the fuzz target of this crate does with its input. See `fuzz/README.md`.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;

use tidings_protocol::{Event, NewEvent, Selection, Selector, Sequence, Timestamp, Topic};

use super::bytes::{u16_at, u32_at, u64_at};
use super::faults::FaultyFiles;
use super::files::Files;
use super::{DiskConfig, DiskLog, OpenError, record, segment};
use crate::{Batch, Log, ReadError, ReadLimits, Retention};

/// The log that version 1 left behind, closed cleanly, with three sealed segments.
const FILES: [(&str, &[u8]); 11] = [
    ("00000000000000000001.log", include_bytes!("../../tests/fixtures/v1/00000000000000000001.log")),
    ("00000000000000000001.index", include_bytes!("../../tests/fixtures/v1/00000000000000000001.index")),
    ("00000000000000000001.keys", include_bytes!("../../tests/fixtures/v1/00000000000000000001.keys")),
    ("00000000000000000019.log", include_bytes!("../../tests/fixtures/v1/00000000000000000019.log")),
    ("00000000000000000019.index", include_bytes!("../../tests/fixtures/v1/00000000000000000019.index")),
    ("00000000000000000019.keys", include_bytes!("../../tests/fixtures/v1/00000000000000000019.keys")),
    ("00000000000000000031.log", include_bytes!("../../tests/fixtures/v1/00000000000000000031.log")),
    ("00000000000000000031.index", include_bytes!("../../tests/fixtures/v1/00000000000000000031.index")),
    ("00000000000000000031.keys", include_bytes!("../../tests/fixtures/v1/00000000000000000031.keys")),
    ("00000000000000000041.log", include_bytes!("../../tests/fixtures/v1/00000000000000000041.log")),
    ("state", include_bytes!("../../tests/fixtures/v1/state")),
];
const LATEST: Sequence = 43;
const DIR: &str = "/log";
/// What the checksums of the small files cover.
const WIDTHS: [(&str, &[usize]); 2] = [("index", &[112, 64]), ("keys", &[64, 56])];

/// The bytes of an input, one piece after the other; zeros when they are used up.
struct Input<'a>(&'a [u8]);

/// What is done to a file before the log is opened.
struct Damage {
    disk: FaultyFiles,
    /// Whether somebody has written what only the log itself should write: valid checksums over other contents.
    forged: bool,
    clean: bool,
}

/// Damages a log as the input says and opens it. It is refused, or it gives nothing that was not in it, and goes on.
pub fn recovery(input: &[u8]) {
    let files = FaultyFiles::default();
    for (name, bytes) in FILES {
        put(&files, name, bytes);
    }
    let mut damage = Damage { disk: files, forged: false, clean: true };
    let mut input = Input(input);
    for _ in 0..16 {
        if input.0.is_empty() {
            break;
        }
        damage.next(&mut input);
    }
    let Ok(log) = open(&damage.disk) else { return };
    let found = read(&log, "**");
    let orders = read(&log, "orders/1");
    if !damage.forged {
        let sound = sound();
        for entry in found.iter().flatten().chain(orders.iter().flatten()) {
            assert_eq!(Some(entry), sound.get(entry.sequence as usize - 1), "it was not written so");
        }
        assert!(!damage.clean || log.bounds().latest == LATEST, "a clean end is kept or refused");
    }
    let topic = Topic::new("added").expect("a topic");
    let added = finish(log.append(Batch::of(NewEvent::text(topic, "after"))));
    let closed = finish(log.close());
    drop(log);
    if damage.forged {
        return;
    }
    let added = added.expect("a log that was opened takes events");
    closed.expect("it can be closed");
    let log = open(&damage.disk).expect("it can be opened again");
    assert_eq!(log.bounds().latest, added.first);
    if let (Ok(before), Ok(after)) = (found, read(&log, "**")) {
        assert_eq!(after[..before.len()], before);
        assert_eq!(
            after[before.len()..].iter().map(|entry| entry.sequence).collect::<Vec<_>>(),
            [added.first]
        );
    }
}

fn open(disk: &FaultyFiles) -> Result<DiskLog, OpenError> {
    let age = Duration::from_secs(1_000 * 365 * 86_400);
    let config = DiskConfig {
        retention: Retention { age, bytes: 1 << 30 },
        idempotency_window: age,
        segment_bytes: Some(2 << 10),
        ..DiskConfig::default()
    };
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    DiskLog::open_with(Path::new(DIR), config, &files, Arc::new(|| Timestamp::from_millis(1 << 42)))
}

fn read(log: &DiskLog, selector: &str) -> Result<Vec<Arc<Event>>, ReadError> {
    let selection = Selection::new([Selector::new(selector).expect("a selector")]);
    let limits = ReadLimits { entries: 16, bytes: 1 << 20 };
    let (mut after, mut entries) = (log.bounds().earliest - 1, Vec::new());
    loop {
        let chunk = finish(log.read(after, &selection, limits))?;
        assert!(chunk.next >= after, "a read goes on");
        entries.extend(chunk.entries);
        if chunk.next == after {
            return Ok(entries);
        }
        after = chunk.next;
    }
}

/// The entries of the log as it was left.
fn sound() -> &'static [Arc<Event>] {
    static SOUND: std::sync::OnceLock<Vec<Arc<Event>>> = std::sync::OnceLock::new();
    SOUND.get_or_init(|| {
        let disk = FaultyFiles::default();
        for (name, bytes) in FILES {
            put(&disk, name, bytes);
        }
        read(&open(&disk).expect("a sound log"), "**").expect("readable")
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Without a runtime: there would be a thread for each read.
fn finish<F: Future>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn put(disk: &FaultyFiles, name: &str, bytes: &[u8]) {
    disk.create(&path(name)).and_then(|file| file.write_at(bytes, 0)).expect("files in memory take all");
}

// === impl Input ===

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes.to_vec()
    }
}

// === impl Damage ===

impl Damage {
    fn next(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let (name, _) = FILES[usize::from(input.byte()) % FILES.len()];
        let Ok(file) = self.disk.open(&path(name)) else { return };
        let length = file.len().expect("a length");
        let offset = u64::from(input.short()) % (length + 1);
        match kind % 7 {
            0 => file.write_at(&input.bytes(), offset).expect("room"),
            1 => file.set_len(offset).expect("room"),
            2 => self.disk.remove(&path(name)).expect("it is there"),
            3 => self.forget_the_end(),
            4 => self.seal(name, offset),
            5 => self.forge(name, offset, input),
            _ => file.write_at(&vec![0; usize::from(input.byte()) * 8], offset).expect("room"),
        }
        // The state has no checksum of its own: whatever it says is taken for what was written.
        self.forged |= name == "state" && matches!(kind % 7, 0 | 1 | 2 | 6);
    }

    /// As after a crash.
    fn forget_the_end(&mut self) {
        let Ok(file) = self.disk.open(&path("state")) else { return };
        let mut bytes = vec![0; file.len().expect("a length") as usize];
        file.read_at(&mut bytes, 0).expect("readable");
        let Ok(mut state) = serde_json::from_slice::<serde_json::Map<_, _>>(&bytes) else { return };
        state.insert("clean".into(), serde_json::Value::Null);
        self.clean = false;
        let bytes = serde_json::to_vec(&state).expect("a map of JSON");
        put(&self.disk, "state", &bytes);
    }

    /// Makes the checksum of what is at a place right again.
    fn seal(&mut self, name: &str, offset: u64) {
        self.forged = true;
        let disk = self.disk.clone();
        disk.damage(&path(name), |bytes| {
            let at = offset as usize;
            if name.ends_with(".log") && at < segment::HEADER as usize {
                seal_last(bytes, 0, segment::HEADER as usize);
            } else if name.ends_with(".log") {
                let at = at.next_multiple_of(8);
                if bytes.len() < segment::HEADER as usize || at + record::HEADER > bytes.len() {
                    return;
                }
                let end = (at + u32_at(bytes, at + 8) as usize).clamp(at + 8, bytes.len());
                let sum = crc32c::crc32c_append(u32_at(bytes, 52), &bytes[at + 8..end]);
                bytes[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
            } else if let Some((_, widths)) = WIDTHS.iter().find(|(kind, _)| name.ends_with(kind)) {
                seal_last(bytes, at, at + widths[1]);
                if name.ends_with("index") && bytes.len() >= widths[0] {
                    let counted = [64, 72, 80, 88].map(|place| u64_at(bytes, place));
                    let sizes =
                        counted.iter().zip([24, 1, 64, 1]).map(|(count, size)| count.saturating_mul(size));
                    let head = sizes.fold(widths[0] as u64, u64::saturating_add);
                    let end = head.min(bytes.len() as u64) as usize;
                    let sum = crc32c::crc32c(&bytes[widths[0]..end]);
                    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
                }
                seal_last(bytes, 0, widths[0]);
            }
        });
    }

    /// Writes a record that is right in itself.
    fn forge(&mut self, name: &str, offset: u64, input: &mut Input<'_>) {
        self.forged = true;
        let (flags, sequence, names) = (input.short(), input.byte(), input.short());
        let body = input.bytes();
        self.disk.damage(&path(name), |bytes| {
            let at = (offset as usize).next_multiple_of(8);
            if bytes.len() < segment::HEADER as usize || at + record::HEADER + body.len() > bytes.len() {
                return;
            }
            let (mark, seed) = (u32_at(bytes, 48), u32_at(bytes, 52));
            let mut made = vec![0; record::HEADER];
            made[0..4].copy_from_slice(&mark.to_le_bytes());
            made[8..12].copy_from_slice(&((record::HEADER + body.len()) as u32).to_le_bytes());
            made[12..14].copy_from_slice(&flags.to_le_bytes());
            made[14..16].copy_from_slice(&(names & 0xff).to_le_bytes());
            made[16..24].copy_from_slice(&u64::from(sequence).to_le_bytes());
            made[32..34].copy_from_slice(&(names >> 8).to_le_bytes());
            made.extend_from_slice(&body);
            let sum = crc32c::crc32c_append(seed, &made[8..]);
            made[4..8].copy_from_slice(&sum.to_le_bytes());
            assert_eq!(u16_at(&made, 12), flags);
            bytes[at..at + made.len()].copy_from_slice(&made);
        });
    }
}

/// Puts the checksum of an entry into its last four bytes.
fn seal_last(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(entry) = bytes.get_mut(from..to) {
        let (body, sum) = entry.split_at_mut(to - from - 4);
        sum.copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fuzzing_found_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/log_recovery");
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|file| recovery(&std::fs::read(file).unwrap()));
    }
}
