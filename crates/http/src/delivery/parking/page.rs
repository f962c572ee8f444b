use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use tidings_hub::{Conflate, Found, Framing, Pull};
use tidings_protocol::{Lineage, Sequence};

use super::group::{Interest, PollResponse, Shape};
use super::held::HeldPage;
use crate::delivery::memory::Portion;
use crate::delivery::page::Page;
use crate::delivery::remainder::{Held, Remainder};

/// What a poll gets of entries that concern it.
pub(super) struct PagePart {
    pub(super) pull: Pull,
    pub(super) next: Sequence,
    /// Where the look ended that found the events, and how they were folded.
    until: Sequence,
    conflate: Option<Conflate>,
    lineage: Lineage,
}

/// A page as a response. Those who asked for the same get the same bytes.
pub(super) struct Answer {
    pub(super) bytes: Bytes,
    /// How many of them come before the events, where those are, and how many come after.
    head: usize,
    places: Vec<Range<usize>>,
    foot: usize,
}

// === impl PagePart ===

impl PagePart {
    /// Takes up to `limit` of the events that were found, which are folded.
    pub(super) fn new(found: &Found, interest: &Interest, limit: usize) -> Self {
        let Found { recent, until } = found;
        let (selection, conflate) = (&interest.selection, interest.folding.conflate);
        let (next, lineage) = (recent.next, recent.lineage.clone());
        let mut part = Self { pull: Pull::default(), next, until: *until, conflate, lineage };
        for entry in &recent.entries {
            if selection.matches(entry.event()) {
                if part.pull.entries.len() == limit {
                    part.pull.more = true;
                    part.next = part.pull.entries.last().map_or(part.next, |entry| entry.event().sequence);
                    return part;
                }
                part.pull.entries.push(entry.clone());
            }
            if selection.is_ended_by(entry.event()) {
                part.pull.ended = true;
                part.pull.reason = entry.event().end_reason();
                if entry.event().deletes() {
                    // What follows is of the topic that has begun anew.
                    part.next = entry.event().sequence;
                    return part;
                }
            }
        }
        part
    }

    /// A page without events.
    pub(super) fn empty(lineage: Lineage, next: Sequence) -> Self {
        Self { pull: Pull::default(), next, until: next, conflate: None, lineage }
    }

    /// Whether it is what others would be given now as well.
    pub(super) fn is_current(&self) -> bool {
        !self.pull.entries.iter().any(|entry| entry.is_gone())
    }

    /// The page as it is, for a handler.
    pub(super) fn held(&self) -> HeldPage {
        let (next, epoch) = (self.lineage.id(self.next), self.lineage.present());
        HeldPage { pull: self.pull.clone(), next, until: self.until, epoch }
    }

    /// The page as a response, unless a handler sees to that. `last` says that the connection ends with it.
    pub(super) fn answer(&self, shape: &Shape, last: bool) -> Option<Answer> {
        match shape {
            Shape::Poll { response: Some(response), .. } => Some(self.response(response, last)),
            Shape::Poll { response: None, .. } | Shape::Stream { .. } => None,
        }
    }

    /// The whole response: its head, what depends on the page, and the page.
    fn response(&self, &PollResponse { ref head, close, caching }: &PollResponse, last: bool) -> Answer {
        let close = close || last;
        let next = self.lineage.id(self.next);
        let page = Page {
            pull: &self.pull,
            next,
            more: self.pull.more,
            closed: self.pull.ended,
            caching,
            advice: None,
        };
        let frames: Vec<_> = self.pull.entries.iter().map(|entry| entry.frame(Framing::Object)).collect();
        let foot = page.foot();
        let events = frames.iter().map(|frame| frame.len() + 1).sum::<usize>().saturating_sub(1);
        let date = httpdate::fmt_http_date(SystemTime::now());
        let fields = format!(
            "cache-control: {}\r\netag: {}\r\ncontent-length: {}\r\ndate: {date}\r\n{}\r\n",
            caching.control(&page),
            page.tag(),
            Page::HEAD.len() + events + foot.len(),
            if close { "connection: close\r\n" } else { "" },
        );
        let head = [&head[..], fields.as_bytes(), Page::HEAD].concat();
        let mut bytes = Vec::with_capacity(head.len() + events + foot.len());
        bytes.extend_from_slice(&head);
        let mut places = Vec::with_capacity(frames.len());
        for frame in frames {
            if !places.is_empty() {
                bytes.push(b',');
            }
            places.push(bytes.len()..bytes.len() + frame.len());
            bytes.extend_from_slice(&frame);
        }
        bytes.extend_from_slice(&foot);
        Answer { bytes: bytes.into(), head: head.len(), places, foot: foot.len() }
    }

    /// What is left of the response when so many bytes of it have been sent.
    pub(super) fn rest(&self, answer: &Answer, sent: usize, memory: Portion) -> Remainder {
        let events = self.pull.entries.iter().zip(&answer.places);
        let events =
            events.map(|(entry, place)| Held::framed(entry.clone(), answer.bytes.slice(place.clone())));
        let (head, foot) = (&answer.bytes[..answer.head], &answer.bytes[answer.bytes.len() - answer.foot..]);
        let mut rest = Remainder::new(Framing::Object, self.lineage.present(), events, memory)
            .folded(self.conflate, self.until)
            .headed(Bytes::copy_from_slice(head))
            .separated(b",");
        rest.then(foot);
        rest.advance(sent);
        rest
    }
}
