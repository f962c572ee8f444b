//! Standard error, written by a thread of its own: whoever has something to say never waits for it, and never fails.
//!
//! A pipe that nobody reads, a disk that is full or a file that may not grow takes the lines and nothing else. What
//! could not be written is counted, and said once lines can be written again.

use std::fmt::Display;
use std::io;
#[cfg(feature = "serve")]
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

mod output;

/// Memory for lines that wait to be written. What comes while it is full is dropped.
const QUEUE_BYTES: usize = 1 << 20;
/// How much is written at once at most.
const WRITE_BYTES: usize = 64 << 10;
/// The longest that the end of the program waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it waits for them while none is taken.
const FLUSH_STALL: Duration = Duration::from_secs(1);

/// Writes to standard error, where each write is a whole line.
#[cfg(feature = "serve")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stderr;

/// The lines that wait, and the thread that writes them.
struct Queue {
    state: Mutex<State>,
    /// Lines have come, or have been written.
    changed: Condvar,
    /// Lines that were lost since the program began.
    dropped: AtomicU64,
    /// Bytes that were written since the program began.
    written: AtomicU64,
}

struct State {
    waiting: Vec<u8>,
    /// How many bytes are being written.
    under_way: usize,
    /// Lines that were lost, and not told of yet.
    untold: u64,
    is_started: bool,
}

static QUEUE: Queue = Queue {
    state: Mutex::new(State { waiting: Vec::new(), under_way: 0, untold: 0, is_started: false }),
    changed: Condvar::new(),
    dropped: AtomicU64::new(0),
    written: AtomicU64::new(0),
};

/// Writes a line, which is given without its end.
pub(crate) fn line(text: impl Display) {
    QUEUE.push(format!("{text}\n").as_bytes());
}

/// Writes something as it is.
#[cfg(all(feature = "bench", target_os = "linux"))]
pub(crate) fn write(text: &str) {
    QUEUE.push(text.as_bytes());
}

/// How many lines were lost since the program began.
#[cfg(feature = "serve")]
pub(crate) fn dropped_lines() -> u64 {
    QUEUE.dropped.load(Relaxed)
}

/// Waits until everything is written, but not for long where nobody takes it.
pub(crate) fn flush() {
    let end = Instant::now() + FLUSH_TIMEOUT;
    let mut written = QUEUE.written.load(Relaxed);
    let mut stalled = Instant::now() + FLUSH_STALL;
    let mut state = QUEUE.lock();
    while state.is_started && (state.under_way > 0 || !state.waiting.is_empty()) {
        let now = Instant::now();
        let newly = QUEUE.written.load(Relaxed);
        if newly != written {
            (written, stalled) = (newly, now + FLUSH_STALL);
        }
        let rest = end.min(stalled).saturating_duration_since(now);
        if rest.is_zero() {
            return;
        }
        let waited = QUEUE.changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner);
        state = waited.0;
    }
}

// === impl Stderr ===

#[cfg(feature = "serve")]
impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Queue ===

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&'static self, line: &[u8]) {
        let mut state = self.lock();
        if !state.is_started {
            let write = || self.write_all();
            state.is_started = thread::Builder::new().name("tidings-stderr".into()).spawn(write).is_ok();
        }
        if !state.is_started || state.waiting.len() + state.under_way + line.len() > QUEUE_BYTES {
            state.untold += 1;
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        self.changed.notify_all();
    }

    /// Writes what comes, for ever.
    fn write_all(&self) {
        let mut lines = Vec::new();
        let mut is_torn = false;
        loop {
            {
                let mut state = self.lock();
                while state.waiting.is_empty() {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                std::mem::swap(&mut state.waiting, &mut lines);
                state.under_way = lines.len();
            }
            let result = self.write_lines(&lines, &mut is_torn);
            lines.clear();
            // What a burst took is given back.
            lines.shrink_to(WRITE_BYTES);
            let mut state = self.lock();
            state.under_way = 0;
            let untold = match result {
                Ok(()) => std::mem::take(&mut state.untold),
                Err(lost) => {
                    state.untold += lost;
                    self.dropped.fetch_add(lost, Relaxed);
                    0
                }
            };
            drop(state);
            if untold > 0 {
                tell_of_lost(untold);
            }
            self.changed.notify_all();
        }
    }

    /// Writes lines, or says how many are lost.
    fn write_lines(&self, lines: &[u8], is_torn: &mut bool) -> Result<(), u64> {
        let mut rest = lines;
        if *is_torn {
            // The line before broke off in the middle.
            match self.write_some(b"\n") {
                Ok(_) => *is_torn = false,
                Err(_) => return Err(count(rest)),
            }
        }
        while !rest.is_empty() {
            match self.write_some(&rest[..rest.len().min(WRITE_BYTES)]) {
                Ok(taken) => rest = &rest[taken..],
                Err(_) => {
                    let taken = &lines[..lines.len() - rest.len()];
                    *is_torn = taken.last().is_some_and(|byte| *byte != b'\n');
                    return Err(count(rest));
                }
            }
        }
        Ok(())
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let taken = output::write(bytes)?;
        self.written.fetch_add(taken as u64, Relaxed);
        Ok(taken)
    }
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

fn tell_of_lost(lines: u64) {
    if tracing::dispatcher::has_been_set() {
        tracing::warn!(lines, "lines of this log could not be written and are lost");
    } else {
        let text = format!("tidings: {lines} lines of standard error could not be written and are lost\n");
        QUEUE.push(text.as_bytes());
    }
}
