//! When a shard looks at an HTTP/2 connection by itself: pings, silence, sockets and streams that take nothing.

use tidings_http2::ErrorCode;

use super::Shard;
use crate::defaults;
use crate::delivery::parking::http2::{Connection, Flushed, Phase, since};
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::wheel::{Wheel, ticks};
use crate::limit::Limit;

impl Shard {
    fn connection_due(&mut self, index: u32) -> u32 {
        let (idle, ping) = (ticks(self.context.config.idle_timeout), ticks(defaults::HTTP2_PING));
        let (write_timeout, head_timeout) = (self.write_timeout, ticks(self.context.config.head_timeout));
        let connection = self.sinks.http2.get(index);
        let mut due = match connection.blocked {
            Some(blocked) => blocked.get().saturating_add(write_timeout),
            None => {
                connection.pinged.map_or(connection.heard, std::num::NonZeroU32::get).saturating_add(ping)
            }
        };
        if connection.streams == 0 {
            due = due.min(connection.idle.saturating_add(idle));
        }
        if let Some(head) = connection.head {
            due = due.min(head.get().saturating_add(head_timeout));
        }
        if let Some(look) = connection.look {
            due = due.min(look.get());
        }
        match connection.phase {
            Phase::Open | Phase::Leaving => due,
            Phase::Draining(at) | Phase::Left(at) => due.min(at),
            Phase::Ending(by) | Phase::Ended(by) => by,
        }
    }

    pub(super) fn schedule_connection(&mut self, index: u32) {
        let due = self.connection_due(index);
        let key = self.sinks.http2.get(index).key;
        self.sinks.http2.get(index).scheduled = Wheel::short(self.wheel.put(due, key));
    }

    pub(super) fn schedule_connection_if_sooner(&mut self, index: u32) {
        let due = self.connection_due(index);
        let scheduled = self.sinks.http2.get(index).scheduled;
        if Wheel::ahead(scheduled, self.now).is_none_or(|tick| due < tick) {
            self.schedule_connection(index);
        }
    }

    pub(super) fn on_connection_tick(&mut self, tick: u32, key: Key) {
        let Some(connection) = self.sinks.http2.find(key) else { return };
        if connection.scheduled != Wheel::short(tick) {
            return;
        }
        let index = key.index;
        if self.connection_due(index) <= self.now {
            self.on_connection_due(index);
        }
        if self.sinks.http2.find(key).is_some() {
            self.schedule_connection(index);
        }
    }

    fn on_connection_due(&mut self, index: u32) {
        let now = self.now;
        let (idle, ping) = (ticks(self.context.config.idle_timeout), ticks(defaults::HTTP2_PING));
        let connection = self.sinks.http2.get(index);
        match connection.phase {
            Phase::Ended(by) if by <= now => return self.close_connection(index),
            Phase::Ending(by) if by <= now => return self.close_connection(index),
            Phase::Ended(_) | Phase::Ending(_) => return,
            Phase::Left(by) if by <= now => {
                return self.end_connection(index, Some(ErrorCode::NO_ERROR));
            }
            Phase::Draining(at) if at <= now => {
                connection.http2.go_away(&mut connection.out);
                connection.phase = Phase::Leaving;
                self.sinks.http2.touch(index);
            }
            Phase::Open | Phase::Draining(_) | Phase::Leaving | Phase::Left(_) => {}
        }
        let head_timeout = ticks(self.context.config.head_timeout);
        let connection = self.sinks.http2.get(index);
        if connection.head.is_some_and(|head| head.get().saturating_add(head_timeout) <= now) {
            // Also where its streams go on: what has come of a head is kept for it.
            self.context.metrics.count_limit(Limit::HeadTimeout);
            return self.end_connection(index, Some(ErrorCode::ENHANCE_YOUR_CALM));
        }
        if let Some(blocked) = connection.blocked {
            if blocked.get().saturating_add(self.write_timeout) <= now && !self.takes_something(index) {
                tracing::debug!("closed a connection that took no byte for the write timeout");
                self.context.metrics.slow_closes.inc();
                self.context.metrics.count_limit(Limit::WriteTimeout);
                return self.close_connection(index);
            }
        } else if connection.streams == 0 && connection.idle.saturating_add(idle) <= now {
            self.context.metrics.count_limit(Limit::IdleTimeout);
            return self.end_connection(index, Some(ErrorCode::NO_ERROR));
        } else if let Some(pinged) = connection.pinged {
            if pinged.get().saturating_add(ping) <= now {
                tracing::debug!("closed a connection of HTTP/2 that does not answer");
                return self.close_connection(index);
            }
        } else if connection.heard.saturating_add(ping) <= now {
            let Connection { http2, out, pinged, .. } = connection;
            http2.ping(*b"tidings.", out);
            *pinged = Some(since(now));
            self.sinks.http2.touch(index);
        }
        if self.sinks.http2.get(index).look.is_some_and(|look| look.get() <= now) {
            self.look_at_streams(index);
        }
    }

    /// Takes note of whether a head is on its way, which may not take for ever.
    pub(super) fn watch_head(&mut self, key: Key) {
        let now = self.now;
        let Some(connection) = self.sinks.http2.find(key) else { return };
        match connection.http2.receiving_head() {
            None => connection.head = None,
            Some(number) if connection.head.is_some() && connection.head_number == number => {}
            Some(number) => {
                (connection.head, connection.head_number) = (Some(since(now)), number);
                self.schedule_connection_if_sooner(key.index);
            }
        }
    }

    /// Whether the socket of a connection takes a byte after all: the kernel speaks up only when a good part of its
    /// buffer is free again, for which a slow reader may need longer.
    fn takes_something(&mut self, index: u32) -> bool {
        let now = self.now;
        let connection = self.sinks.http2.get(index);
        let before = connection.blocked;
        match connection.flush(now) {
            Flushed::All => {
                self.sinks.http2.touch(index);
                true
            }
            // It is blocked since now, where it took a byte.
            Flushed::Some => connection.blocked != before,
            Flushed::Failed => false,
        }
    }
}
