//! What an entry was sent in part, and the rest of it.

use super::{CATCH_UP, Shard};
use crate::delivery::parking::parked::Pending;
use crate::delivery::parking::sink::Sent;
use crate::delivery::remainder::Lost;

impl Shard {
    /// Sends what is pending. Says whether the entry is there and its sink takes more.
    pub(super) fn flush(&mut self, index: u32) -> bool {
        loop {
            let entry = &mut self.entries[index as usize];
            let Some(pending) = entry.pending.as_deref_mut() else {
                entry.blocked = None;
                return true;
            };
            let (sent, is_done) = match pending {
                Pending::Bytes(bytes, sent) => {
                    let offered = self.sinks.offer(&entry.sink, &bytes[*sent..]);
                    if let Sent::Some(count) = offered {
                        *sent += count;
                    }
                    (offered, offered == Sent::All)
                }
                Pending::Rest { asked: true, .. } => return false,
                Pending::Rest { rest, .. } => {
                    if rest.wants().is_some() {
                        if !self.find_rest(index) {
                            return false;
                        }
                        continue;
                    }
                    let bytes = rest.compose(CATCH_UP.bytes.min(self.sinks.room(&entry.sink)));
                    let offered = self.sinks.offer(&entry.sink, &bytes);
                    match offered {
                        Sent::All => rest.advance(bytes.len()),
                        Sent::Some(count) => rest.advance(count),
                        Sent::Failed => {}
                    }
                    rest.settle(&self.context.lately);
                    (offered, offered == Sent::All && rest.is_done())
                }
            };
            match sent {
                Sent::All => {
                    entry.blocked = None;
                    if is_done {
                        entry.pending = None;
                        if !self.groups.get(entry.group).interest.shape.is_poll() {
                            entry.since = self.now;
                        }
                    }
                }
                Sent::Some(count) => {
                    self.block_after(index, count);
                    return false;
                }
                Sent::Failed => {
                    self.close(index);
                    return false;
                }
            }
        }
    }

    /// Finds the events again that an entry is in the middle of, and was not held for. Says whether it goes on with
    /// them now.
    fn find_rest(&mut self, index: u32) -> bool {
        let key = self.key(index);
        let entry = &mut self.entries[index as usize];
        let selection = &self.groups.get(entry.group).interest.selection;
        let Some(Pending::Rest { rest, asked }) = entry.pending.as_deref_mut() else { return true };
        let Some((place, look)) = rest.wants() else { return true };
        if rest.recall(&self.context.lately) {
            return true;
        }
        match self.context.hub.recent_folded(place.1, selection, look) {
            Some(found) => {
                let found = rest.feed(&found.recent, selection);
                self.is_found(index, found)
            }
            None => {
                *asked = true;
                self.want_read.push_back(key);
                false
            }
        }
    }

    /// Whether an entry goes on with what it was in the middle of. A half of an event is of no use to anybody.
    pub(super) fn is_found(&mut self, index: u32, found: Result<(), Lost>) -> bool {
        if let Err(error) = found {
            tracing::debug!(%error, "closed a connection");
            self.close(index);
        }
        found.is_ok()
    }

    /// Takes note that a sink took so many bytes and no more. The deadline runs from the last byte that it took; one
    /// that takes none beyond it is closed.
    pub(super) fn block_after(&mut self, index: u32, sent: usize) {
        let entry = &self.entries[index as usize];
        let has_moved = self.sinks.has_moved(&entry.sink);
        match entry.blocked {
            Some(since) if sent == 0 && !has_moved => {
                if self.has_deadline(index) && since.get().saturating_add(self.write_timeout) <= self.now {
                    self.give_up_stalled(index);
                }
            }
            _ => self.block(index),
        }
    }
}
