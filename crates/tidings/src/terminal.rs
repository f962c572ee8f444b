//! What the commands tell people: on standard error, and most of it only where a person is looking.

use std::fmt::Display;
use std::io::{IsTerminal as _, stderr, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Who is looking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Somebody reads standard error.
    status: bool,
    /// Colours may be used there.
    status_colours: bool,
    /// Somebody reads standard output.
    pub(crate) data: bool,
    /// Colours may be used there.
    data_colours: bool,
}

const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

// === impl Terminal ===

impl Terminal {
    pub(crate) fn find() -> Self {
        // https://no-color.org
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let (status, data) = (stderr().is_terminal(), stdout().is_terminal());
        Self { status, status_colours: status && colours, data, data_colours: data && colours }
    }

    /// Text beside the data, told apart from it.
    pub(crate) fn aside(self, text: &str) -> String {
        if self.data_colours { format!("{DIM}{text}{RESET}") } else { text.to_owned() }
    }

    /// Something that goes well.
    pub(crate) fn note(self, text: impl Display) {
        if self.status {
            self.tell(DIM, text);
        }
    }

    /// Something that must not go unsaid, whoever is looking.
    pub(crate) fn warn(self, text: impl Display) {
        self.tell(YELLOW, format_args!("tidings: {text}"));
    }

    fn tell(self, colour: &str, text: impl Display) {
        let (colour, reset) = if self.status_colours { (colour, RESET) } else { ("", "") };
        crate::stderr::line(format_args!("{colour}{text}{reset}"));
    }
}

/// What goes wrong and is being dealt with. A person sees each attempt; a log gets the first, and each that fails for
/// another reason. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(Arc<Mutex<LastTrouble>>);

#[derive(Debug, Default)]
struct LastTrouble {
    reason: Option<String>,
    attempts: u32,
}

// === impl Troubles ===

impl Troubles {
    /// Something went wrong, and this comes next.
    pub(crate) fn tell(&self, terminal: Terminal, reason: &dyn Display, next: impl Display) {
        let reason = reason.to_string();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.attempts += 1;
        if terminal.status {
            terminal.tell(YELLOW, format_args!("{reason}; {next}"));
        } else if told.reason.as_ref() != Some(&reason) {
            terminal.warn(format_args!("{reason}; {next}"));
        }
        told.reason = Some(reason);
    }

    /// It goes well again.
    pub(crate) fn are_over(&self, terminal: Terminal) {
        let told = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // What went well at the next attempt is not worth a line.
        if !terminal.status && told.attempts > 1 {
            terminal.warn(format_args!("the hub answers again, after {} attempts", told.attempts));
        }
    }
}

/// Text from elsewhere, with nothing in it that a terminal obeys.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// A delay, as people say it.
pub(crate) fn seconds(delay: Duration) -> String {
    if delay.is_zero() { "at once".into() } else { format!("in {:.1} s", delay.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_taken_out() {
        assert_eq!(harmless("a\x1b[31m\tb\n\u{9b}c"), "a\u{fffd}[31m\tb\n\u{fffd}c");
    }
}
