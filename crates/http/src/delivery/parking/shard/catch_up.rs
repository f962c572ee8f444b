//! What an entry has not seen, when its socket takes it.

use std::sync::Arc;

use tidings_hub::{Found, Look, PullLimits, ReaderState as State, Renewal};
use tidings_log::ReadError;
use tidings_protocol::{Cursor, Epoch, GapReason, Selection, Sequence, limits};

use super::{CATCH_UP, CHUNK_BYTES, PAGE_BYTES, READS, SECOND, Shard, TURNS};
use crate::defaults;
use crate::delivery::parking::chunk::Chunk;
use crate::delivery::parking::group::{GroupSerial, Shape, narrow};
use crate::delivery::parking::mailbox::{Asked, Mailbox, Message};
use crate::delivery::parking::page::{Answer, PagePart};
use crate::delivery::parking::parked::{Key, Pending};
use crate::delivery::parking::sink::Sent;
use crate::delivery::parking::wheel::ticks;
use crate::delivery::remainder::Lost;

/// A read that is under way. The shard hears of its end, however that comes: it has only so many at once.
struct Reading {
    mailbox: Arc<Mailbox>,
    lost: Option<Asked>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(asked) = self.lost {
            self.mailbox.post(Message::Lost(asked));
        }
    }
}

impl Shard {
    /// Gives their turns to the entries that lag, and to polls whose next request is there already.
    pub(super) fn take_turns(&mut self) {
        for _ in 0..TURNS {
            let Some(key) = self.ready.pop_front() else { break };
            if key.is_connection() {
                self.read_on(key);
                continue;
            }
            if key.is_websocket() {
                self.read_websocket_on(key);
                continue;
            }
            match self
                .find(key)
                .map(|entry| (entry.seen.state(), entry.blocked.is_some(), entry.reader.is_readable()))
            {
                Some((State::Lagging, false, _)) => self.resume(key.index),
                Some((State::Idle, _, true)) => self.hear(key.index),
                _ => {}
            }
        }
    }

    pub(super) fn catch_up_later(&mut self, index: u32) {
        self.entries[index as usize].seen.lag();
        let key = self.key(index);
        self.ready.push_back(key);
    }

    /// Goes on with an entry whose socket may take bytes: first what is pending, then one chunk of what it has
    /// not seen.
    pub(super) fn resume(&mut self, index: u32) {
        if !self.flush(index) {
            return;
        }
        match self.entries[index as usize].seen.state() {
            State::Ending => self.finish(index),
            State::Lagging => self.catch_up(index),
            State::Live | State::Reading | State::Idle => {}
        }
    }

    fn catch_up(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        if entry.seen.cursor() >= self.position {
            return self.settle(index);
        }
        if self.holds(index) {
            return self.schedule_if_sooner(index);
        }
        self.end_hold(index);
        let entry = &mut self.entries[index as usize];
        let after = entry.seen.cursor();
        let group = self.groups.get(entry.group);
        let (interest, group) = (&group.interest, group.serial);
        let conflate = interest.folding.conflate;
        match interest.shape {
            Shape::Stream { ref frames, .. } => {
                let kept = self.chunks.get(&(group, after));
                let chunk = match kept.filter(|chunk| chunk.is_current(self.position)) {
                    Some(chunk) => Arc::clone(chunk),
                    None => {
                        let bytes = CATCH_UP.bytes.min(self.sinks.room(&entry.sink));
                        let look = Look::new(conflate, PullLimits { bytes, ..CATCH_UP });
                        let Some(found) = self.context.hub.recent_folded(after, &interest.selection, look)
                        else {
                            return self.read_later(index);
                        };
                        if found.recent.lineage != self.lineage {
                            self.behind = true;
                            return;
                        }
                        let chunk = Chunk::new(&found.recent, &interest.selection, frames);
                        let chunk = Arc::new(chunk.folded(conflate, &found));
                        self.keep_chunk((group, after), &chunk);
                        chunk
                    }
                };
                self.give(index, &chunk);
            }
            Shape::Poll { limit, .. } => {
                let limits = PullLimits { events: limit.saturating_add(1), bytes: limits::PAGE_BYTES };
                let place = (group, after, self.position, self.now / SECOND);
                if let Some((_, shared)) =
                    self.page.as_ref().filter(|(own, page)| *own == place && page.0.is_current())
                {
                    let shared = Arc::clone(shared);
                    return self.answer_again(index, &shared);
                }
                let look = Look::new(conflate, limits);
                match self.context.hub.recent_folded(after, &interest.selection, look) {
                    Some(found) if found.recent.lineage != self.lineage => self.behind = true,
                    Some(found) => {
                        self.page = self.give_page(index, &found).map(|page| (place, Arc::new(page)));
                    }
                    None => self.read_later(index),
                }
            }
        }
    }

