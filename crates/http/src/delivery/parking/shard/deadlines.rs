//! When a shard looks at an entry by itself: heartbeats, the ends of waits, and sockets that take nothing.

use std::num::NonZeroU32;

use tidings_hub::ReaderState as State;

use super::Shard;
use crate::delivery::parking::group::Shape;
use crate::delivery::parking::parked::{Key, Parked, Pending};
use crate::delivery::parking::wheel::Wheel;
use crate::limit::Limit;

impl Shard {
    /// The tick at which an entry has to be looked at.
    pub(super) fn due(&self, index: u32) -> u32 {
        let entry = &self.entries[index as usize];
        if let Some(blocked) = entry.blocked {
            if !self.sinks.has_deadline(&entry.sink) {
                return u32::MAX;
            }
            return blocked.get().saturating_add(self.write_timeout);
        }
        let due = match self.groups.get(entry.group).interest.shape {
            Shape::Poll { .. } => entry.since,
            Shape::Stream { heartbeat, .. } => {
                // Readers who fell silent together are not all due together.
                let spread = entry.generation.wrapping_mul(2_654_435_761) % (heartbeat / 8).max(1);
                entry.since.saturating_add(heartbeat).saturating_add(spread)
            }
        };
        self.held_until(index).map_or(due, |until| due.min(until))
    }

    pub(super) fn schedule(&mut self, index: u32) {
        let due = self.due(index);
        let key = self.key(index);
        self.entries[index as usize].scheduled = Wheel::short(self.wheel.put(due, key));
    }

    /// The tick of an entry's record in the wheel, where that is still to come.
    fn scheduled(&self, entry: &Parked) -> Option<u32> {
        Wheel::ahead(entry.scheduled, self.now)
    }

    /// Puts a record into the wheel where the entry's present one comes too late. One that comes too early does no
    /// harm: it is looked at then, and put in again.
    pub(super) fn schedule_if_sooner(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        if self.scheduled(entry).is_none_or(|tick| self.due(index) < tick) {
            self.schedule(index);
        }
    }

    pub(super) fn on_tick(&mut self, tick: u32, key: Key) {
        if key.is_connection() {
            return self.on_connection_tick(tick, key);
        }
        if key.is_websocket() {
            return self.on_websocket_tick(tick, key);
        }
        let Some(entry) = self.find(key).filter(|entry| entry.scheduled == Wheel::short(tick)) else {
            return;
        };
        let held_until = self.held_until(key.index);
        if self.due(key.index) <= self.now {
            let polls = self.groups.get(entry.group).interest.shape.is_poll();
            match (entry.blocked.is_some(), entry.seen.state(), polls) {
                (true, ..) => self.close_if_stalled(key),
                (false, State::Live, false) => self.heartbeat(key.index),
                (false, State::Live, true) => self.time_out(key.index),
                (false, State::Idle, _) => {
                    let begun = self.unread.contains_key(&key);
                    let limit = if begun { Limit::HeadTimeout } else { Limit::IdleTimeout };
                    self.context.metrics.count_limit(limit);
                    self.close(key.index);
                }
                (false, State::Reading, false) => self.sign_of_life(key.index),
                (false, State::Reading, true) => self.give_up(key.index),
                (false, State::Lagging, polls) if let Some(until) = held_until => {
                    if until <= self.now {
                        self.resume(key.index);
                    } else if !polls {
                        self.sign_of_life(key.index);
                    }
                }
                // What it is about to be given is sign enough of life.
                (false, _, false) => self.entries[key.index as usize].since = self.now,
                (false, _, true) => self.entries[key.index as usize].since = self.now + 1,
            }
        }
        if self.find(key).is_some() {
            self.schedule(key.index);
        }
    }

    /// Closes an entry whose write timeout has come, unless it takes a byte after all: the kernel speaks up only
    /// when a good part of its buffer is free again, for which a slow reader may need longer.
    pub(super) fn close_if_stalled(&mut self, key: Key) {
        let place = |entry: &Parked| (entry.seen.cursor(), entry.pending.as_deref().map(Pending::progress));
        let Some(entry) = self.find(key) else { return };
        let (before, blocked) = (place(entry), entry.blocked);
        self.resume(key.index);
        let has_moved = |entry: &Parked| {
            // What the sink took may be some that it had said to have taken before.
            place(entry) != before || entry.blocked.is_some_and(|since| Some(since) != blocked)
        };
        let Some(entry) = self.find(key).filter(|entry| !has_moved(entry)) else { return };
        if entry.seen.state() == State::Reading || entry.is_read_for() {
            // It is offered what the log has, and closed if it takes nothing of that.
            self.entries[key.index as usize].blocked = blocked;
        } else if entry.blocked.is_some() {
            self.give_up_stalled(key.index);
        }
    }

    /// Whether an entry is closed whose sink takes nothing for the write timeout.
    pub(super) fn has_deadline(&self, index: u32) -> bool {
        self.sinks.has_deadline(&self.entries[index as usize].sink)
    }

    pub(super) fn give_up_stalled(&mut self, index: u32) {
        if self.sinks.waits_for_connection(&self.entries[index as usize].sink) {
            // It has to wait for its turn. The connection has a deadline of its own.
            return self.block(index);
        }
        tracing::debug!("closed a connection that took no byte for the write timeout");
        self.context.metrics.slow_closes.inc();
        self.context.metrics.count_limit(Limit::WriteTimeout);
        self.close(index);
    }

    /// Takes note that a sink takes no more bytes for now.
    pub(super) fn block(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.blocked = Some(NonZeroU32::new(self.now).unwrap_or(NonZeroU32::MIN));
        self.schedule_if_sooner(index);
    }
}
