//! Polls that were answered, between two requests.

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, recv};

use super::Shard;
use crate::parking::group::Shape;
use crate::parking::lot::Returned;
use crate::parking::parked::{Key, State};
use crate::parking::template::REQUEST_BYTES;
use crate::parking::wheel::ticks;

impl Shard {
    /// Whether an entry that was answered stays for a request that is like its last one.
    pub(super) fn stays(&self, index: u32) -> bool {
        let entry = &self.entries[index as usize];
        let Shape::Poll { close, .. } = self.groups.get(entry.group).interest.shape else { return false };
        entry.template.is_some() && !close && !self.draining && !self.unread.contains_key(&self.key(index))
    }

    /// Waits for an entry's next request.
    pub(super) fn idle(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.state = State::Idle;
        entry.blocked = None;
        entry.since = self.now.saturating_add(ticks(self.face.config.idle_timeout));
        let interest = &self.groups.get(entry.group).interest;
        self.mailbox.count(&interest.selection, false);
        self.counts.of(&interest.shape).leave();
        self.schedule_if_sooner(index);
        if self.entries[index as usize].readable {
            // Not here, where the shard may be about to move its position over what an older cursor asks for.
            let key = self.key(index);
            self.ready.push_back(key);
        }
    }

    /// Reads an entry's next request: one like the last is held again, and any other goes back to hyper.
    pub(super) fn hear(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.readable = false;
        // Where it is full, there may be more to read.
        let mut buffer = [0; REQUEST_BYTES + 1];
        let count = match retry_on_intr(|| recv(&entry.socket, &mut buffer, RecvFlags::DONTWAIT)) {
            Ok((count, _)) if count > 0 => count,
            Err(Errno::AGAIN) => return,
            Ok(_) | Err(_) => return self.close(index),
        };
        let request = &buffer[..count];
        if count == buffer.len() {
            return self.give_back(index, request);
        }
        let group = self.groups.get(entry.group);
        let Some(template) = &entry.template else { return };
        // A place beyond what it was told of may be one that there is no more to wait for: behind the end of the
        // topic, or of the log. The routes know.
        let cursor = template.cursor(request);
        let known = cursor.filter(|own| own.epoch == self.epoch && own.sequence <= entry.told);
        let Some(cursor) = known else { return self.give_back(index, request) };
        entry.cursor = cursor.sequence;
        entry.state = State::Lagging;
        // The present tick has begun already, and does not count.
        entry.since = self.now.saturating_add(template.wait).saturating_add(1);
        self.mailbox.count(&group.interest.selection, true);
        let counts = self.counts.of(&group.interest.shape);
        counts.arrive();
        counts.reconnect();
        self.counts.answers.inc();
        if let Some(line) = self.lines.get_mut(&Key { index, generation: entry.generation }) {
            line.again(cursor);
        }
        self.schedule_if_sooner(index);
        self.resume(index);
    }

    /// Gives an entry's connection back to hyper, with what was read of it.
    pub(super) fn give_back(&mut self, index: u32, request: &[u8]) {
        let key = self.key(index);
        let mut unread = self.unread.remove(&key).unwrap_or_default().to_vec();
        unread.extend_from_slice(request);
        let (entry, permit) = self.remove(index);
        // What fails here fails again, and is noticed, when the connection is used.
        let _ = rustix::event::epoll::delete(&self.epoll, &entry.socket);
        if let Some(permit) = permit {
            drop(self.returned.send(Returned { socket: entry.socket, unread: unread.into(), permit }));
        }
    }
}
