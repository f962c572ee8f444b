//! New events, to the entries that are live.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tidings_hub::{Dismissal, Found, Recent, Turn, fold};
use tidings_protocol::Sequence;

use super::{BATCH, Shard, TIMED};
use crate::delivery::memory::{Client, Portion};
use crate::delivery::parking::chunk::{Chunk, Cut};
use crate::delivery::parking::group::{Shape, narrow};
use crate::delivery::parking::page::{Answer, PagePart};
use crate::delivery::parking::parked::{Key, Pending};
use crate::delivery::parking::sink::Sent;
use crate::delivery::remainder::{Held, Remainder};

impl Shard {
    /// Passes on what the hub has after the shard's position, some at a time.
    pub(super) fn advance(&mut self) {
        let start = self.position;
        let recent = self.context.hub.recent(start, BATCH);
        let end = self.context.hub.end();
        if recent.as_ref().map_or(&end.lineage, |recent| &recent.lineage) != &self.lineage {
            return self.renew();
        }
        let Some(recent) = recent else {
            // The hub's memory ran ahead of this thread. Whoever was live catches up, each for itself.
            self.position = end.latest;
            for (index, entry) in &mut self.entries {
                if !entry.seen.fall_behind(start) {
                    continue;
                }
                self.ready.push_back(Key { index: narrow(index), generation: entry.generation });
            }
            return;
        };
        self.behind = !recent.entries.is_empty();
        if self.behind {
            self.deliver(start, &recent);
        }
        self.position = recent.next;
    }

    fn deliver(&mut self, start: Sequence, recent: &Recent) {
        let mut touched: Vec<(u32, Vec<u32>)> = Vec::new();
        for (place, entry) in recent.entries.iter().enumerate() {
            self.groups.matching(entry.event(), |number, group| {
                let at = group.concerned.get_or_insert_with(|| {
                    touched.push((number, Vec::new()));
                    narrow(touched.len() - 1)
                });
                touched[*at as usize].1.push(narrow(place));
            });
        }
        for (number, matched) in touched {
            let group = self.groups.get_mut(number);
            group.concerned = None;
            let interest = group.interest.clone();
            let entries = matched.iter().map(|place| Arc::clone(&recent.entries[*place as usize]));
            if self.hold_batch(number, start) {
                continue;
            }
            let entries = fold(entries.collect(), &interest.selection, interest.folding.conflate);
            let part = Recent { lineage: recent.lineage.clone(), entries, next: recent.next };
            match interest.shape {
                Shape::Stream { ref frames, .. } => {
                    let chunk = Chunk::new(&part, &interest.selection, frames);
                    if !chunk.bytes.is_empty() {
                        let served = self.deliver_chunk(number, start, &chunk, &interest.shape);
                        // What a slow socket left is counted with it.
                        let counts = self.counts.of(&interest.shape);
                        counts.count(chunk.events() * served, chunk.bytes.len() * served);
                    }
                }
                Shape::Poll { limit, .. } => {
                    let page = PagePart::new(&Found { until: part.next, recent: part }, &interest, limit);
                    if !page.pull.is_empty() {
                        let answer = page.answer(&interest.shape, self.draining);
                        self.deliver_page(number, start, &page, answer.as_ref());
                    }
                }
            }
        }
    }

    /// Sends a chunk to the members of a group that are live, and says how many those are.
    fn deliver_chunk(&mut self, number: u32, start: Sequence, chunk: &Chunk, shape: &Shape) -> usize {
        let mut targets = std::mem::take(&mut self.targets);
        targets.clear();
        for &index in self.groups.get(number).members() {
            let entry = &mut self.entries[index as usize];
            match entry.seen.batch(start) {
                Turn::Now => targets.push(index),
                Turn::Later => self.ready.push_back(Key { index, generation: entry.generation }),
                Turn::Never => {}
            }
        }
        for some in targets.chunks(TIMED) {
            for &index in some {
                let sent = self.offer(index, &chunk.bytes);
                self.after_send(index, chunk, sent);
            }
            self.counts.of(shape).time(chunk.oldest(), chunk.events() * some.len());
        }
        let served = targets.len();
        self.targets = targets;
        served
    }

