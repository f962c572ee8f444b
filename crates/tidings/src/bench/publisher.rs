//! One publisher: a connection that asks, and asks again once it has been answered.

use std::os::fd::BorrowedFd;

use rustix::event::epoll::EventFlags;

use super::connection::{Connection, ConnectionError, Ending, Listener, Turn};
use super::head::Head;
use super::link::Buffers;
use super::payload::Payload;
use super::plan::Plan;

#[derive(Debug)]
pub(crate) struct Publisher {
    number: usize,
    connection: Connection,
    stage: Stage,
    /// Where bodies are made.
    scratch: Vec<u8>,
    request: Vec<u8>,
    /// How many events of each topic it has sent.
    sent: Vec<u64>,
    /// What the answer that it waits for is about.
    pending: Pending,
    /// The connection takes no more.
    close: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Free,
    Waiting,
}

/// A publication that is not acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) topic: usize,
    pub(crate) events: u64,
    pub(crate) sent: u64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    None,
    /// It may publish.
    Ready,
    Acknowledged(Pending),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublisherError {
    #[error("a publisher's connection failed: {0}")]
    Connection(#[from] ConnectionError),
    #[error("the server answered a publisher with status {0}")]
    Status(u16),
    #[error("the server closed a publisher's connection")]
    Closed,
}

/// What publishers read into; answers are short.
pub(crate) const BUFFER_BYTES: usize = 16 << 10;
/// Where the numbers of publishers' connections begin, beyond those of subscribers.
const FIRST_CONNECTION: usize = 1 << 19;

/// Waits for an acknowledgement.
#[derive(Debug, Default)]
struct Answer {
    whole: bool,
    close: bool,
}

// === impl Publisher ===

impl Publisher {
    pub(crate) fn open(plan: &Plan, number: usize, epoll: BorrowedFd<'_>) -> Result<Self, PublisherError> {
        Ok(Self {
            number,
            connection: connect(plan, number, epoll)?,
            stage: Stage::Connecting,
            scratch: Vec::new(),
            request: Vec::new(),
            sent: vec![0; plan.topics],
            pending: Pending::default(),
            close: false,
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
        (epoll, buffers): (BorrowedFd<'_>, &mut Buffers),
        topic: usize,
        events: u64,
        now: u64,
    ) -> Result<(), PublisherError> {
        if self.close || !self.connection.takes_requests() {
            self.connection = connect(plan, self.number, epoll)?;
            self.close = false;
        }
        let first = self.sent[topic];
        let publisher = self.number;
        let payloads = (0..events as usize).map(|place| Payload {
            publisher,
            topic,
            number: first + place as u64,
            sent: now,
        });
        self.request.clear();
        plan.publish_dialect.publish(topic, payloads, plan.size, &mut self.scratch, &mut self.request);
        self.sent[topic] += events;
        self.pending = Pending { topic, events, sent: now };
        self.stage = Stage::Waiting;
        self.connection.ask(0, &self.request);
        Ok(self.connection.flush(epoll, buffers)?)
    }

    /// Takes what the socket is ready for.
    pub(crate) fn turn(
        &mut self,
        flags: EventFlags,
        epoll: BorrowedFd<'_>,
        buffers: &mut Buffers,
    ) -> Result<News, PublisherError> {
        let mut answer = Answer::default();
        let turn = self.connection.turn(flags, buffers, &mut answer)?;
        self.close |= answer.close;
        match turn {
            Turn::Ended(Ending::Idle) => self.close = true,
            Turn::Ended(Ending::Early) => return Err(ConnectionError::Early.into()),
            Turn::Ended(_) => return Err(PublisherError::Closed),
            Turn::Up | Turn::Same => self.connection.flush(epoll, buffers)?,
        }
        if self.stage == Stage::Connecting && turn == Turn::Up {
            self.stage = Stage::Free;
            return Ok(News::Ready);
        }
        if !answer.whole {
            return Ok(News::None);
        }
        self.stage = Stage::Free;
        Ok(News::Acknowledged(self.pending))
    }
}

// === impl Answer ===

impl Listener for Answer {
    type Error = PublisherError;

    fn head(&mut self, _: usize, head: &Head<'_>) -> Result<(), PublisherError> {
        if (200..300).contains(&head.status) { Ok(()) } else { Err(PublisherError::Status(head.status)) }
    }

    fn piece(&mut self, _: usize, _: &[u8]) -> Result<(), PublisherError> {
        Ok(())
    }

    fn end(&mut self, _: usize, close: bool) -> Result<(), PublisherError> {
        (self.whole, self.close) = (true, close);
        Ok(())
    }
}

fn connect(plan: &Plan, number: usize, epoll: BorrowedFd<'_>) -> Result<Connection, PublisherError> {
    Ok(Connection::open(&plan.publish_server, 1, FIRST_CONNECTION + number, epoll, number as u64)?)
}
