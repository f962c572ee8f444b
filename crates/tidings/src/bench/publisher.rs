//! One publisher: a connection that asks, and asks again once it has been answered.

use std::os::fd::BorrowedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::body::{Body, InvalidChunk};
use super::head::{Head, InvalidHead};
use super::payload::Payload;
use super::plan::Plan;
use super::socket::{Received, Socket};

#[derive(Debug)]
pub(crate) struct Publisher {
    number: usize,
    socket: Socket,
    stage: Stage,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    /// Where bodies are made.
    scratch: Vec<u8>,
    /// How many events of each topic it has sent.
    sent: Vec<u64>,
    /// What the answer that it waits for is about.
    pending: Pending,
    close: bool,
    /// The socket is watched for room to send.
    clogged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    Head,
    Body(Body),
}

/// A publication that is not acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) topic: usize,
    pub(crate) events: u64,
    pub(crate) sent: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublisherError {
    #[error("a publisher's connection failed: {0}")]
    Connection(#[from] Errno),
    #[error("the server answered a publisher with status {0}")]
    Status(u16),
    #[error("the server closed a publisher's connection")]
    Closed,
    #[error(transparent)]
    Head(#[from] InvalidHead),
    #[error(transparent)]
    Body(#[from] InvalidChunk),
}

/// What publishers read into; answers are short.
pub(crate) const BUFFER_BYTES: usize = 16 << 10;
/// Where the numbers of publishers' connections begin, beyond those of subscribers.
const FIRST_CONNECTION: usize = 1 << 19;

// === impl Publisher ===

impl Publisher {
    pub(crate) fn open(plan: &Plan, number: usize, epoll: BorrowedFd<'_>) -> Result<Self, PublisherError> {
        Ok(Self {
            number,
            socket: connect(plan, number, epoll)?,
            stage: Stage::Free,
            unread: Vec::new(),
            unsent: Vec::new(),
            scratch: Vec::new(),
            sent: vec![0; plan.topics],
            pending: Pending::default(),
            close: false,
            clogged: false,
        })
    }

    pub(crate) fn is_free(&self) -> bool {
        self.stage == Stage::Free
    }

    /// How many events of a topic it has sent.
    pub(crate) fn sent(&self, topic: usize) -> u64 {
        self.sent[topic]
    }

    /// Publishes so many events to a topic.
    pub(crate) fn publish(
        &mut self,
        plan: &Plan,
        epoll: BorrowedFd<'_>,
        topic: usize,
        events: u64,
        now: u64,
    ) -> Result<(), PublisherError> {
        if self.close {
            self.socket = connect(plan, self.number, epoll)?;
            (self.close, self.clogged) = (false, false);
        }
        let first = self.sent[topic];
        let publisher = self.number;
        let payloads = (0..events as usize).map(|place| Payload {
            publisher,
            topic,
            number: first + place as u64,
            sent: now,
        });
        plan.publish_dialect.publish(topic, payloads, plan.size, &mut self.scratch, &mut self.unsent);
        self.sent[topic] += events;
        self.pending = Pending { topic, events, sent: now };
        self.stage = Stage::Head;
        self.send(epoll)
    }

    /// Takes what the socket is ready for; returns the publication that was acknowledged by it.
    pub(crate) fn turn(
        &mut self,
        flags: EventFlags,
        epoll: BorrowedFd<'_>,
        buffer: &mut [u8],
    ) -> Result<Option<Pending>, PublisherError> {
        if flags.contains(EventFlags::OUT) && !self.unsent.is_empty() {
            self.send(epoll)?;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(None);
        }
        match self.socket.receive(buffer)? {
            Received::Nothing => Ok(None),
            Received::End if self.stage == Stage::Free => {
                self.close = true;
                Ok(None)
            }
            Received::End => Err(PublisherError::Closed),
            Received::Bytes(length) => self.take(&buffer[..length]),
        }
    }

    fn send(&mut self, epoll: BorrowedFd<'_>) -> Result<(), PublisherError> {
        let sent = match self.socket.send(&self.unsent) {
            Ok(sent) => sent,
            // It is still being connected.
            Err(Errno::NOTCONN) => 0,
            Err(error) => return Err(error.into()),
        };
        self.unsent.drain(..sent);
        let clogged = !self.unsent.is_empty();
        if clogged != self.clogged {
            self.clogged = clogged;
            let out = if clogged { EventFlags::OUT } else { EventFlags::empty() };
            self.socket.interest(epoll, self.number as u64, EventFlags::IN | out)?;
        }
        Ok(())
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<Option<Pending>, PublisherError> {
        if let Stage::Head = self.stage {
            let begun = self.unread.len();
            self.unread.extend_from_slice(bytes);
            let Some((head, length)) = Head::read(&self.unread)? else { return Ok(None) };
            if !(200..300).contains(&head.status) {
                return Err(PublisherError::Status(head.status));
            }
            self.close = head.close;
            self.stage = Stage::Body(Body::new(head.length));
            bytes = &bytes[length - begun..];
            self.unread.clear();
        }
        if let Stage::Body(body) = &mut self.stage {
            while body.next(&mut bytes)?.is_some() {}
            if *body == Body::Ended {
                self.stage = Stage::Free;
                return Ok(Some(self.pending));
            }
        }
        Ok(None)
    }
}

fn connect(plan: &Plan, number: usize, epoll: BorrowedFd<'_>) -> Result<Socket, PublisherError> {
    let socket = Socket::connect(plan.publish_server, FIRST_CONNECTION + number)?;
    socket.register(epoll, number as u64, EventFlags::IN)?;
    Ok(socket)
}
