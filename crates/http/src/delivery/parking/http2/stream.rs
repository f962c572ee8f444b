use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use tidings_http2::StreamId;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::upload::Inlet;
use crate::delivery::parking::parked::Key;
use crate::server::permits::Share;
use crate::server::socket::Progress;

/// A stream of an HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) connection: u32,
    pub(crate) id: StreamId,
    /// What counts for the client's address, of one that waits.
    pub(crate) share: Option<Share>,
    pub(crate) role: Role,
}

/// What a stream is about.
#[derive(Debug)]
pub(crate) enum Role {
    /// A task answers its request.
    Task(Box<Task>),
    /// It waits for events, as an entry.
    Waiting {
        entry: Key,
        /// Whether its head has been sent.
        begun: bool,
    },
    /// It has been sent all; its entry is about to let go of it.
    Finished,
}

/// A request that is being answered. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) _task: Running,
    pub(crate) progress: Arc<Progress>,
    /// Where the rest of the request's body goes, while there is any.
    pub(crate) body: Option<Inlet>,
    /// The pieces that the task may give beside those that are here.
    pub(crate) credit: Arc<Semaphore>,
    pub(crate) pieces: VecDeque<Piece>,
    /// Whether the head of the answer has been sent.
    pub(crate) answered: bool,
    /// Whether the last piece is here, or has been sent.
    pub(crate) ended: bool,
    /// Since when its client has taken none of what is here.
    pub(crate) stalled: Option<NonZeroU32>,
}

/// A piece of an answer's body.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Bytes,
    /// Whether it is the last one.
    pub(crate) end: bool,
}

/// A task that is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}
