//! A line that shows how a long run goes, where somebody looks at it.

use std::io::{IsTerminal as _, stderr};
use std::sync::atomic::Ordering;

use super::clock::seconds;
use super::run_state::RunState;

#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    last_time: u64,
    last_delivered: u64,
    last_published: u64,
}

/// How often the line changes.
const PERIOD_NANOS: u64 = 250_000_000;

// === impl Progress ===

impl Progress {
    /// A line on standard error, if that is a terminal.
    pub(crate) fn new(quiet: bool) -> Self {
        Self { shown: !quiet && stderr().is_terminal(), last_time: 0, last_delivered: 0, last_published: 0 }
    }

    pub(crate) fn show(&mut self, stage: &str, shared: &RunState) {
        let now = shared.clock.now();
        if !self.shown || now < self.last_time + PERIOD_NANOS {
            return;
        }
        let (delivered, published) = (shared.delivered(), shared.published.load(Ordering::Relaxed));
        let span = seconds(now - self.last_time);
        let deliveries = (delivered - self.last_delivered) as f64 / span;
        let events = (published - self.last_published) as f64 / span;
        let waiting = shared.expected().saturating_sub(delivered);
        let ready = shared.ready.load(Ordering::Relaxed);
        self.write(&format!(
            "{:6.1} s  {stage}  {ready} subscribers  {events:.0} events/s  {deliveries:.0} deliveries/s  \
            {waiting} on their way",
            seconds(now)
        ));
        (self.last_time, self.last_delivered, self.last_published) = (now, delivered, published);
    }

    fn write(&self, text: &str) {
        if self.shown {
            // Back to the beginning of the line, and nothing left of the one before.
            crate::stderr::write(&format!("\r\x1b[K{text}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.write("");
        // The report follows on standard output.
        crate::stderr::flush();
    }
}
