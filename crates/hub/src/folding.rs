//! Folding: what is pending for a reader becomes fewer events, where it asks for that.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tidings_protocol::{Event, Format, Selection, Topic};

use crate::{Entry, PullLimits};

/// How a reader wants what is pending for it: folded, and how often. It asked for that, so nothing is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Folding {
    /// How events are folded, where they are.
    pub conflate: Option<Conflate>,
    /// For how long after a delivery what is pending is held.
    pub every: Duration,
}

/// How what is pending for a reader is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conflate {
    /// Only the newest event of each topic.
    Latest,
    /// Text events of one topic and type that follow one another are joined. The joined event has the id of the last.
    Append,
}

/// Neither `latest` nor `append`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is `latest` or `append`")]
pub struct InvalidConflate;

/// Entries that are being folded, in the order of the log.
///
/// What is left of them is in the order in which it is in the log, too. So a reader that takes only the first of it can go
/// on from there: everything before was given to it, or something newer of the same topic is still to come.
#[derive(Debug)]
pub(crate) struct Fold {
    conflate: Option<Conflate>,
    /// What the fold is of so far. What was superseded is `None`.
    parts: Vec<Option<Part>>,
    /// The part that has the newest event of each topic.
    newest: HashMap<Topic, usize>,
    events: usize,
    bytes: usize,
}

/// An entry, and those that are joined with it.
#[derive(Debug)]
struct Part {
    entries: Vec<Arc<Entry>>,
    bytes: usize,
}

/// A joined event has no more data, unless it is one alone.
pub const JOINED_BYTES: usize = 64 << 10;
/// What a fold keeps while it looks for what is newer, in bytes. Beyond that it is cut, and goes on behind that.
pub(crate) const FOLD_BYTES: usize = 4 << 20;

// === impl Conflate ===

impl FromStr for Conflate {
    type Err = InvalidConflate;

    fn from_str(text: &str) -> Result<Self, InvalidConflate> {
        match text {
            "latest" => Ok(Self::Latest),
            "append" => Ok(Self::Append),
            _ => Err(InvalidConflate),
        }
    }
}

// === impl Fold ===

impl Fold {
    pub(crate) fn new(conflate: Option<Conflate>) -> Self {
        Self { conflate, parts: Vec::new(), newest: HashMap::new(), events: 0, bytes: 0 }
    }

    /// Takes the next entry that concerns the reader.
    pub(crate) fn push(&mut self, entry: Arc<Entry>, selection: &Selection) {
        if !selection.matches(entry.event()) {
            // It only says that its topic has ended.
            if selection.is_ended_by(entry.event()) {
                self.parts.push(Some(Part::of(entry)));
            }
            return;
        }
        let size = size(&entry);
        match self.conflate {
            Some(Conflate::Append) if self.joins(&entry) => {
                if let Some(Some(last)) = self.parts.last_mut() {
                    last.bytes += entry.event().data.len();
                    last.entries.push(entry);
                }
                self.bytes += size;
                return;
            }
            Some(Conflate::Latest) => {
                let place = self.parts.len();
                let before = match self.newest.get_mut(entry.event().topic.as_str()) {
                    Some(before) => Some(std::mem::replace(before, place)),
                    None => self.newest.insert(entry.event().topic.clone(), place),
                };
                if let Some(old) = before.and_then(|before| self.parts[before].take()) {
                    self.events -= 1;
                    self.bytes -= old.entries.first().map_or(0, |entry| self::size(entry));
                }
            }
            Some(Conflate::Append) | None => {}
        }
        self.events += 1;
        self.bytes += size;
        self.parts.push(Some(Part::of(entry)));
        self.tidy();
    }