    /// Keeps a chunk for others who come back to the same place.
    fn keep_chunk(&mut self, place: (GroupSerial, Sequence), chunk: &Arc<Chunk>) {
        let size = chunk.size();
        if size > CHUNK_BYTES / 4 {
            return;
        }
        if self.chunk_bytes + size > CHUNK_BYTES {
            self.forget_chunks();
        }
        self.chunk_bytes += size;
        self.chunks.insert(place, Arc::clone(chunk));
    }

    pub(super) fn forget_chunks(&mut self) {
        self.chunks.clear();
        self.chunk_bytes = 0;
        self.page = None;
    }

    /// Sends a chunk that begins at an entry's cursor.
    fn give(&mut self, index: u32, chunk: &Chunk) {
        let entry = &mut self.entries[index as usize];
        if chunk.bytes.is_empty() {
            entry.seen.pass(chunk.next);
            return self.live_or_later(index);
        }
        self.counts.of(&self.groups.get(entry.group).interest.shape).count(chunk.events(), chunk.bytes.len());
        match self.sinks.offer(&entry.sink, &chunk.bytes) {
            Sent::All => {
                let key = self.key(index);
                self.took(index, chunk);
                if self.find(key).is_some_and(|entry| entry.seen.state() != State::Ending) {
                    self.live_or_later(index);
                }
            }
            Sent::Some(sent) => self.took_some(index, chunk, sent),
            Sent::Failed => self.close(index),
        }
    }

    /// Answers a poll with what is found after its cursor. Gives back a page that others may get as well.
    fn give_page(&mut self, index: u32, found: &Found) -> Option<(PagePart, Answer)> {
        let entry = &mut self.entries[index as usize];
        let interest = &self.groups.get(entry.group).interest;
        let Shape::Poll { limit, .. } = interest.shape else { return None };
        let mut page = PagePart::new(found, interest, limit);
        if page.pull.is_empty() {
            entry.seen.pass(page.next);
            self.live_or_later(index);
            return None;
        }
        // A page that was cut off by its bytes has more behind it, as far as can be told here.
        page.pull.more |= !page.pull.ended && page.next < self.position;
        let answer = page.answer(&interest.shape, self.draining);
        self.count_page(&page, answer.as_ref(), 1);
        self.answer(index, &page, answer.as_ref());
        let answer = answer.filter(|answer| answer.bytes.len() <= PAGE_BYTES)?;
        Some((page, answer))
    }

    /// Answers a poll as the last one that asked for the same.
    fn answer_again(&mut self, index: u32, (page, answer): &(PagePart, Answer)) {
        self.count_page(page, Some(answer), 1);
        self.answer(index, page, Some(answer));
    }

    fn live_or_later(&mut self, index: u32) {
        if self.entries[index as usize].seen.cursor() >= self.position {
            self.settle(index);
        } else {
            self.catch_up_later(index);
        }
    }

    /// The hub's memory does not reach back to the entry's cursor: the log does.
    fn read_later(&mut self, index: u32) {
        self.entries[index as usize].seen.read();
        let key = self.key(index);
        self.want_read.push_back(key);
    }

    pub(super) fn start_reads(&mut self) {
        if self.rest_until <= self.now {
            self.want_read.extend(self.resting.drain(..));
        }
        while self.reading < READS {
            let Some(key) = self.want_read.pop_front() else { break };
            let Some(entry) = self.find(key) else { continue };
            let interest = &self.groups.get(entry.group).interest;
            if let Some(Pending::Rest { rest, asked: true }) = entry.pending.as_deref() {
                if let Some((place, look)) = rest.wants() {
                    let selection = Arc::clone(&interest.selection);
                    self.read(key, place, selection, look);
                }
                continue;
            }
            if entry.seen.state() != State::Reading {
                continue;
            }
            if self.rest_until > self.now && !interest.shape.is_poll() {
                self.resting.push(key);
                continue;
            }
            let place = (self.lineage.present(), entry.seen.cursor());
            let selection = Arc::clone(&interest.selection);
            let limits = match interest.shape {
                Shape::Stream { .. } => CATCH_UP,
                Shape::Poll { limit, .. } => PullLimits { events: limit.saturating_add(1), ..CATCH_UP },
            };
            let look = Look::new(interest.folding.conflate, limits);
            self.read(key, place, selection, look);
        }
    }

    fn read(&mut self, key: Key, place: (Epoch, Sequence), selection: Arc<Selection>, look: Look) {
        let (hub, mailbox) = (self.context.hub.clone(), Arc::clone(&self.mailbox));
        self.reading += 1;
        let asked = Asked { shard: self.number, key, place };
        let mut reading = Reading { mailbox, lost: Some(asked) };
        self.runtime.spawn(async move {
            let (epoch, after) = place;
            let result = hub.read_folded(epoch, after, &selection, look).await;
            reading.lost = None;
            reading.mailbox.post(Message::Read(asked, result));
        });
    }

