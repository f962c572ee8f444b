//! What a shard asks of whoever answers the requests of its connections, and how it is told of the answers.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::Request;
use http::response::Parts;
use tidings_http2::StreamId;
use tokio::sync::Semaphore;

use super::stream::Piece;
use super::upload::Upload;
use crate::delivery::parking::mailbox::{Mailbox, Message};
use crate::delivery::parking::new_reader::NewReader;
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::websocket::NewSocket;
use crate::server::permits::Share;
use crate::server::socket::Answering;

/// Answers the requests of connections that shards have.
pub(crate) trait Requests: fmt::Debug + Send + Sync {
    /// Answers a request, and says to the shard what comes of it.
    fn answer(self: Arc<Self>, request: NewRequest) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A request of a connection that a shard has.
#[derive(Debug)]
pub(crate) struct NewRequest {
    pub(crate) request: Request<Upload>,
    /// Why it comes to no route.
    pub(crate) fault: Option<RequestFault>,
    pub(crate) origin: Origin,
    pub(crate) answering: Answering,
    /// The pieces of the answer that may be given.
    pub(crate) credit: Arc<Semaphore>,
    pub(crate) asking: Asking,
}

/// Why a request comes to no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestFault {
    HeadTooLarge,
    /// Its target has a fragment.
    Fragment,
    /// Its target cannot be read, for this reason.
    Target(String),
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The address at the other end of its connection.
    pub(crate) peer: IpAddr,
    /// Whether nobody on the way can read it.
    pub(crate) encrypted: bool,
}

/// How a request's task speaks to the shard.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(in crate::delivery::parking) mailbox: Arc<Mailbox>,
    pub(in crate::delivery::parking) name: StreamName,
}

/// Names a stream of a shard's connections, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamName {
    /// The shard, of those that have had the mailbox.
    pub(crate) shard: u32,
    pub(in crate::delivery::parking) connection: Key,
    pub(crate) stream: StreamId,
}

/// What comes of a request.
#[derive(Debug)]
pub(crate) enum Said {
    /// The head of the answer, and the first piece of its body.
    Answer(Box<Parts>, Piece),
    /// Another piece.
    Piece(Piece),
    /// The stream waits for events.
    Wait(Box<(NewReader, Option<Share>)>),
    /// The stream is a WebSocket from now on.
    Open(Box<(NewSocket, Vec<u8>, Option<Share>)>),
    /// So much of the request's body was taken.
    Consumed(usize),
    /// Nobody reads the rest of the request's body.
    Unwanted,
    /// There is no more to come, and the answer is not whole.
    Broken,
}

// === impl Asking ===

impl Asking {
    pub(crate) fn say(&self, said: Said) {
        self.mailbox.post(Message::Stream(self.name, said));
    }
}
