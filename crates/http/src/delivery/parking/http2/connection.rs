use std::num::NonZeroU32;
use std::sync::Arc;

use tidings_http2::StreamId;

use super::asking::Origin;
use super::carrier::Carrier;
use super::room_queue::RoomQueue;
use super::{Given, since};
use crate::defaults;
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::sink::Sent;
use crate::server::permits::Permit;

/// An HTTP/2 connection of a shard.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: Key,
    pub(crate) carrier: Carrier,
    pub(crate) http2: tidings_http2::Connection,
    /// What is to be sent, and how much of it has been.
    pub(crate) out: Vec<u8>,
    sent: usize,
    pub(crate) origin: Origin,
    pub(crate) permit: Permit,
    /// How often something was written that was not counted yet.
    pub(crate) writes: u32,
    /// How many streams are open.
    pub(crate) streams: u32,
    /// Streams that wait until its socket takes more.
    pub(crate) waiting: RoomQueue,
    /// The tick since which its socket has taken no byte, where it is waited for.
    pub(crate) blocked: Option<NonZeroU32>,
    /// The tick of its record in the wheel, its last 16 bits.
    pub(crate) scheduled: u16,
    /// The tick at which something was last read of it.
    pub(crate) heard: u32,
    /// The tick since which a head, or a frame that has to come whole, has been on its way.
    pub(crate) head: Option<NonZeroU32>,
    /// Which one that is.
    pub(crate) head_number: u16,
    /// The tick of a ping that was not answered yet.
    pub(crate) pinged: Option<NonZeroU32>,
    /// The tick since which it has had no stream.
    pub(crate) idle: u32,
    /// The tick at which its streams are to be looked at, where some take nothing or its client has left.
    pub(crate) look: Option<NonZeroU32>,
    pub(crate) phase: Phase,
    /// The tick at which its client stopped sending.
    pub(crate) left: Option<NonZeroU32>,
    /// Whether something is to be read of it, when its socket has taken what it is sent.
    pub(crate) is_readable: bool,
    /// Whether its client sends nothing more than what is to be read.
    pub(crate) is_closing: bool,
    /// Whether its socket has said that it takes more again.
    pub(crate) is_writable: bool,
    pub(crate) is_dirty: bool,
    /// Whether it waits for its turn to be read on.
    pub(crate) is_queued: bool,
    /// Whether it has failed, and is to be closed.
    pub(crate) has_failed: bool,
}

/// How near a connection is to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// The hub shuts down. The streams end first; the connection speaks of its own end at this tick.
    Draining(u32),
    /// It has spoken of its end, and ends with its last stream.
    Leaving,
    /// It has spoken of its end, and no stream is left: the client has until this tick to say that it heard.
    Left(u32),
    /// It is closed when everything is sent, and no later than this.
    Ending(u32),
    /// Everything is sent. What comes is thrown away until the client closes it too, and no longer than this.
    Ended(u32),
}

/// What became of what is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// It is all with the kernel.
    All,
    /// The socket takes no more for now.
    Some,
    Failed,
}

// === impl Connection ===

impl Connection {
    pub(crate) fn new(
        key: Key,
        carrier: Carrier,
        settings: &Arc<tidings_http2::Settings>,
        origin: Origin,
        permit: Permit,
        now: u32,
    ) -> Self {
        let mut out = Vec::new();
        let http2 = tidings_http2::Connection::new(Arc::clone(settings), &mut out);
        Self {
            key,
            carrier,
            http2,
            out,
            sent: 0,
            origin,
            permit,
            writes: 0,
            streams: 0,
            waiting: RoomQueue::default(),
            blocked: None,
            scheduled: 0,
            heard: now,
            // The preface is still to come.
            head: Some(since(now)),
            head_number: 0,
            pinged: None,
            idle: now,
            look: None,
            phase: Phase::Open,
            left: None,
            is_readable: false,
            is_closing: false,
            is_writable: false,
            is_dirty: false,
            is_queued: false,
            has_failed: false,
        }
    }

    /// Whether its socket takes no more for now.
    pub(crate) fn is_full(&self) -> bool {
        self.blocked.is_some()
    }

    /// What is to be sent still.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether it is to be read no further until its client takes what it is sent: each frame may have to be answered.
    pub(crate) fn holds_back(&self) -> bool {
        self.unsent() > tidings_http2::limits::OUTPUT_BYTES
    }

    /// Gives a stream bytes, as far as its windows allow and there is room for them.
    pub(crate) fn give(&mut self, stream: StreamId, bytes: &[u8], end: bool, now: u32) -> Given {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            let room = defaults::HTTP2_OUT_BYTES.saturating_sub(self.unsent());
            if room == 0 && !rest.is_empty() {
                if self.is_full() {
                    return Given::NoRoom(taken);
                }
                match self.flush(now) {
                    Flushed::All => continue,
                    Flushed::Some => return Given::NoRoom(taken),
                    Flushed::Failed => return Given::Gone,
                }
            }
            let some = &rest[..rest.len().min(room)];
            let end = end && some.len() == rest.len();
            match self.http2.send(stream, some, end, &mut self.out) {
                Err(_) => return Given::Gone,
                Ok(count) => {
                    taken += count;
                    if count < some.len() {
                        return Given::NoWindow(taken);
                    }
                }
            }
            if taken == bytes.len() {
                return Given::All;
            }
        }
    }

    /// Sends what is to be sent, as much as the socket takes.
    pub(crate) fn flush(&mut self, now: u32) -> Flushed {
        if self.has_failed {
            return Flushed::Failed;
        }
        if self.carrier.has_unsent() {
            match self.carrier.flush() {
                Sent::All => self.blocked = None,
                Sent::Some(count) => {
                    if count > 0 || self.blocked.is_none() {
                        self.blocked = Some(since(now));
                    }
                    return Flushed::Some;
                }
                Sent::Failed => return self.fail(),
            }
        }
        while self.unsent() > 0 {
            self.writes += 1;
            match self.carrier.offer(&self.out[self.sent..]) {
                Sent::All => {
                    (self.out, self.sent) = (Vec::new(), 0);
                    self.blocked = None;
                }
                Sent::Some(count) => {
                    self.sent += count;
                    if count > 0 || self.blocked.is_none() {
                        self.blocked = Some(since(now));
                    }
                    // What was sent is not kept, where that is worth a copy.
                    if self.sent > self.out.len() / 2 {
                        self.out.drain(..self.sent);
                        self.sent = 0;
                    }
                    return Flushed::Some;
                }
                Sent::Failed => return self.fail(),
            }
        }
        if self.carrier.has_unsent() {
            self.blocked.get_or_insert(since(now));
            return Flushed::Some;
        }
        Flushed::All
    }

    fn fail(&mut self) -> Flushed {
        self.has_failed = true;
        Flushed::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What waits over HTTP/2 costs one of these for each connection, and little for each stream.
    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Connection>() <= 512, "{}", size_of::<Connection>());
        assert!(size_of::<super::super::Stream>() <= 40, "{}", size_of::<super::super::Stream>());
    }
}
