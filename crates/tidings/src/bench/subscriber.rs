//! One subscriber: what it asks for, and what has come of it.

use tidings_websocket::{Decoder, Message, Opcode, encode_masked};

use super::connection::{ConnectionError, Listener};
use super::crowd::Desk;
use super::dialect::{StartFrom, Target};
use super::head::Head;
use super::lines::{Line, Lines};
use super::payload::{Found, PayloadScanner};
use super::plan::Transport;
use super::tally::Tally;

/// Its memory is that of its counters and of a line that was cut; whatever a read brings is looked at in the
/// buffer that all share.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) topic: usize,
    pub(crate) tally: Tally,
    place: StartFrom,
    stage: Stage,
    ready: bool,
    lines: Lines,
    payloads: PayloadScanner,
    /// The answer to a poll, as far as it has come.
    page: Vec<u8>,
    socket: Decoder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It asks as soon as it can.
    Asking,
    Waiting,
    /// Between two polls.
    Resting,
    Ended,
}

/// Those who share a connection, while something comes over it.
#[derive(Debug)]
pub(crate) struct Audience<'a, 'b> {
    pub(crate) members: &'a mut [Subscriber],
    pub(crate) desk: &'a mut Desk<'b>,
    /// Where the first of them is among all of the thread.
    pub(crate) first: usize,
    pub(crate) now: u64,
    /// The connection ends after these answers.
    pub(crate) close: bool,
}