    /// Whether an event belongs to the last one.
    fn joins(&self, entry: &Entry) -> bool {
        let Some(Some(part)) = self.parts.last() else { return false };
        let Some(last) = part.entries.last() else { return false };
        let (last, event) = (last.event(), entry.event());
        let is_text = last.format == Format::Text && event.format == Format::Text;
        let is_same = last.topic == event.topic && last.event_type == event.event_type;
        // Each has a lifetime of its own, where it has one.
        let is_lasting = last.expires.is_none() && event.expires.is_none();
        is_text && is_same && is_lasting && !last.closes() && part.bytes + event.data.len() <= JOINED_BYTES
    }

    /// Whether nothing that comes later changes what the first so many are.
    pub(crate) fn is_full(&self, limits: PullLimits) -> bool {
        match self.conflate {
            // What is found later may be newer than what is here.
            Some(Conflate::Latest) => self.bytes + self.events * EVENT_BYTES >= FOLD_BYTES,
            // The last one may go on.
            Some(Conflate::Append) => self.events > limits.events || self.bytes >= limits.bytes,
            None => self.events >= limits.events || self.bytes >= limits.bytes,
        }
    }

    /// How much is to be read at once for it.
    pub(crate) fn wants(&self, limits: PullLimits) -> PullLimits {
        match self.conflate {
            None => PullLimits {
                events: limits.events.saturating_sub(self.events),
                bytes: limits.bytes.saturating_sub(self.bytes),
            },
            Some(_) => LOOK,
        }
    }

    /// The first of what is left, up to the limits, and whether that is all.
    pub(crate) fn finish(self, limits: PullLimits) -> (Vec<Arc<Entry>>, bool) {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for part in self.parts.into_iter().flatten() {
            if !found.is_empty() && (found.len() >= limits.events || bytes >= limits.bytes) {
                return (found, false);
            }
            let Some(entry) = part.join() else { continue };
            bytes += size(&entry);
            found.push(entry);
        }
        (found, true)
    }

    /// Lets go of the places of what was superseded, where they are most of all.
    fn tidy(&mut self) {
        if self.parts.len() < SPARE || self.parts.len() / 2 < self.events {
            return;
        }
        self.parts.retain(Option::is_some);
        for (place, part) in self.parts.iter().enumerate() {
            let first = part.as_ref().and_then(|part| part.entries.first());
            let event = first.map(|entry| entry.event()).filter(|event| event.is_visible());
            if let Some(newest) = event.and_then(|event| self.newest.get_mut(event.topic.as_str())) {
                *newest = place;
            }
        }
    }
}

/// What an event takes in a fold beside its data and its topic, about.
const EVENT_BYTES: usize = 256;
/// How much is read at once for a fold that needs to see what follows.
const LOOK: PullLimits = PullLimits { events: 4_096, bytes: 1 << 20 };
/// So few places are not worth tidying.
const SPARE: usize = 1_024;

/// Folds entries that are all at hand.
#[must_use]
pub fn fold(entries: Vec<Arc<Entry>>, selection: &Selection, conflate: Option<Conflate>) -> Vec<Arc<Entry>> {
    if conflate.is_none() || entries.len() < 2 {
        return entries;
    }
    let mut fold = Fold::new(conflate);
    for entry in entries {
        fold.push(entry, selection);
    }
    fold.finish(PullLimits { events: usize::MAX, bytes: usize::MAX }).0
}

fn size(entry: &Entry) -> usize {
    entry.event().data.len() + entry.event().topic.as_str().len()
}

// === impl Part ===

impl Part {
    fn of(entry: Arc<Entry>) -> Self {
        Self { bytes: entry.event().data.len(), entries: vec![entry] }
    }

    fn join(mut self) -> Option<Arc<Entry>> {
        if self.entries.len() < 2 {
            return self.entries.pop();
        }
        let mut data = BytesMut::with_capacity(self.bytes);
        for entry in &self.entries {
            data.extend_from_slice(&entry.event().data);
        }
        let (first, last) = (self.entries.first()?, self.entries.last()?);
        let event = Event { data: data.freeze(), ..last.event().clone() };
        Some(Arc::new(Entry::joined(Arc::new(event), last.cursor().epoch, first.event().sequence)))
    }
}
