use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::Arc;

use tidings_websocket::{CloseCode, Decoder};

use super::boundary::Boundary;
use super::carrier::SocketCarrier;
use super::inbox::Inbox;
use crate::api::websocket::Session;
use crate::defaults;
use crate::delivery::memory::Portion;
use crate::delivery::parking::http2::{Connections, RoomQueue, since};
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::sink::Sent;
use crate::metrics::Counted;
use crate::server::permits::Permit;

/// A WebSocket of a shard.
#[derive(Debug)]
pub(in crate::delivery::parking) struct WebSocket {
    pub(in crate::delivery::parking) key: Key,
    pub(in crate::delivery::parking) carrier: SocketCarrier,
    pub(in crate::delivery::parking) decoder: Decoder,
    boundary: Boundary,
    /// The subscription that is in the middle of a frame.
    owner: Option<u32>,
    /// Its subscriptions, by their numbers among those of the shard.
    pub(in crate::delivery::parking) subscriptions: Vec<u32>,
    /// What it needs while something is under way.
    pub(in crate::delivery::parking) traffic: Option<Box<Traffic>>,
    pub(in crate::delivery::parking) session: Session,
    pub(in crate::delivery::parking) permit: Option<Permit>,
    _counted: Counted,
    pub(in crate::delivery::parking) phase: Phase,
    /// The tick of its last ping, and how many its client has not answered.
    pub(in crate::delivery::parking) pinged: u32,
    pub(in crate::delivery::parking) unanswered: u8,
    /// The tick since which its connection has taken no byte, where it is waited for.
    pub(in crate::delivery::parking) blocked: Option<NonZeroU32>,
    /// The tick by which it has to show a token.
    pub(in crate::delivery::parking) token_by: Option<NonZeroU32>,
    /// The tick of its record in the wheel, its last 16 bits.
    pub(in crate::delivery::parking) scheduled: u16,
    /// Whether its connection takes nothing for now.
    pub(in crate::delivery::parking) is_full: bool,
    /// Whether something is to be read of it, when it may be.
    pub(in crate::delivery::parking) is_readable: bool,
    /// Whether its client sends nothing more than what is to be read.
    pub(in crate::delivery::parking) is_closing: bool,
    pub(in crate::delivery::parking) is_dirty: bool,
    /// Whether it waits for its turn to be read on.
    pub(in crate::delivery::parking) is_queued: bool,
    /// Whether it began with a subscription, so that it is of no more use when its topics have ended.
    pub(in crate::delivery::parking) ends_with_topics: bool,
    /// Whether a topic has ended that it had a subscription to.
    pub(in crate::delivery::parking) has_ended_one: bool,
    /// Whether a subscription ended that was not told so.
    pub(in crate::delivery::parking) has_lost: bool,
    /// Whether it has failed, and is to be closed at once.
    pub(in crate::delivery::parking) has_failed: bool,
}