/// Why a subscriber is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubscriberError {
    #[error("a subscriber's connection failed: {0}")]
    Connection(#[from] ConnectionError),
    #[error("the server answered a subscriber with status {0}")]
    Status(u16),
    #[error("the server closed a subscriber's connection")]
    Closed,
    #[error("the server told a subscriber of a gap")]
    Gap,
    #[error("the server's page does not say where to read on")]
    NoPlace,
    #[error("a request for a WebSocket was answered as if there were no `Upgrade` in it")]
    NoSocket,
    #[error("a WebSocket brought what is none: {0}")]
    Frame(&'static str),
    #[error("a WebSocket told of a problem: {0}")]
    Problem(String),
}

/// The largest message of a WebSocket.
const MESSAGE_BYTES: usize = 32 << 20;
/// What frames are masked with: what is sent here no proxy can take for something else.
const MASK: [u8; 4] = [0x5a, 0xa5, 0x3c, 0xc3];
/// Room that a page leaves behind for the next.
const PAGE_ROOM: usize = 4 << 10;

// === impl Subscriber ===

impl Subscriber {
    pub(crate) fn new(topic: usize, publishers: usize, place: StartFrom) -> Self {
        Self {
            topic,
            tally: Tally::new(publishers),
            place,
            stage: Stage::Asking,
            ready: false,
            lines: Lines::default(),
            payloads: PayloadScanner::default(),
            page: Vec::new(),
            socket: Decoder::client(MESSAGE_BYTES, false),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether it knows where it is in the log.
    pub(crate) fn has_place(&self) -> bool {
        self.place != StartFrom::Now
    }

    /// Writes the request.
    pub(crate) fn ask(&mut self, desk: &mut Desk<'_>, out: &mut Vec<u8>) {
        let plan = desk.plan;
        plan.dialect.subscribe(plan.asking(), self.topic, &self.place, out);
        desk.counts.requests += 1;
        self.stage = Stage::Waiting;
        if plan.transport == Transport::LongPoll {
            self.set_ready(desk);
        }
    }

    /// Asks again, over another connection, what has not been answered to its end.
    pub(crate) fn ask_again(&mut self) {
        if self.stage == Stage::Waiting {
            self.stage = Stage::Asking;
            self.page.clear();
            (self.lines, self.payloads) = (Lines::default(), PayloadScanner::default());
            self.socket = Decoder::client(MESSAGE_BYTES, false);
        }
    }

    /// Has rested enough.
    pub(crate) fn wake(&mut self) {
        if self.stage == Stage::Resting {
            self.stage = Stage::Asking;
        }
    }

    /// Gives up.
    pub(crate) fn end(&mut self, desk: &mut Desk<'_>) {
        self.stage = Stage::Ended;
        // Nobody waits for it any more.
        self.set_ready(desk);
    }

    pub(crate) fn set_ready(&mut self, desk: &mut Desk<'_>) {
        if !self.ready {
            self.ready = true;
            desk.opening -= 1;
            desk.counts.ready += 1;
        }
    }

    fn piece(
        &mut self,
        slot: usize,
        piece: &[u8],
        now: u64,
        desk: &mut Desk<'_>,
    ) -> Result<(), SubscriberError> {
        match desk.plan.transport {
            Transport::Sse => {}
            Transport::WebSocket => return self.messages(slot, piece, now, desk),
            Transport::LongPoll | Transport::Poll => {
                self.page.extend_from_slice(piece);
                return Ok(());
            }
        }
        let Self { lines, payloads, tally, topic, place, .. } = self;
        let mut gap = false;
        lines.feed(piece, |line| match line {
            Line::Data(data) => {
                payloads.feed(data, desk.plan.size, |found| desk.deliver(found, *topic, tally, now));
            }
            Line::Event(name) => gap |= desk.plan.dialect.is_gap(name),
            Line::Id(id) if desk.plan.stay.is_some() => *place = StartFrom::after(id),
            Line::Id(_) => {}
            Line::Other => {}
        });
        if gap { Err(SubscriberError::Gap) } else { Ok(()) }
    }

    /// What came over a WebSocket.
    fn messages(
        &mut self,
        slot: usize,
        mut piece: &[u8],
        now: u64,
        desk: &mut Desk<'_>,
    ) -> Result<(), SubscriberError> {
        loop {
            let received = self.socket.receive(&mut piece, &mut desk.inflater);
            let text = match received.map_err(|error| SubscriberError::Frame(error.reason))? {
                None => return Ok(()),
                Some(Message::Text(text)) => text,
                Some(Message::Ping(payload)) => {
                    let mut pong = Vec::new();
                    encode_masked(Opcode::Pong, &payload, MASK, &mut pong);
                    desk.replies.push((slot, pong));
                    continue;
                }
                Some(Message::Close { .. }) => return Err(SubscriberError::Closed),
                Some(_) => continue,
            };
            if text.starts_with("{\"gap\":") {
                return Err(SubscriberError::Gap);
            }
            if text.starts_with("{\"problem\":") {
                return Err(SubscriberError::Problem(text));
            }
            if desk.plan.stay.is_some()
                && let Some((_, rest)) = text.split_once("\"id\":\"")
                && let Some((id, _)) = rest.split_once('"')
            {
                self.place = StartFrom::after(id.as_bytes());
            }
            let Self { payloads, tally, topic, .. } = self;
            let size = desk.plan.size;
            payloads.feed(text.as_bytes(), size, |found| desk.deliver(found, *topic, tally, now));
        }
    }

    /// An answer is whole; returns whether to rest before asking again.
    fn finish(&mut self, now: u64, desk: &mut Desk<'_>) -> Result<bool, SubscriberError> {
        let plan = desk.plan;
        if plan.transport.is_stream() {
            return Err(SubscriberError::Closed);
        }
        let Self { payloads, tally, topic, page, .. } = self;
        payloads.feed(page, plan.size, |found| desk.deliver(found, *topic, tally, now));
        let mut more = false;
        if plan.dialect.target() == Target::Tidings {
            (self.place, more) = plan.dialect.place_in_page(&self.page).ok_or(SubscriberError::NoPlace)?;
        }
        self.page.clear();
        self.page.shrink_to(PAGE_ROOM);
        let rests = plan.transport == Transport::Poll && !more;
        self.stage = if rests { Stage::Resting } else { Stage::Asking };
        if rests {
            self.set_ready(desk);
        }
        Ok(rests)
    }
}

// === impl Audience ===

impl Listener for Audience<'_, '_> {
    type Error = SubscriberError;

    fn head(&mut self, slot: usize, head: &Head<'_>) -> Result<(), SubscriberError> {
        let (member, plan) = (&mut self.members[slot], self.desk.plan);
        match (plan.transport, head.status) {
            (Transport::WebSocket, 101) => {}
            (Transport::WebSocket, 200) if plan.server.http2 => {}
            (Transport::WebSocket, 200) => return Err(SubscriberError::NoSocket),
            (_, 200) | (Transport::LongPoll, 204 | 304) => {}
            (_, status) => return Err(SubscriberError::Status(status)),
        }
        if plan.transport.is_stream() {
            member.set_ready(self.desk);
        } else if let Some(place) = plan.dialect.place_in_head(head) {
            member.place = place;
        }
        Ok(())
    }

    fn piece(&mut self, slot: usize, bytes: &[u8]) -> Result<(), SubscriberError> {
        self.members[slot].piece(slot, bytes, self.now, self.desk)
    }

    fn end(&mut self, slot: usize, close: bool) -> Result<(), SubscriberError> {
        self.close |= close;
        if self.members[slot].finish(self.now, self.desk)? {
            self.desk.rest(self.first + slot, self.now);
        }
        Ok(())
    }

    fn arrived(&mut self) {
        self.now = self.desk.shared.clock.now();
    }
}

// === impl Desk ===

impl Desk<'_> {
    fn deliver(&mut self, found: Found, topic: usize, tally: &mut Tally, now: u64) {
        match found {
            Found::Payload(payload) if payload.topic == topic => {
                if tally.take(payload.publisher, payload.number) {
                    self.latencies.record(now.saturating_sub(payload.sent));
                    self.counts.delivered += 1;
                    self.counts.last_delivery = now;
                }
            }
            _ => tally.malformed(),
        }
    }
}
