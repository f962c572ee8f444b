//! One subscriber: a connection, and what has come over it.

use std::os::fd::AsFd as _;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::body::{Body, InvalidChunk};
use super::crowd::Desk;
use super::dialect::{Place, Target};
use super::head::{Head, InvalidHead};
use super::lines::{Line, Lines};
use super::payload::{Found, PayloadScanner};
use super::plan::{Mode, Transport};
use super::socket::{Received, Socket};
use super::tally::Tally;

/// Its memory is that of its counters and of a line that was cut; whatever a read brings is looked at in the
/// buffer that all share.
#[derive(Debug)]
pub(crate) struct Subscriber {
    key: usize,
    pub(crate) topic: usize,
    pub(crate) tally: Tally,
    place: Place,
    socket: Option<Socket>,
    stage: Stage,
    ready: bool,
    /// The connection has brought an answer before, so that the server may end it.
    answered: bool,
    /// The beginning of a head whose end has not come.
    unread: Vec<u8>,
    unsent: Vec<u8>,
    lines: Lines,
    payloads: PayloadScanner,
    /// The answer to a poll, as far as it has come.
    page: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    /// Connected, and waiting for the sign to ask.
    Standing,
    Head,
    Body {
        body: Body,
        close: bool,
    },
    /// Between two polls.
    Resting,
    Ended,
}