/// How near a socket is to its end.
#[derive(Debug)]
pub(in crate::delivery::parking) enum Phase {
    Open,
    /// It is not read any more, and closed when what was read is dealt with, or at this tick.
    Leaving(Box<(CloseCode, Cow<'static, str>, u32)>),
    /// A close frame is the last that it sends; it is over when that is sent and the client has said the same, or at this
    /// tick.
    Closing {
        by: u32,
        agreement: Agreement,
    },
}

/// Whether the client of a socket that closes agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery::parking) enum Agreement {
    Awaited,
    /// It has sent a close frame.
    Said,
    /// What it sends is not understood.
    Impossible,
    /// The same, and it was told that nothing more is sent: it is to end the connection.
    Finished,
}

/// What a socket needs while something is under way.
#[derive(Debug, Default)]
pub(in crate::delivery::parking) struct Traffic {
    /// What the hub itself has to say, in frames, and how much of it has been sent.
    out: Vec<u8>,
    sent: usize,
    /// Subscriptions that wait until the connection takes more.
    pub(in crate::delivery::parking) waiting: RoomQueue,
    /// Subscriptions at their end whose names others have taken: they are told so before others may write, in this order.
    first: Vec<u32>,
    /// The messages that wait for a task, where one is at work.
    pub(in crate::delivery::parking) inbox: Option<Arc<Inbox>>,
    /// How much they take, with those that the task has taken.
    pub(in crate::delivery::parking) under_way: usize,
    /// What has come and was not read yet, of a connection that is not the socket's own.
    pub(in crate::delivery::parking) unread: Vec<u8>,
    /// The memory for all of that.
    pub(in crate::delivery::parking) memory: Option<Portion>,
}

// === impl WebSocket ===

impl WebSocket {
    pub(in crate::delivery::parking) fn new(
        key: Key,
        carrier: SocketCarrier,
        decoder: Decoder,
        session: Session,
        permit: Option<Permit>,
        counted: Counted,
        now: u32,
    ) -> Self {
        Self {
            key,
            carrier,
            decoder,
            boundary: Boundary::default(),
            owner: None,
            subscriptions: Vec::new(),
            traffic: None,
            session,
            permit,
            _counted: counted,
            phase: Phase::Open,
            pinged: now,
            unanswered: 0,
            blocked: None,
            token_by: None,
            scheduled: 0,
            is_full: false,
            is_readable: false,
            is_closing: false,
            is_dirty: false,
            is_queued: false,
            ends_with_topics: false,
            has_ended_one: false,
            has_lost: false,
            has_failed: false,
        }
    }

    pub(in crate::delivery::parking) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(in crate::delivery::parking) fn traffic(&mut self) -> &mut Traffic {
        self.traffic.get_or_insert_default()
    }

    /// How many bytes of the hub's own are to be sent.
    pub(in crate::delivery::parking) fn unsent(&self) -> usize {
        self.traffic.as_ref().map_or(0, |traffic| traffic.out.len() - traffic.sent)
    }

    /// Whether it is to be read no further: until what was read is dealt with, and its client takes what it is told of that.
    pub(in crate::delivery::parking) fn holds_back(&self) -> bool {
        let under_way = self.traffic.as_ref().map_or(0, |traffic| traffic.under_way);
        matches!(self.phase, Phase::Leaving(_)) || under_way + self.unsent() > defaults::SOCKET_WAITING_BYTES
    }

    /// What it takes in memory beside itself.
    pub(in crate::delivery::parking) fn memory(&self) -> usize {
        let traffic = self.traffic.as_ref();
        self.decoder.memory()
            + traffic.map_or(0, |traffic| traffic.under_way + traffic.out.len() + traffic.unread.len())
    }

    /// Has something of the hub's own sent, after what has to be sent before it.
    pub(in crate::delivery::parking) fn push(&mut self, frames: &[u8]) {
        self.traffic().out.extend_from_slice(frames);
    }

    /// The subscription that has to write before anybody else may.
    pub(in crate::delivery::parking) fn owner(&self) -> Option<u32> {
        self.owner
    }

    /// Whether it is to be looked after at the end of the pass.
    pub(super) fn wants_care(&self) -> bool {
        let waits = self.traffic.as_ref().is_some_and(|traffic| !traffic.waiting.is_empty());
        self.has_failed || (waits || self.unsent() > 0) && !self.is_full && self.owner.is_none()
    }

