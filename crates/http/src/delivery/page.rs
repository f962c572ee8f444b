use std::time::Duration;

use tidings_hub::Pull;
use tidings_protocol::Cursor;

use crate::delivery::caching::Caching;

/// What a poll is answered with.
pub(crate) struct Page<'a> {
    pub(crate) pull: &'a Pull,
    pub(crate) next: Cursor,
    pub(crate) more: bool,
    pub(crate) closed: bool,
    pub(crate) caching: Caching,
    /// A word to whoever asked, which no other reader gets.
    pub(crate) advice: Option<Advice>,
}

/// What a client is told that has polled a busy topic again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) polls: u64,
    pub(crate) events: u64,
    pub(crate) time: Duration,
}

// === impl Page ===

impl Page<'_> {
    /// Whether it says nothing but that there is nothing yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.pull.entries.is_empty() && !self.more && !self.closed && self.pull.gap.is_none()
    }

    /// Whether it may have something in it that is for one client alone, and that client might have had its events from a stream. Who
    /// catches up page by page, and who comes to the end, is not better served by one.
    pub(crate) fn is_for_one(&self) -> bool {
        let is_private = matches!(self.caching, Caching::Private);
        is_private && !self.pull.entries.is_empty() && !self.more && !self.closed && self.pull.gap.is_none()
    }

    /// Of one request's answers, those with the same tag are the same: the log behind a cursor only grows, and
    /// loses from its beginning.
    pub(crate) fn tag(&self) -> String {
        let first = self.pull.entries.first().map_or(0, |entry| entry.event().sequence);
        let (more, closed, gap) =
            (u8::from(self.more), u8::from(self.closed), u8::from(self.pull.gap.is_some()));
        let advice = if self.advice.is_some() { "-advice" } else { "" };
        format!("\"{}-{first}-{}-{more}{closed}{gap}{advice}\"", self.next, self.pull.entries.len())
    }

    /// What every page begins with.
    pub(crate) const HEAD: &'static [u8] = b"{\"events\":[";

    /// What a page ends with, behind its events.
    pub(crate) fn foot(&self) -> Vec<u8> {
        let mut body = b"],\"next\":\"".to_vec();
        self.next.write(&mut body);
        if let Some(moment) = self.caching.moment().filter(|_| self.is_empty()) {
            body.extend_from_slice(format!("-{moment}").as_bytes());
        }
        body.extend_from_slice(if self.more { b"\",\"more\":true" } else { b"\",\"more\":false" });
        if let Some(gap) = &self.pull.gap {
            body.extend_from_slice(b",\"gap\":");
            // A gap always serializes, and a Vec takes all that is written to it.
            drop(serde_json::to_writer(&mut body, gap));
        }
        if self.closed {
            body.extend_from_slice(b",\"closed\":true");
            if let Some(reason) = &self.pull.reason {
                body.extend_from_slice(format!(",\"reason\":\"{reason}\"").as_bytes());
            }
        }
        if let Some(advice) = self.advice {
            advice.write(&mut body);
        }
        body.extend_from_slice(b"}\n");
        body
    }
}

// === impl Advice ===

impl Advice {
    /// Appends it as a field of a page.
    pub(crate) fn write(self, page: &mut Vec<u8>) {
        let Self { polls, events, time } = self;
        let seconds = time.as_secs_f64().ceil().max(1.0);
        let time = if seconds > 1.0 { format!("{seconds} seconds") } else { "second".into() };
        let text = format!(
            ",\"advice\":{{\"transport\":\"stream\",\"detail\":\"{events} events came by {polls} polls in the last {time}; a stream \
             would have taken one request\"}}"
        );
        page.extend_from_slice(text.as_bytes());
    }
}