    /// A read has ended without a result: it panicked, or the runtime ends.
    pub(super) fn on_lost_read(&mut self, asked: Asked) {
        let Some(entry) = self.find(asked.key) else { return };
        let wants_rest = matches!(entry.pending.as_deref(), Some(Pending::Rest { asked: true, .. }));
        if entry.seen.state() == State::Reading || wants_rest {
            tracing::error!(
                after = asked.place.1,
                "a read of the log failed without a word, closed who waited for it"
            );
            self.close(asked.key.index);
        }
    }

    pub(super) fn on_read(&mut self, asked: Asked, result: Result<Found, ReadError>) {
        let Asked { key, place, .. } = asked;
        if let Some(entry) = self.entries.get_mut(key.index as usize)
            && entry.generation == key.generation
            && let Some(Pending::Rest { rest, asked: asked @ true }) = entry.pending.as_deref_mut()
        {
            if rest.wants().is_none_or(|(wanted, _)| wanted != place) {
                return;
            }
            *asked = false;
            let selection = &self.groups.get(entry.group).interest.selection;
            let found = result.map_err(|_| Lost).and_then(|found| rest.feed(&found.recent, selection));
            if self.is_found(key.index, found) {
                self.resume(key.index);
            }
            return;
        }
        let Some(entry) = self.find(key).filter(|entry| entry.seen.state() == State::Reading) else { return };
        let group = entry.group;
        if place != (self.lineage.present(), entry.seen.cursor()) {
            // It was asked for before the log was renewed, and what the entry waits for now is still to come.
            return;
        }
        if result.as_ref().is_ok_and(|found| found.recent.lineage != self.lineage) {
            // The shard has yet to hear that the log was renewed.
            self.behind = true;
            return;
        }
        let entry = &mut self.entries[key.index as usize];
        entry.seen.lag();
        if entry.pending.is_some() {
            // A sign of life is still on its way: the entry reads again when its socket has taken it.
            return;
        }
        match result {
            Ok(found) => {
                let interest = &self.groups.get(group).interest;
                match interest.shape {
                    Shape::Stream { ref frames, .. } => {
                        let chunk = Chunk::new(&found.recent, &interest.selection, frames);
                        self.give(key.index, &chunk);
                    }
                    Shape::Poll { .. } => drop(self.give_page(key.index, &found)),
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
                self.entries[key.index as usize].seen.read();
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
        let end = self.context.hub.end();
        if end.lineage == self.lineage {
            return;
        }
        let before = std::mem::replace(&mut self.lineage, end.lineage);
        let position = std::mem::replace(&mut self.position, end.latest);
        self.behind = true;
        self.forget_chunks();
        self.want_read.clear();
        self.resting.clear();
        let keys: Vec<_> = self.entries.iter().map(|(index, _)| self.key(narrow(index))).collect();
        for key in keys {
            let Some(entry) = self.find(key) else { continue };
            if entry.depends_on_log() {
                // What it is in the middle of is in the log that is gone.
                self.close(key.index);
                continue;
            }
            match self.entries[key.index as usize].seen.renew(&before, &self.lineage, position) {
                Renewal::Unconcerned => {}
                Renewal::GoesOn => self.go_on(key.index),
                Renewal::Gap(reason, since) => self.tell_gap(key.index, reason, since),
            }
        }
    }

    /// Goes on in the log that is new to the shard, where nothing is lost that the entry has seen.
    fn go_on(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        if entry.seen.state() != State::Lagging || entry.blocked.is_none() {
            self.catch_up_later(index);
        }
    }

    /// Something after an entry's place may be missing: it is told, and goes on from the earliest event.
    pub(super) fn tell_gap(&mut self, index: u32, reason: GapReason, since: Cursor) {
        let (gap, resumed) = self.context.hub.gap(reason, since.to_string());
        self.context.metrics.count_gap(gap.reason);
        let entry = &mut self.entries[index as usize];
        let interest = &self.groups.get(entry.group).interest;
        match interest.shape {
            Shape::Stream { ref frames, .. } => {
                entry.seen.gap(resumed.latest);
                // What was begun is finished first, so that the gap falls between two events.
                let mut bytes = Vec::new();
                frames.gap(&gap, &mut bytes);
                entry.send_then(bytes);
                self.resume(index);
            }
            Shape::Poll { .. } => {
                let next = resumed.latest;
                entry.seen.pass(next);
                let mut page = PagePart::empty(resumed.lineage, next);
                page.pull.gap = Some(gap);
                page.pull.more = next < self.position;
                let answer = page.answer(&interest.shape, self.draining);
                self.answer(index, &page, answer.as_ref());
            }
        }
    }
}