    /// Gives the sink of an entry what it takes without waiting.
    fn offer(&mut self, index: u32, bytes: &[u8]) -> Sent {
        self.sinks.offer(&self.entries[index as usize].sink, bytes)
    }

    fn after_send(&mut self, index: u32, chunk: &Chunk, sent: Sent) {
        match sent {
            Sent::All => self.took(index, chunk),
            Sent::Some(sent) => self.took_some(index, chunk, sent),
            Sent::Failed => self.close(index),
        }
    }

    fn deliver_page(&mut self, number: u32, start: Sequence, page: &PagePart, answer: Option<&Answer>) {
        let (mut served, mut timed) = (0, 0);
        let events = page.pull.entries.len();
        let mut place = self.groups.get(number).members().len();
        while place > 0 {
            place -= 1;
            let index = self.groups.get(number).members()[place];
            let entry = &mut self.entries[index as usize];
            match entry.seen.batch(start) {
                Turn::Now => {}
                Turn::Later => {
                    self.catch_up_later(index);
                    continue;
                }
                Turn::Never => continue,
            }
            served += 1;
            self.answer(index, page, answer);
            if served - timed == TIMED {
                self.counts.polls().time(page.pull.oldest(), events * TIMED);
                timed = served;
            }
        }
        self.counts.polls().time(page.pull.oldest(), events * (served - timed));
        self.count_page(page, answer, served);
    }

    /// Counts a page that so many polls were answered with. What a handler makes of it, the handler counts.
    pub(super) fn count_page(&self, page: &PagePart, answer: Option<&Answer>, served: usize) {
        if let Some(answer) = answer {
            self.counts.polls().count(page.pull.entries.len() * served, answer.bytes.len() * served);
        }
    }

    /// Sends a poll its answer, a page as a response, or gives its handler the page.
    pub(super) fn answer(&mut self, index: u32, page: &PagePart, answer: Option<&Answer>) {
        let entry = &mut self.entries[index as usize];
        entry.seen.answer(page.next, !page.pull.ended && page.pull.gap.is_none());
        self.note_delivery(index, page.pull.entries.len());
        let Some(answer) = answer else {
            // It waits no longer when its handler goes on.
            let (entry, _) = self.remove(index);
            self.sinks.answer(&entry.sink, page.held());
            return self.sinks.close(entry.sink);
        };
        self.told(index, StatusCode::OK, answer.bytes.len());
        match self.offer(index, &answer.bytes) {
            Sent::All => self.finish(index),
            Sent::Some(sent) => {
                let rest = page.rest(answer, sent, self.portion(index));
                self.keep_rest(index, rest);
                self.block(index);
            }
            Sent::Failed => self.close(index),
        }
    }

    /// Answers a poll whose wait is over.
    pub(super) fn time_out(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let next = entry.seen.waited(self.position);
        let interest = &self.groups.get(entry.group).interest;
        if !interest.shape.is_poll() {
            return;
        }
        let page = PagePart::empty(self.lineage.clone(), next);
        let answer = page.answer(&interest.shape, self.draining);
        self.count_page(&page, answer.as_ref(), 1);
        self.answer(index, &page, answer.as_ref());
    }

    /// Memory for what an entry has not taken.
    fn portion(&self, index: u32) -> Portion {
        let network = match &self.permits[index as usize] {
            Some(permit) => permit.network(),
            None => self.sinks.network(&self.entries[index as usize].sink),
        };
        let known = self.leases.client(self.key(index));
        let known = known.or_else(|| self.sinks.client(&self.entries[index as usize].sink).cloned());
        let client = known.unwrap_or_else(|| network.map_or(Client::Unknown, Client::Network));
        self.context.answers.portion(client)
    }

    fn keep_rest(&mut self, index: u32, mut rest: Remainder) {
        rest.settle(&self.context.lately);
        self.entries[index as usize].pending = Some(Box::new(Pending::Rest { rest, asked: false }));
    }

