//! The body of a response as a sink: for routers that are mounted in other programs, and for connections that cannot be
//! parked. Who serves the connection takes from it what a shard has put into it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::mailbox::{Address, Message};
use super::sink::Sent;
use super::websocket::{SocketHandle, Told};
use crate::defaults;
use crate::delivery::memory::Client;

/// The shard's end of a body. A body whose sink is dropped before it was finished fails.
#[derive(Debug)]
pub(crate) struct BodySink {
    pipe: Arc<Pipe>,
    /// For whom is counted what the reader has not taken.
    client: Client,
}

/// The events of a stream as the body of a response. Whoever drops it ends the stream.
#[derive(Debug)]
pub(crate) struct EventBody<G> {
    pipe: Arc<Pipe>,
    _guard: G,
}

/// What the reader of a body is told where the rest of it does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream was closed before its end")]
pub(crate) struct Broken;

/// How a task that carries the bytes of a WebSocket tells its shard of them.
#[derive(Debug)]
pub(super) struct TaskHandle(Arc<Pipe>);

/// A few bytes between a shard and a body.
#[derive(Debug, Default)]
struct Pipe(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Whether the sink takes no more, and the shard waits until it does.
    is_full: bool,
    /// Who waits for bytes.
    waker: Option<Waker>,
    entry: Seat,
    /// How it ended, where it has.
    end: Option<Result<(), Broken>>,
}

/// The entry that belongs to something outside of the shards.
#[derive(Debug, Default)]
pub(super) enum Seat {
    /// It is on its way to a shard.
    #[default]
    Coming,
    At(Address),
    /// Nobody is there any more for whom the entry waits.
    Left,
}

/// A body, and the sink that fills it. The body keeps `guard` for as long as it lasts.
pub(crate) fn body<G>(client: Client, guard: G) -> (BodySink, EventBody<G>) {
    let pipe = Arc::<Pipe>::default();
    (BodySink { pipe: Arc::clone(&pipe), client }, EventBody { pipe, _guard: guard })
}

// === impl Seat ===

impl Seat {
    /// The entry has come to a shard. Says whether it is still waited for.
    pub(super) fn take(&mut self, address: Address) -> bool {
        let awaited = !matches!(self, Self::Left);
        if awaited {
            *self = Self::At(address);
        }
        awaited
    }

    /// Whoever had it is gone. Gives back the entry, which is to be told.
    #[must_use]
    pub(super) fn leave(&mut self) -> Option<Address> {
        match std::mem::replace(self, Self::Left) {
            Self::At(address) => Some(address),
            Self::Coming | Self::Left => None,
        }
    }
}

// === impl Pipe ===

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: Result<(), Broken>) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

// === impl BodySink ===

impl BodySink {
    /// The entry is at this address. Says whether the body is still there.
    pub(super) fn seat(&self, address: Address) -> bool {
        self.pipe.state().entry.take(address)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// How much it takes now.
    pub(super) fn room(&self) -> usize {
        defaults::BODY_BYTES.saturating_sub(self.pipe.state().bytes.len())
    }

    pub(super) fn offer(&self, bytes: &[u8]) -> Sent {
        let mut state = self.pipe.state();
        if matches!(state.entry, Seat::Left) {
            return Sent::Failed;
        }
        let count = bytes.len().min(defaults::BODY_BYTES.saturating_sub(state.bytes.len()));
        state.bytes.extend_from_slice(&bytes[..count]);
        state.is_full = count < bytes.len();
        let (sent, waker) = (if state.is_full { Sent::Some(count) } else { Sent::All }, state.waker.take());
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        sent
    }

    pub(super) fn finish(&self) {
        self.pipe.end(Ok(()));
    }
}

impl Drop for BodySink {
    fn drop(&mut self) {
        self.pipe.end(Err(Broken));
    }
}

// === impl EventBody ===

impl<G> EventBody<G> {
    /// How the shard of a WebSocket is told of something, once it has it.
    pub(super) fn handle(&self) -> TaskHandle {
        TaskHandle(Arc::clone(&self.pipe))
    }
}

// === impl TaskHandle ===

impl TaskHandle {
    /// Whether the shard has said all that it had to say.
    pub(super) fn is_finished(&self) -> bool {
        self.0.state().end == Some(Ok(()))
    }

    pub(super) fn tell(&self, told: Told) {
        let entry = match &self.0.state().entry {
            Seat::At(address) => Some(address.clone()),
            Seat::Coming | Seat::Left => None,
        };
        if let Some(entry) = entry {
            SocketHandle(entry).tell(told);
        }
    }
}

impl<G: Unpin> Body for EventBody<G> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut state = self.pipe.state();
        if state.bytes.is_empty() {
            return match state.end {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(broken)) => Poll::Ready(Some(Err(broken))),
                None => {
                    state.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        let bytes = std::mem::take(&mut state.bytes);
        let entry = match &state.entry {
            Seat::At(address) if state.is_full => Some(address.clone()),
            _ => None,
        };
        state.is_full = false;
        drop(state);
        if let Some(entry) = entry {
            entry.tell(Message::Writable);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.pipe.state();
        state.bytes.is_empty() && state.end == Some(Ok(()))
    }
}

impl<G> Drop for EventBody<G> {
    fn drop(&mut self) {
        let mut state = self.pipe.state();
        let (entry, has_ended) = (state.entry.leave(), state.end.is_some());
        state.bytes = Vec::new();
        drop(state);
        if let Some(entry) = entry.filter(|_| !has_ended) {
            entry.tell(Message::Left);
        }
    }
}
