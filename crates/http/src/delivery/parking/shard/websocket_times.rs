//! When a shard looks at a WebSocket by itself: pings, silence, tokens that do not come, connections that take nothing.

use tidings_websocket::{CloseCode, Opcode, encode};

use super::Shard;
use crate::delivery::parking::http2::since;
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::websocket::{Phase, SocketCarrier};
use crate::delivery::parking::wheel::Wheel;
use crate::limit::Limit;

/// How many pings a client may leave unanswered before it is gone.
const PINGS: u8 = 2;

impl Shard {
    fn websocket_due(&mut self, index: u32) -> u32 {
        let write_timeout = self.write_timeout;
        let socket = self.sinks.websockets.get(index);
        let due = match &socket.phase {
            Phase::Open => {
                // Sockets that were opened together are not all due together.
                let heartbeat = socket.session.heartbeat;
                let spread = socket.key.generation.wrapping_mul(2_654_435_761) % (heartbeat / 8).max(1);
                let ping = socket.pinged.saturating_add(heartbeat).saturating_add(spread);
                socket.token_by.map_or(ping, |by| ping.min(by.get()))
            }
            Phase::Leaving(leaving) => leaving.2,
            Phase::Closing { by, .. } => *by,
        };
        socket.blocked.map_or(due, |blocked| due.min(blocked.get().saturating_add(write_timeout)))
    }

    pub(super) fn schedule_websocket(&mut self, index: u32) {
        let due = self.websocket_due(index);
        let key = self.sinks.websockets.get(index).key;
        self.sinks.websockets.get(index).scheduled = Wheel::short(self.wheel.put(due, key));
    }

    pub(super) fn schedule_websocket_if_sooner(&mut self, index: u32) {
        let due = self.websocket_due(index);
        let scheduled = self.sinks.websockets.get(index).scheduled;
        if Wheel::ahead(scheduled, self.now).is_none_or(|tick| due < tick) {
            self.schedule_websocket(index);
        }
    }

    pub(super) fn on_websocket_tick(&mut self, tick: u32, key: Key) {
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        if socket.scheduled != Wheel::short(tick) {
            return;
        }
        if self.websocket_due(key.index) <= self.now {
            self.on_websocket_due(key);
        }
        if self.sinks.websockets.find(key).is_some() {
            self.schedule_websocket(key.index);
        }
    }

    fn on_websocket_due(&mut self, key: Key) {
        let (now, index) = (self.now, key.index);
        let socket = self.sinks.websockets.get(index);
        if let Some(blocked) = socket.blocked
            && blocked.get().saturating_add(self.write_timeout) <= now
        {
            return self.close_if_nothing_is_taken(key);
        }
        match &mut socket.phase {
            Phase::Closing { by, .. } if *by <= now => return self.close_websocket(index),
            Phase::Leaving(leaving) if leaving.2 <= now => {
                let (code, reason) = (leaving.0, std::mem::take(&mut leaving.1));
                return self.close_with(index, code, &reason);
            }
            Phase::Closing { .. } | Phase::Leaving(_) => return,
            Phase::Open => {}
        }
        if socket.token_by.is_some_and(|by| by.get() <= now) {
            let reason = "a token was to be shown within 10 seconds: `{\"token\": …}`";
            return self.close_with(index, CloseCode::TIMEOUT, reason);
        }
        let heartbeat = socket.session.heartbeat;
        if socket.pinged.saturating_add(heartbeat) > now {
            return;
        }
        socket.pinged = now;
        if socket.holds_back() || socket.blocked.is_some() {
            // Its answers are not read, or it cannot be asked. Other deadlines see to it.
            return;
        }
        if socket.unanswered >= PINGS {
            tracing::debug!("closed a WebSocket whose client answers no ping");
            return self.close_websocket(index);
        }
        socket.unanswered += 1;
        let mut ping = Vec::new();
        encode(Opcode::Ping, b"", &mut ping);
        self.sinks.websockets.say(index, &ping);
    }

    /// Closes a socket whose write timeout has come, unless its connection takes a byte after all: the kernel speaks up only
    /// when a good part of its buffer is free again, for which a slow reader may need longer.
    fn close_if_nothing_is_taken(&mut self, key: Key) {
        let socket = self.sinks.websockets.get(key.index);
        if let SocketCarrier::Stream(number) = &socket.carrier {
            let number = *number;
            if self.sinks.http2.waits_for_connection(number) {
                // It has to wait for its turn. The connection has a deadline of its own.
                self.sinks.websockets.get(key.index).blocked = Some(since(self.now));
                return;
            }
        }
        let socket = self.sinks.websockets.get(key.index);
        let before = socket.blocked;
        self.websocket_writable(key);
        self.flush_websockets();
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        if socket.blocked.is_some() && socket.blocked == before {
            tracing::debug!("closed a WebSocket that took no byte for the write timeout");
            self.context.metrics.slow_closes.inc();
            self.context.metrics.count_limit(Limit::WriteTimeout);
            self.close_websocket(key.index);
        }
    }
}