/// Why a subscriber is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubscriberError {
    #[error("failed to connect a subscriber: {0}")]
    Connect(Errno),
    #[error("a subscriber's connection failed: {0}")]
    Connection(#[from] Errno),
    #[error("the server answered a subscriber with status {0}")]
    Status(u16),
    #[error("the server closed a subscriber's connection")]
    Closed,
    #[error("the server told a subscriber of a gap")]
    Gap,
    #[error("the server's page does not say where to read on")]
    NoPlace,
    #[error(transparent)]
    Head(#[from] InvalidHead),
    #[error(transparent)]
    Body(#[from] InvalidChunk),
}

/// Room that a page leaves behind for the next.
const PAGE_ROOM: usize = 4 << 10;

// === impl Subscriber ===

impl Subscriber {
    pub(crate) fn new(key: usize, topic: usize, publishers: usize, place: Place) -> Self {
        Self {
            key,
            topic,
            tally: Tally::new(publishers),
            place,
            socket: None,
            stage: Stage::Ended,
            ready: false,
            answered: false,
            unread: Vec::new(),
            unsent: Vec::new(),
            lines: Lines::default(),
            payloads: PayloadScanner::default(),
            page: Vec::new(),
        }
    }

    /// Begins to connect. `number` is unlike that of every other connection of this run.
    pub(crate) fn open(&mut self, number: usize, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let socket = Socket::connect(desk.plan.server, number).map_err(SubscriberError::Connect)?;
        socket.register(desk.epoll.as_fd(), self.key as u64, EventFlags::OUT)?;
        self.socket = Some(socket);
        self.stage = Stage::Connecting;
        self.answered = false;
        self.unsent.clear();
        self.unread.clear();
        Ok(())
    }

    /// Takes what the socket is ready for.
    pub(crate) fn turn(&mut self, flags: EventFlags, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        if self.stage == Stage::Connecting {
            let Some(socket) = &self.socket else { return Ok(()) };
            socket.connected().map_err(SubscriberError::Connect)?;
            if matches!(desk.plan.mode, Mode::Return { .. }) && !desk.gone {
                socket.interest(desk.epoll.as_fd(), self.key as u64, EventFlags::IN)?;
                self.stage = Stage::Standing;
                self.set_ready(desk);
                return Ok(());
            }
            return self.ask(desk);
        }
        if flags.contains(EventFlags::OUT) && !self.unsent.is_empty() {
            self.send(desk)?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP) {
            self.receive(desk)?;
        }
        Ok(())
    }

    /// Sends the request.
    pub(crate) fn ask(&mut self, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let plan = desk.plan;
        plan.dialect.subscribe(plan.transport, self.topic, &self.place, &mut self.unsent);
        self.stage = Stage::Head;
        if plan.transport == Transport::LongPoll {
            self.set_ready(desk);
        }
        self.send(desk)
    }

    /// Whether it is connected and has not asked yet.
    pub(crate) fn stands(&self) -> bool {
        self.stage == Stage::Standing
    }

    /// Gives up the connection.
    pub(crate) fn end(&mut self, desk: &mut Desk<'_>) {
        self.stage = Stage::Ended;
        self.socket = None;
        // Nobody waits for it any more.
        self.set_ready(desk);
    }

    fn set_ready(&mut self, desk: &mut Desk<'_>) {
        if !self.ready {
            self.ready = true;
            desk.opening -= 1;
            desk.counts.ready += 1;
        }
    }

    fn send(&mut self, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let sent = socket.send(&self.unsent)?;
        desk.counts.bytes_out += sent as u64;
        self.unsent.drain(..sent);
        // A request is small, and goes at once; what is left tells of a full buffer. New connections wait for
        // nothing but this.
        let first = !self.answered;
        if !self.unsent.is_empty() || first {
            let out = if self.unsent.is_empty() { EventFlags::empty() } else { EventFlags::OUT };
            socket.interest(desk.epoll.as_fd(), self.key as u64, EventFlags::IN | out)?;
        }
        Ok(())
    }

    fn receive(&mut self, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut buffer = std::mem::take(&mut desk.buffer);
        let received = socket.receive(&mut buffer);
        let now = desk.shared.clock.now();
        let result = match received {
            Ok(Received::Bytes(length)) => {
                desk.counts.bytes_in += length as u64;
                self.take(&buffer[..length], now, desk)
            }
            Ok(Received::Nothing) => Ok(()),
            Ok(Received::End) => self.ended_by_server(now, desk),
            Err(error) => Err(error.into()),
        };
        desk.buffer = buffer;
        result
    }

    fn take(&mut self, mut bytes: &[u8], now: u64, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        while !bytes.is_empty() {
            match self.stage {
                Stage::Head => {
                    let (begun, joined);
                    let whole = if self.unread.is_empty() {
                        begun = 0;
                        bytes
                    } else {
                        begun = self.unread.len();
                        self.unread.extend_from_slice(bytes);
                        joined = std::mem::take(&mut self.unread);
                        &joined
                    };
                    let Some((head, length)) = Head::read(whole)? else {
                        self.unread = whole.to_vec();
                        return Ok(());
                    };
                    self.begin(&head, desk)?;
                    bytes = &bytes[length - begun..];
                }
                Stage::Body { mut body, close } => {
                    while let Some(piece) = body.next(&mut bytes)? {
                        self.piece(piece, now, desk)?;
                    }
                    self.stage = Stage::Body { body, close };
                }
                _ => return Ok(()),
            }
            if let Stage::Body { body: Body::Ended, close } = self.stage {
                self.finish(close, now, desk)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, head: &Head<'_>, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        self.answered = true;
        match (desk.plan.transport, head.status) {
            (_, 200) | (Transport::LongPoll, 204 | 304) => {}
            (_, status) => return Err(SubscriberError::Status(status)),
        }
        if desk.plan.transport == Transport::Sse {
            self.set_ready(desk);
        } else if let Some(place) = desk.plan.dialect.place_in_head(head) {
            self.place = place;
        }
        self.stage = Stage::Body { body: Body::new(head.length), close: head.close };
        Ok(())
    }

    fn piece(&mut self, piece: &[u8], now: u64, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        if desk.plan.transport != Transport::Sse {
            self.page.extend_from_slice(piece);
            return Ok(());
        }
        let Self { lines, payloads, tally, topic, .. } = self;
        let mut gap = false;
        lines.feed(piece, |line| match line {
            Line::Data(data) => {
                payloads.feed(data, desk.plan.size, |found| desk.deliver(found, *topic, tally, now));
            }
            Line::Event(name) => gap |= desk.plan.dialect.is_gap(name),
            Line::Other => {}
        });
        if gap { Err(SubscriberError::Gap) } else { Ok(()) }
    }

    /// An answer is whole.
    fn finish(&mut self, close: bool, now: u64, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        if desk.plan.transport == Transport::Sse {
            return Err(SubscriberError::Closed);
        }
        let Self { payloads, tally, topic, page, .. } = self;
        payloads.feed(page, desk.plan.size, |found| desk.deliver(found, *topic, tally, now));
        let mut more = false;
        if desk.plan.dialect.target() == Target::Tidings {
            (self.place, more) =
                desk.plan.dialect.place_in_page(&self.page).ok_or(SubscriberError::NoPlace)?;
        }
        self.page.clear();
        self.page.shrink_to(PAGE_ROOM);
        if desk.plan.transport == Transport::Poll && !more {
            self.set_ready(desk);
            self.stage = Stage::Resting;
            desk.rest(self.key, now);
            if close {
                self.socket = None;
            }
            return Ok(());
        }
        if close {
            return self.open(desk.next_number(), desk);
        }
        self.ask(desk)
    }

    /// Asks again after a rest.
    pub(crate) fn wake(&mut self, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        match self.stage {
            Stage::Resting if self.socket.is_some() => self.ask(desk),
            Stage::Resting => self.open(desk.next_number(), desk),
            _ => Ok(()),
        }
    }

    fn ended_by_server(&mut self, now: u64, desk: &mut Desk<'_>) -> Result<(), SubscriberError> {
        let polls = desk.plan.transport != Transport::Sse;
        match self.stage {
            Stage::Body { body: Body::UntilClose, .. } if polls => self.finish(true, now, desk),
            // Servers end connections that have had many requests, or none for a while.
            Stage::Head if polls && self.answered => self.open(desk.next_number(), desk),
            Stage::Resting => {
                self.socket = None;
                Ok(())
            }
            _ => Err(SubscriberError::Closed),
        }
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