    /// Gives a silent stream a sign of life.
    pub(super) fn heartbeat(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let Shape::Stream { frames, .. } = &self.groups.get(entry.group).interest.shape else { return };
        let has_moved = entry.seen.heartbeat(self.position).is_some();
        let mut bytes = Vec::new();
        frames.heartbeat(self.lineage.id(entry.seen.told()), has_moved, &mut bytes);
        entry.since = self.now;
        self.say(index, bytes);
    }

    /// Gives a stream that waits for the log a sign of life. Its cursor stays where it is.
    pub(super) fn sign_of_life(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let Shape::Stream { frames, .. } = &self.groups.get(entry.group).interest.shape else { return };
        let mut bytes = Vec::new();
        frames.heartbeat(self.lineage.id(entry.seen.told()), false, &mut bytes);
        entry.since = self.now;
        self.say(index, bytes);
    }

    /// Sends something that is not an event. Nothing is pending.
    fn say(&mut self, index: u32, bytes: Vec<u8>) {
        self.entries[index as usize].pending = Some(Box::new(Pending::Bytes(Bytes::from(bytes), 0)));
        let seen = &mut self.entries[index as usize].seen;
        if seen.is_live() {
            seen.lag();
        }
        self.resume(index);
    }

    /// Ends an entry because the hub does, or its token: a poll is answered with what it has, and a stream is told when to
    /// come back, at a random moment within `retry`.
    pub(super) fn dismiss(&mut self, index: u32, retry: Duration) {
        let entry = &self.entries[index as usize];
        match entry.seen.dismiss() {
            Dismissal::UnderWay => return,
            Dismissal::Close => return self.close(index),
            Dismissal::Tell => {}
        }
        let frames = match &self.groups.get(entry.group).interest.shape {
            Shape::Poll { .. } => return self.time_out(index),
            Shape::Stream { frames, .. } => frames,
        };
        // What was begun is finished first, so that the end falls between two events.
        let mut bytes = Vec::new();
        frames.farewell(retry, &mut bytes);
        let entry = &mut self.entries[index as usize];
        entry.seen.end();
        entry.send_then(bytes);
        self.resume(index);
    }

    /// A live entry took all of a chunk.
    pub(super) fn took(&mut self, index: u32, chunk: &Chunk) {
        let entry = &mut self.entries[index as usize];
        entry.seen.take(chunk.next, chunk.last());
        entry.since = self.now;
        entry.blocked = None;
        self.note_delivery(index, chunk.events());
        if chunk.ended {
            self.finish(index);
        }
    }

    /// An entry took a part of a chunk that begins at its cursor.
    pub(super) fn took_some(&mut self, index: u32, chunk: &Chunk, sent: usize) {
        let portion = self.portion(index);
        let entry = &mut self.entries[index as usize];
        let interest = &self.groups.get(entry.group).interest;
        let Shape::Stream { frames, .. } = &interest.shape else { return };
        let (encoding, conflate) = (frames.encoding(), interest.folding.conflate);
        let rest = |event: Option<Held>| {
            let until = event.as_ref().map_or(0, Held::sequence);
            Remainder::new(encoding, self.lineage.present(), event, portion).folded(conflate, until)
        };
        match chunk.cut(sent, entry.seen.cursor()) {
            Cut::Frame(event, sent) => {
                entry.seen.take_until(event.sequence());
                let mut rest = rest(Some(event));
                rest.advance(sent);
                self.keep_rest(index, rest);
            }
            Cut::Between(sequence) => entry.seen.take_until(sequence),
            Cut::End(event, end) => {
                entry.seen.pass(chunk.next);
                entry.seen.end();
                let (event, sent) = event.unzip();
                let mut rest = rest(event);
                rest.then(&chunk.bytes[end..]);
                rest.advance(sent.unwrap_or_default());
                self.keep_rest(index, rest);
            }
        }
        self.note_delivery(index, sent);
        self.block_after(index, sent);
    }
}
