//! What an entry has not seen, when its socket takes it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use tidings_hub::{PullLimits, Recent};
use tidings_log::ReadError;
use tidings_protocol::{Cursor, Epoch, GapReason, Sequence, limits};

use super::{CATCH_UP, CHUNKS, READS, Sent, Shard, TURNS, offer};
use crate::defaults;
use crate::parking::chunk::Chunk;
use crate::parking::group::{Shape, narrow};
use crate::parking::mailbox::Message;
use crate::parking::page::PagePart;
use crate::parking::parked::{Key, Pending, State};
use crate::parking::wheel::ticks;

impl Shard {
    /// Gives their turns to the entries that lag, and to polls whose next request is there already.
    pub(super) fn take_turns(&mut self) {
        for _ in 0..TURNS {
            let Some(key) = self.ready.pop_front() else { break };
            match self.find(key).map(|entry| (entry.state, entry.blocked.is_some(), entry.readable)) {
                Some((State::Lagging, false, _)) => self.resume(key.index),
                Some((State::Idle, _, true)) => self.hear(key.index),
                _ => {}
            }
        }
    }

    pub(super) fn catch_up_later(&mut self, index: u32) {
        self.entries[index as usize].state = State::Lagging;
        let key = self.key(index);
        self.ready.push_back(key);
    }

    /// Goes on with an entry whose socket may take bytes: first what is pending, then one chunk of what it has
    /// not seen.
    pub(super) fn resume(&mut self, index: u32) {
        if !self.flush(index) {
            return;
        }
        match self.entries[index as usize].state {
            State::Ending => self.finish(index),
            State::Lagging => self.catch_up(index),
            State::Live | State::Reading | State::Idle => {}
        }
    }

    /// Sends what is pending. Says whether the entry is there and its socket takes more.
    fn flush(&mut self, index: u32) -> bool {
        let entry = &mut self.entries[index as usize];
        let frames = match self.groups.get(entry.group).interest.shape {
            Shape::Stream { frames, .. } => Some(frames),
            Shape::Poll { .. } => None,
        };
        let Some(pending) = entry.pending.as_deref_mut() else {
            entry.blocked = None;
            return true;
        };
        let (bytes, sent) = match pending {
            Pending::Bytes(bytes, sent) => (Cow::Borrowed(&bytes[..]), sent),
            Pending::Frame(event, sent) => {
                (frames.map_or(Cow::Borrowed(&[][..]), |frames| event.frame(frames.framing())), sent)
            }
        };
        match offer(&entry.socket, &bytes[*sent..]) {
            Sent::All => {
                entry.pending = None;
                entry.blocked = None;
                if frames.is_some() {
                    entry.since = self.now;
                }
                true
            }
            Sent::Some(count) => {
                *sent += count;
                // The deadline runs from the last byte that was taken.
                if count > 0 || entry.blocked.is_none() {
                    self.block(index);
                }
                false
            }
            Sent::Failed => {
                self.close(index);
                false
            }
        }
    }

    fn catch_up(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        if entry.cursor >= self.position {
            entry.state = State::Live;
            return;
        }
        let (group, after) = (entry.group, entry.cursor);
        let interest = &self.groups.get(group).interest;
        match interest.shape {
            Shape::Stream { frames, .. } => {
                let chunk = match self.chunks.get(&(group, after)) {
                    Some(chunk) => Arc::clone(chunk),
                    None => {
                        let Some(recent) = self.face.hub.recent_of(after, &interest.selection, CATCH_UP)
                        else {
                            return self.read_later(index);
                        };
                        if recent.lineage != self.lineage {
                            self.behind = true;
                            return;
                        }
                        let chunk = Arc::new(Chunk::new(&recent, &interest.selection, frames));
                        if self.chunks.len() >= CHUNKS {
                            self.chunks.clear();
                        }
                        self.chunks.insert((group, after), Arc::clone(&chunk));
                        chunk
                    }
                };
                self.give(index, &chunk);
            }
            Shape::Poll { limit, .. } => {
                let limits = PullLimits { events: limit.saturating_add(1), bytes: limits::PAGE_BYTES };
                match self.face.hub.recent_of(after, &interest.selection, limits) {
                    Some(recent) if recent.lineage != self.lineage => self.behind = true,
                    Some(recent) => self.give_page(index, &recent),
                    None => self.read_later(index),
                }
            }
        }
    }

