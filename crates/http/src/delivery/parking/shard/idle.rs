//! Polls that were answered, between two requests.

use bytes::Bytes;

use super::Shard;
use crate::defaults;
use crate::delivery::parking::group::{PollResponse, Shape};
use crate::delivery::parking::parked_connections::Returned;
use crate::delivery::parking::sink::Received;
use crate::delivery::parking::template::{Known, REQUEST_BYTES};
use crate::delivery::parking::wheel::ticks;

impl Shard {
    /// Whether an entry that was answered stays for a request that is like its last one.
    pub(super) fn stays(&self, index: u32) -> bool {
        let entry = &self.entries[index as usize];
        let Shape::Poll { response: Some(PollResponse { close, .. }), .. } =
            self.groups.get(entry.group).interest.shape
        else {
            return false;
        };
        entry.template.is_some()
            && !entry.reader.has_left()
            && !close
            && !self.draining
            && !self.unread.contains_key(&self.key(index))
    }

    /// Waits for an entry's next request.
    pub(super) fn idle(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.seen.rest();
        entry.blocked = None;
        entry.since = self.now.saturating_add(ticks(self.context.config.idle_timeout));
        let interest = &self.groups.get(entry.group).interest;
        self.groups.rest(entry.group);
        self.counts.leave(&interest.shape);
        self.schedule_if_sooner(index);
        if self.entries[index as usize].reader.is_readable() {
            // Not here, where the shard may be about to move its position over what an older cursor asks for.
            let key = self.key(index);
            self.ready.push_back(key);
        }
    }

    /// Reads an entry's next request: one like the last is held again, and any other goes back to hyper.
    pub(super) fn hear(&mut self, index: u32) {
        let mut request = std::mem::take(&mut self.heard);
        request.clear();
        self.hear_into(index, &mut request);
        self.heard = request;
    }

    fn hear_into(&mut self, index: u32, request: &mut Vec<u8>) {
        let key = self.key(index);
        request.extend_from_slice(&self.unread.remove(&key).unwrap_or_default());
        // Where it is filled, there may be more to read.
        request.reserve(REQUEST_BYTES + 1);
        let before = request.len();
        let entry = &mut self.entries[index as usize];
        entry.reader.set_readable(false);
        let received = self.sinks.receive(&entry.sink, request);
        if self.sinks.has_ended(&entry.sink) {
            entry.reader.set_left();
        }
        match received {
            Received::Some => {}
            Received::Nothing => return self.keep_begun(index, request),
            Received::Ended | Received::Failed => return self.close(index),
        }
        if request.len() > REQUEST_BYTES {
            return self.give_back(index, request);
        }
        let group = self.groups.get(entry.group);
        let Some(template) = &entry.template else { return self.give_back(index, request) };
        let cursor = match template.know(request) {
            // A place beyond what it was told of may be one that there is no more to wait for: behind the end of the
            // topic, or of the log. So may one by another name than the shard gives it. The routes know.
            Known::Again(cursor)
                if cursor == self.lineage.id(cursor.sequence) && entry.seen.ask(cursor.sequence) =>
            {
                cursor
            }
            Known::Begun => {
                if before == 0 {
                    let head_timeout = ticks(self.context.config.head_timeout);
                    self.entries[index as usize].since =
                        self.now.saturating_add(head_timeout).saturating_add(1);
                    self.schedule_if_sooner(index);
                }
                return self.keep_begun(index, request);
            }
            Known::Again(_) | Known::Other => return self.give_back(index, request),
        };
        // The present tick has begun already, and does not count.
        entry.since = self.now.saturating_add(template.wait).saturating_add(1);
        self.groups.wait(entry.group);
        self.counts.arrive(&group.interest.shape);
        self.counts.of(&group.interest.shape).reconnect();
        self.counts.answers.inc();
        self.context.metrics.repeated_polls.inc();
        if let Some(observer) = self.observers.get_mut(&key) {
            observer.again(cursor);
        }
        self.schedule_if_sooner(index);
        self.resume(index);
    }

    /// Reads what the reader of an entry sends that is not between two requests, as it may be about the connection. What
    /// is for the entry is kept for later where it is a poll, and only so much of it is read.
    pub(super) fn listen(&mut self, index: u32) {
        let mut heard = std::mem::take(&mut self.heard);
        heard.clear();
        self.listen_into(index, &mut heard);
        self.heard = heard;
    }

    fn listen_into(&mut self, index: u32, heard: &mut Vec<u8>) {
        let key = self.key(index);
        let entry = &mut self.entries[index as usize];
        let is_poll = self.groups.get(entry.group).interest.shape.is_poll();
        let before = self.unread.get(&key).map_or(0, Bytes::len);
        loop {
            // What goes beyond that stays with the kernel.
            let may_go_on = if is_poll {
                before + heard.len() <= defaults::PIPELINED_BYTES
            } else {
                // A stream has no request after its own.
                let ignored = heard.len();
                heard.clear();
                self.sinks.ignore(&entry.sink, ignored)
            };
            if !may_go_on {
                break;
            }
            heard.reserve(defaults::PIPELINED_BYTES);
            match self.sinks.receive(&entry.sink, heard) {
                Received::Some => {}
                Received::Nothing => {
                    entry.reader.set_readable(false);
                    break;
                }
                Received::Ended => {
                    entry.reader.set_left();
                    break;
                }
                Received::Failed => return self.close(index),
            }
        }
        let has_left = entry.reader.has_left();
        if is_poll && !heard.is_empty() {
            let mut unread = self.unread.remove(&key).unwrap_or_default().to_vec();
            unread.extend_from_slice(heard);
            self.unread.insert(key, unread.into());
        }
        if has_left {
            self.end_wait(index);
        }
    }

    /// Keeps what has come of a request until the rest of it does.
    fn keep_begun(&mut self, index: u32, request: &[u8]) {
        if !request.is_empty() {
            let key = self.key(index);
            self.unread.insert(key, Bytes::copy_from_slice(request));
        }
    }

    /// Gives an entry's connection back to hyper, with what was read of it.
    pub(super) fn give_back(&mut self, index: u32, request: &[u8]) {
        let key = self.key(index);
        let mut unread = self.unread.remove(&key).unwrap_or_default().to_vec();
        unread.extend_from_slice(request);
        let (entry, permit) = self.remove(index);
        let link = self.sinks.take_out(entry.sink);
        if let Some(permit) = permit {
            drop(self.returned.send(Returned { link, unread: unread.into(), permit }));
        }
    }
}
