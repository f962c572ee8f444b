//! A reader, and what it may be told.

use std::fmt;

use axum::body::Body;
use http::StatusCode;
use serde_json::Value;
use tidings_hub::{Conflate, Hub, Pull, Subscription};
use tidings_protocol::Cursor;
use tokio::task::JoinHandle;

use super::history::History;

pub(super) struct Reader {
    pub(super) selector: &'static str,
    pub(super) conflate: Option<Conflate>,
    pub(super) asks: Asks,
    /// What was taken and is not a whole block yet.
    pub(super) text: String,
    /// The place in the history from which on nothing may be left out.
    pub(super) next: usize,
    /// The event that was told last.
    pub(super) last: Option<usize>,
    pub(super) has_begun: bool,
    pub(super) has_ended: bool,
    pub(super) is_broken: bool,
}

pub(super) enum Asks {
    Stream(Body),
    Poll { query: String, since: String, answer: Option<JoinHandle<(StatusCode, String)>> },
    Pull(Box<Subscription>),
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.asks {
            Asks::Stream(_) => "a stream",
            Asks::Poll { query, .. } => &format!("a poll{query}"),
            Asks::Pull(_) => "a program",
        };
        write!(f, "{way} of {}, {:?}, at {}", self.selector, self.conflate, self.next)
    }
}

// === impl Reader ===

impl Reader {
    pub(super) fn event(&mut self, history: &History, text: &str) {
        if self.conflate != Some(Conflate::Append) {
            return self.single_event(history, text);
        }
        let topic = |part| history.all[history.find(part)].topic;
        let parts = parts(text);
        for part in &parts {
            assert_eq!(topic(part), topic(parts[0]), "joined with another topic's");
            self.single_event(history, part);
        }
    }

    fn single_event(&mut self, history: &History, text: &str) {
        let place = history.find(text);
        assert!(place >= self.next, "{self} was told again: {text}");
        self.pass(history, place);
        if let Some(mark) = self.last.and_then(|last| history.all[last].lost) {
            assert!(place < mark, "not told that something it had seen is lost: {text}");
        }
        (self.next, self.last) = (place + 1, Some(place));
    }

    /// Nothing that concerns it is left out before a place.
    pub(super) fn pass(&self, history: &History, place: usize) {
        for left_out in self.next..place {
            let is_superseded = self.conflate == Some(Conflate::Latest) && history.is_superseded(left_out);
            let is_missed = history.concerns(left_out, self.selector)
                && history.all[left_out].lost.is_none()
                && !is_superseded;
            assert!(!is_missed, "{self} was never told: {}", history.all[left_out].text);
        }
    }

    /// It was told that everything up to here is seen.
    pub(super) fn id(&self, history: &History, hub: &Hub, id: &str) {
        // The cursor of a page may say when it was asked for as well.
        let end = id.match_indices('-').nth(1).map_or(id.len(), |(end, _)| end);
        let cursor: Cursor = id[..end].parse().unwrap();
        if hub.lineage().id(cursor.sequence) != cursor {
            // It is of a log that is gone.
            return;
        }
        let present = history.logs.last().unwrap();
        for place in present.iter().take(usize::try_from(cursor.sequence).unwrap()) {
            let is_superseded = self.conflate == Some(Conflate::Latest) && history.is_superseded(*place);
            let is_missed = *place >= self.next && history.concerns(*place, self.selector) && !is_superseded;
            assert!(!is_missed, "{id} is beyond {}", history.all[*place].text);
        }
    }

    pub(super) fn gap(&mut self, history: &History, hub: &Hub, gap: &Value) {
        let resumed: Cursor = gap["resumed"].as_str().unwrap().parse().unwrap();
        // Under a name of an earlier epoch, it may be of the log as it was when the gap was told.
        let is_present = resumed.epoch == hub.epoch();
        (self.next, self.last) = (history.after(resumed.sequence, is_present), None);
    }

    pub(super) fn blocks(&mut self, history: &History, hub: &Hub) {
        while let Some(end) = self.text.find("\n\n") {
            assert!(!self.has_ended, "something after the end: {}", self.text);
            let block: String = self.text.drain(..end + 2).collect();
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let (id, data) = (field("id: "), field("data: ").unwrap_or_default());
            match field("event: ") {
                Some("tidings.gap") => self.gap(history, hub, &serde_json::from_str(data).unwrap()),
                Some("tidings.end") => self.has_ended = true,
                _ if field("data: ").is_some() => self.event(history, data),
                _ => {}
            }
            if let Some(id) = id {
                self.id(history, hub, id);
            }
            // One that is put off is told why.
            let is_put_off = block.lines().any(|line| line.starts_with(": "));
            if field("retry: ").is_some() {
                self.has_ended |= std::mem::replace(&mut self.has_begun, true) || is_put_off;
            }
        }
    }

    pub(super) fn page(&mut self, history: &History, hub: &Hub, page: &Value) -> String {
        if !page["gap"].is_null() {
            self.gap(history, hub, &page["gap"]);
        }
        for event in page["events"].as_array().unwrap() {
            self.event(history, event["data"].as_str().unwrap());
        }
        self.has_ended |= page["closed"] == true;
        let next = page["next"].as_str().unwrap();
        self.id(history, hub, next);
        next.to_owned()
    }

    /// What a program pulled.
    pub(super) fn pulled(&mut self, history: &History, hub: &Hub, pull: &Pull, cursor: Cursor) {
        if let Some(gap) = &pull.gap {
            self.gap(history, hub, &serde_json::to_value(gap).unwrap());
        }
        for entry in &pull.entries {
            self.event(history, std::str::from_utf8(&entry.event().data).unwrap());
        }
        self.has_ended |= pull.ended;
        self.id(history, hub, &cursor.to_string());
    }
}

/// The events that were joined to one: each is a number, a colon, and nothing but `x`.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (_, data) = rest.split_once(':').unwrap();
        let end = rest.len() - data.trim_start_matches('x').len();
        let (part, next) = rest.split_at(end);
        parts.push(part);
        rest = next;
    }
    parts
}