    /// Sends a chunk that begins at an entry's cursor.
    fn give(&mut self, index: u32, chunk: &Chunk) {
        let entry = &mut self.entries[index as usize];
        if chunk.bytes.is_empty() {
            entry.cursor = chunk.next;
            return self.live_or_later(index);
        }
        self.counts.of(&self.groups.get(entry.group).interest.shape).count(chunk.events(), chunk.bytes.len());
        match offer(&entry.socket, &chunk.bytes) {
            Sent::All => {
                let key = self.key(index);
                self.took(index, chunk);
                if self.find(key).is_some() {
                    self.live_or_later(index);
                }
            }
            Sent::Some(sent) => self.took_some(index, chunk, sent),
            Sent::Failed => self.close(index),
        }
    }

    fn give_page(&mut self, index: u32, recent: &Recent) {
        let entry = &mut self.entries[index as usize];
        let interest = &self.groups.get(entry.group).interest;
        let Shape::Poll { limit, ref head, close, caching } = interest.shape else { return };
        let mut page = PagePart::new(recent, &interest.selection, limit);
        if page.pull.is_empty() {
            entry.cursor = page.next;
            return self.live_or_later(index);
        }
        // A page that was cut off by its bytes has more behind it, as far as can be told here.
        page.pull.more |= !page.pull.ended && page.next < self.position;
        let response = Bytes::from(page.response(head, caching, close || self.draining));
        self.counts.long_poll.count(page.pull.entries.len(), response.len());
        self.answer(index, &page, &response);
    }

    fn live_or_later(&mut self, index: u32) {
        if self.entries[index as usize].cursor >= self.position {
            self.entries[index as usize].state = State::Live;
        } else {
            self.catch_up_later(index);
        }
    }

    /// The hub's memory does not reach back to the entry's cursor: the log does.
    fn read_later(&mut self, index: u32) {
        self.entries[index as usize].state = State::Reading;
        let key = self.key(index);
        self.want_read.push_back(key);
    }

    pub(super) fn start_reads(&mut self) {
        if self.rest_until <= self.now {
            self.want_read.extend(self.resting.drain(..));
        }
        while self.reading < READS {
            let Some(key) = self.want_read.pop_front() else { break };
            let Some(entry) = self.find(key).filter(|entry| entry.state == State::Reading) else { continue };
            let interest = &self.groups.get(entry.group).interest;
            if self.rest_until > self.now && !interest.shape.is_poll() {
                self.resting.push(key);
                continue;
            }
            let (hub, mailbox) = (self.face.hub.clone(), Arc::clone(&self.mailbox));
            let (epoch, after) = (self.lineage.present(), entry.cursor);
            let selection = Arc::clone(&interest.selection);
            let limits = match interest.shape {
                Shape::Stream { .. } => CATCH_UP,
                Shape::Poll { limit, .. } => PullLimits { events: limit.saturating_add(1), ..CATCH_UP },
            };
            self.reading += 1;
            self.runtime.spawn(async move {
                let result = hub.read(epoch, after, &selection, limits).await;
                mailbox.post(Message::Read(key, (epoch, after), result));
            });
        }
    }

