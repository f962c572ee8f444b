//! What a comparison tells while it runs: a line that changes where somebody looks, and a line for each lane where it goes
//! into a file.

use std::fmt::Display;
use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use super::lane::Lane;

#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    begun: Instant,
    estimate: Duration,
    shown: bool,
}

/// The longest line that is not broken on a usual terminal.
const COLUMNS: usize = 79;

// === impl Progress ===

impl Progress {
    pub(crate) fn new() -> Self {
        let (begun, estimate) = (Instant::now(), Duration::ZERO);
        Self { terminal: stderr().is_terminal(), begun, estimate, shown: false }
    }

    /// How long it will take, from now on.
    pub(crate) fn estimate(&mut self, estimate: Duration) {
        self.say(format_args!("measuring, for about {} s", estimate.as_secs()));
        (self.begun, self.estimate) = (Instant::now(), estimate);
    }

    /// Something that is said once.
    pub(crate) fn say(&mut self, text: impl Display) {
        self.clear();
        crate::stderr::line(text);
    }

    /// Another lane begins.
    pub(crate) fn lane(&mut self, lane: Lane) {
        if !self.terminal {
            crate::stderr::line(format_args!("{} {lane}", self.time()));
        }
    }

    /// What is being done now.
    pub(crate) fn step(&mut self, text: impl Display) {
        if self.terminal {
            let line: String = format!("{} {text}", self.time()).chars().take(COLUMNS).collect();
            // Back to the beginning of the line, and nothing left of the one before.
            crate::stderr::write(&format!("\r\x1b[K{line}"));
            self.shown = true;
        }
    }

    fn time(&self) -> String {
        let (gone, all) = (self.begun.elapsed().as_secs(), self.estimate.as_secs());
        format!("{gone:>4} of about {} s ", all.max(gone))
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            crate::stderr::write("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
        // The report follows on standard output.
        crate::stderr::flush();
    }
}
