use std::time::SystemTime;

use tidings_hub::{Pull, Recent};
use tidings_protocol::{Lineage, Selection, Sequence};

use crate::caching::Caching;
use crate::poll::Page;

/// What a poll gets of entries that concern it.
pub(super) struct PagePart {
    pub(super) pull: Pull,
    pub(super) next: Sequence,
    lineage: Lineage,
}

// === impl PagePart ===

impl PagePart {
    /// Takes up to `limit` events of `recent`.
    pub(super) fn new(recent: &Recent, selection: &Selection, limit: usize) -> Self {
        let mut part = Self { pull: Pull::default(), next: recent.next, lineage: recent.lineage.clone() };
        for entry in &recent.entries {
            if selection.matches(entry.event()) {
                if part.pull.entries.len() == limit {
                    part.pull.more = true;
                    part.next = part.pull.entries.last().map_or(part.next, |entry| entry.event().sequence);
                    return part;
                }
                part.pull.entries.push(entry.clone());
            }
            if entry.event().closes() && selection.single_topic().is_some() {
                part.pull.ended = true;
            }
        }
        part
    }

    /// The whole response: `head`, what depends on the page, and the page.
    pub(super) fn response(&self, head: &[u8], caching: Caching, close: bool) -> Vec<u8> {
        let next = self.lineage.id(self.next);
        let page = Page { pull: &self.pull, next, more: self.pull.more, closed: self.pull.ended, caching };
        let body = page.body();
        let mut response = head.to_vec();
        let date = httpdate::fmt_http_date(SystemTime::now());
        let rest = format!(
            "cache-control: {}\r\netag: {}\r\ncontent-length: {}\r\ndate: {date}\r\n{}\r\n",
            caching.control(&page),
            page.tag(),
            body.len(),
            if close { "connection: close\r\n" } else { "" },
        );
        response.extend_from_slice(rest.as_bytes());
        response.extend_from_slice(&body);
        response
    }
}