    pub(super) fn on_read(&mut self, key: Key, place: (Epoch, Sequence), result: Result<Recent, ReadError>) {
        self.reading -= 1;
        let Some(entry) = self.find(key).filter(|entry| entry.state == State::Reading) else { return };
        let group = entry.group;
        if place != (self.lineage.present(), entry.cursor) {
            // It was asked for before the log was renewed, and what the entry waits for now is still to come.
            return;
        }
        if result.as_ref().is_ok_and(|recent| recent.lineage != self.lineage) {
            // The shard has yet to hear that the log was renewed.
            self.behind = true;
            return;
        }
        let entry = &mut self.entries[key.index as usize];
        entry.state = State::Lagging;
        if entry.pending.is_some() {
            // A sign of life is still on its way: the entry reads again when its socket has taken it.
            return;
        }
        match result {
            Ok(recent) => {
                let interest = &self.groups.get(group).interest;
                match interest.shape {
                    Shape::Stream { frames, .. } => {
                        let chunk = Chunk::new(&recent, &interest.selection, frames);
                        self.give(key.index, &chunk);
                    }
                    Shape::Poll { .. } => self.give_page(key.index, &recent),
                }
            }
            Err(ReadError::Expired { .. }) => {
                let since = self.lineage.id(place.1);
                self.tell_gap(key.index, GapReason::Expired, since);
            }
            Err(ReadError::Away { .. }) if self.groups.get(group).interest.shape.is_poll() => {
                self.give_up(key.index);
            }
            // Streams stay open, however long that is. They leave the reads to polls meanwhile.
            Err(ReadError::Away { .. }) => {
                self.entries[key.index as usize].state = State::Reading;
                self.resting.push(key);
                self.rest_until = self.now.saturating_add(ticks(defaults::READ_PAUSE));
            }
            Err(error) => {
                tracing::error!(%error, "failed to read the log for a parked connection");
                self.close(key.index);
            }
        }
    }

    /// Answers a poll that cannot be given what there is: with nothing, in time. Its next request goes to the routes,
    /// which can say more. So nothing that is read for it later is taken.
    pub(super) fn give_up(&mut self, index: u32) {
        self.forget_template(index);
        self.time_out(index);
    }

    /// Goes over to the log that the hub is over now. Entries that have seen something that is lost are told, and the
    /// others go on.
    pub(super) fn renew(&mut self) {
        let end = self.face.hub.end();
        if end.lineage == self.lineage {
            return;
        }
        let before = std::mem::replace(&mut self.lineage, end.lineage);
        let position = std::mem::replace(&mut self.position, end.latest);
        self.behind = true;
        self.chunks.clear();
        self.want_read.clear();
        self.resting.clear();
        let keys: Vec<_> = self.entries.iter().map(|(index, _)| self.key(narrow(index))).collect();
        for key in keys {
            let Some(entry) = self.find(key) else { continue };
            let cursor = match entry.state {
                State::Live => entry.cursor.max(position),
                State::Lagging | State::Reading => entry.cursor,
                State::Ending => continue,
                State::Idle => {
                    self.entries[key.index as usize].told = 0;
                    continue;
                }
            };
            let since = before.id(cursor);
            match self.lineage.place(since) {
                Ok(place) => self.go_on(key.index, place),
                Err(reason) => self.tell_gap(key.index, reason, since),
            }
        }
    }

    /// Goes on from a place in the log that is new to the shard, where nothing is lost that the entry has seen.
    fn go_on(&mut self, index: u32, place: Sequence) {
        let entry = &mut self.entries[index as usize];
        entry.cursor = place;
        if entry.state != State::Lagging || entry.blocked.is_none() {
            self.catch_up_later(index);
        }
    }

    /// Something after an entry's place may be missing: it is told, and goes on from the earliest event.
    pub(super) fn tell_gap(&mut self, index: u32, reason: GapReason, since: Cursor) {
        let (gap, resumed) = self.face.hub.gap(reason, since.to_string());
        self.face.metrics.count_gap(gap.reason);
        let entry = &mut self.entries[index as usize];
        let interest = &self.groups.get(entry.group).interest;
        entry.cursor = resumed.latest;
        match interest.shape {
            Shape::Stream { frames, .. } => {
                entry.told = entry.cursor;
                entry.state = State::Lagging;
                // What was begun is finished first, so that the gap falls between two events.
                let mut bytes = entry.unsent(frames);
                frames.gap(&gap, &mut bytes);
                entry.pending = Some(Box::new(Pending::Bytes(Bytes::from(bytes), 0)));
                self.resume(index);
            }
            Shape::Poll { ref head, close, caching, .. } => {
                let next = resumed.latest;
                let none = Recent { lineage: resumed.lineage, entries: Vec::new(), next };
                let mut page = PagePart::new(&none, &interest.selection, 1);
                page.pull.gap = Some(gap);
                page.pull.more = next < self.position;
                let response = page.response(head, caching, close || self.draining);
                self.answer(index, &page, &Bytes::from(response));
            }
        }
    }
}