    /// Gives the connection what it takes of a subscription's frames, where it is the subscription's turn.
    pub(super) fn offer(&mut self, number: u32, bytes: &[u8], now: u32, http2: &mut Connections) -> Sent {
        // Nothing follows a close frame but the rest of what was begun before it.
        if self.has_failed || matches!(self.phase, Phase::Closing { .. }) && self.owner != Some(number) {
            return Sent::Failed;
        }
        let is_turn = match self.owner {
            Some(owner) => owner == number,
            None => self.is_full || self.flush(now, http2),
        };
        if !is_turn || self.is_full {
            if self.owner != Some(number) {
                self.traffic().waiting.add(number, false);
            }
            return if self.has_failed { Sent::Failed } else { Sent::Some(0) };
        }
        let sent = self.give(bytes, now, http2);
        match sent {
            Sent::All => self.boundary.advance(bytes),
            Sent::Some(count) => self.boundary.advance(&bytes[..count]),
            Sent::Failed => return Sent::Failed,
        }
        self.owner = (!self.boundary.is_between()).then_some(number);
        if let Sent::Some(count) = sent
            && self.owner.is_none()
        {
            self.traffic().waiting.add(number, count > 0);
        }
        sent
    }

    /// A subscription may write before all others, but for those that may already.
    pub(in crate::delivery::parking) fn go_first(&mut self, number: u32) {
        let first = &mut self.traffic().first;
        if !first.contains(&number) {
            first.push(number);
        }
    }

    /// Whether others have to write before a subscription may.
    pub(in crate::delivery::parking) fn has_to_wait_for_others(&self, number: u32) -> bool {
        let first = self.traffic.as_ref().and_then(|traffic| traffic.first.first());
        self.owner != Some(number) && first.is_some_and(|first| *first != number)
    }

    fn give(&mut self, bytes: &[u8], now: u32, http2: &mut Connections) -> Sent {
        let sent = self.carrier.offer(bytes, http2);
        let has_moved = self.carrier.has_moved();
        match sent {
            Sent::All => self.blocked = None,
            Sent::Some(count) => {
                self.is_full = true;
                if count > 0 || has_moved || self.blocked.is_none() {
                    self.blocked = Some(since(now));
                }
            }
            Sent::Failed => self.has_failed = true,
        }
        sent
    }

    /// Sends what the hub itself has to say, unless a frame has to be finished first. Says whether all of it is sent.
    pub(in crate::delivery::parking) fn flush(&mut self, now: u32, http2: &mut Connections) -> bool {
        if self.unsent() == 0 {
            return true;
        }
        if self.is_full || self.owner.is_some() {
            return false;
        }
        let Some(mut traffic) = self.traffic.take() else { return true };
        match self.give(&traffic.out[traffic.sent..], now, http2) {
            Sent::All => (traffic.out, traffic.sent) = (Vec::new(), 0),
            Sent::Some(count) => {
                traffic.sent += count;
                // What was sent is not kept, where that is worth a copy.
                if traffic.sent > traffic.out.len() / 2 {
                    traffic.out.drain(..traffic.sent);
                    traffic.sent = 0;
                }
            }
            Sent::Failed => {}
        }
        let is_sent = traffic.out.is_empty();
        self.traffic = Some(traffic);
        is_sent
    }

    /// Gives back what it needs no longer.
    pub(in crate::delivery::parking) fn settle(&mut self) {
        self.traffic.take_if(|traffic| traffic.is_idle());
    }

    /// A subscription is gone. Says whether it was in the middle of a frame.
    pub(super) fn let_go(&mut self, number: u32) -> bool {
        if let Some(traffic) = &mut self.traffic {
            traffic.waiting.remove(number);
            traffic.first.retain(|own| *own != number);
        }
        let was_owner = self.owner == Some(number);
        was_owner && !self.boundary.is_between()
    }
}

// === impl Traffic ===

impl Traffic {
    fn is_idle(&self) -> bool {
        self.out.is_empty()
            && self.waiting.is_empty()
            && self.first.is_empty()
            && self.inbox.is_none()
            && self.under_way == 0
            && self.unread.is_empty()
            && self.memory.as_ref().is_none_or(|memory| memory.bytes() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that waits costs one of these beside its entries.
    #[test]
    fn a_socket_is_small() {
        assert!(size_of::<WebSocket>() <= 312, "{}", size_of::<WebSocket>());
    }
}
