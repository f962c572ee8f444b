use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake as _, Waker};

use tidings_websocket::{
    Accepted, CloseCode, Decoder, Inflater, Message, Opcode, encode_masked, encode_masked_close,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::random;
use super::reply::{Acknowledgement, Reply, closed};
use super::wakers::Wakers;
use crate::answer::Failure;
use crate::received::Received;
use crate::{Interruption, defaults};

/// What a socket is made of below.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A socket that its subscription and whoever publishes through it share. No task belongs to it: whoever waits for
/// something of it does the work for all, and wakes the others when there is news.
pub(crate) struct Shared {
    state: Mutex<State>,
    wakers: Arc<Wakers>,
}

struct State {
    io: Option<Box<dyn Io>>,
    decoder: Decoder,
    inflater: Inflater,
    is_hub: bool,
    /// What is to be sent, and how much of it has been.
    out: Vec<u8>,
    sent: usize,
    /// What the subscription has not taken yet, and how many bytes that was.
    told: VecDeque<Received>,
    told_bytes: usize,
    /// Why the socket is over.
    failure: Option<Failure>,
    /// What is waited for, and what came of it.
    publications: HashMap<u64, Option<Acknowledgement>>,
    next_reference: u64,
    /// When the hub was last heard of.
    heard: Instant,
}

/// A publication that was sent and is not acknowledged. It may be given up by dropping it.
pub(crate) struct Publication<'a> {
    shared: &'a Shared,
    reference: u64,
}

// === impl Shared ===

impl Shared {
    pub(super) fn new(io: Box<dyn Io>, accepted: Accepted, event_bytes: usize) -> Self {
        let state = State {
            io: Some(io),
            decoder: Decoder::client(event_bytes, accepted.deflate.is_some()),
            inflater: Inflater::default(),
            is_hub: accepted.has_protocol,
            out: Vec::new(),
            sent: 0,
            told: VecDeque::new(),
            told_bytes: 0,
            failure: None,
            publications: HashMap::new(),
            next_reference: 0,
            heard: Instant::now(),
        };
        Self { state: Mutex::new(state), wakers: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what there is to do, and has the task woken when there may be more.
    fn drive(&self, context: &Context<'_>) -> MutexGuard<'_, State> {
        self.wakers.add(context.waker());
        let waker = Waker::from(Arc::clone(&self.wakers));
        let mut state = self.state();
        if state.drive(&mut Context::from_waker(&waker)) {
            waker.wake_by_ref();
        }
        state
    }

    pub(super) fn heard(&self) -> Instant {
        self.state().heard
    }

    /// Resolves with the first word of the subscription, which stays to be taken.
    pub(super) async fn has_told(&self) -> Result<(), Failure> {
        poll_fn(|context| {
            let mut state = self.drive(context);
            if state.told.is_empty() { state.over() } else { Poll::Ready(Ok(())) }
        })
        .await
    }

    /// What the subscription is told next.
    pub(super) async fn told(&self) -> Result<Vec<Received>, Failure> {
        poll_fn(|context| {
            let mut state = self.drive(context);
            if state.told.is_empty() {
                return state.over();
            }
            if state.is_behind() {
                // Nobody has read since.
                self.wakers.wake_by_ref();
            }
            state.told_bytes = 0;
            Poll::Ready(Ok(state.told.drain(..).collect()))
        })
        .await
    }

    /// Sends a publication, which is one JSON object. `None` where the socket is over, or too much waits to be sent or to
    /// be taken.
    pub(crate) fn publish(&self, item: &str) -> Option<Publication<'_>> {
        let mut state = self.state();
        let waits = state.out.len() - state.sent;
        let is_full = waits > 0 && waits + item.len() > defaults::SOCKET_OUT_BYTES;
        if state.io.is_none() || is_full || state.is_behind() {
            return None;
        }
        let reference = state.next_reference;
        state.next_reference += 1;
        state.publications.insert(reference, None);
        state.say(Opcode::Text, format!("{{\"publish\":{item},\"ref\":{reference}}}").as_bytes());
        Some(Publication { shared: self, reference })
    }

    /// Ends the socket, and says so where that can be done at once.
    pub(super) fn close(&self) {
        let mut state = self.state();
        if state.io.is_some() {
            encode_masked_close(CloseCode::NORMAL, "", random(), &mut state.out);
            state.flush(&mut Context::from_waker(Waker::noop()));
            state.end(Interruption::Ended.into());
        }
        drop(state);
        Waker::from(Arc::clone(&self.wakers)).wake();
    }
}

// === impl State ===

impl State {
    /// Sends and reads what can be. `true` where there is something for others than who asks.
    fn drive(&mut self, context: &mut Context<'_>) -> bool {
        let mut has_news = false;
        loop {
            self.flush(context);
            if self.is_behind() {
                return has_news;
            }
            let Some(io) = &mut self.io else { return has_news };
            let mut bytes = [0; defaults::SOCKET_READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(io).poll_read(context, &mut buffer) {
                Poll::Pending => return has_news,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.end(Interruption::Ended.into()),
                Poll::Ready(Ok(())) => self.read(buffer.filled()),
                Poll::Ready(Err(error)) => self.end(Interruption::Broken(error.to_string()).into()),
            }
            has_news = true;
        }
    }

    /// Whether the subscription has to take something before more is read.
    fn is_behind(&self) -> bool {
        self.told_bytes >= defaults::SOCKET_AHEAD_BYTES
    }

    fn flush(&mut self, context: &mut Context<'_>) {
        while let Some(io) = &mut self.io {
            if self.sent == self.out.len() {
                self.out.clear();
                self.sent = 0;
                return;
            }
            match Pin::new(io).poll_write(context, &self.out[self.sent..]) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.end(Interruption::Ended.into()),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => self.end(Interruption::Broken(error.to_string()).into()),
            }
        }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        self.heard = Instant::now();
        while self.io.is_some() {
            match self.decoder.receive(&mut bytes, &mut self.inflater) {
                Ok(Some(message)) => self.take(message),
                Ok(None) => return,
                Err(error) => {
                    encode_masked_close(error.code, error.reason, random(), &mut self.out);
                    self.flush(&mut Context::from_waker(Waker::noop()));
                    self.end(Interruption::Malformed(error.to_string()).into());
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Text(text) => match Reply::parse(&text) {
                Ok(Reply::Told(told)) => {
                    self.told_bytes += text.len();
                    self.told.push_back(told);
                }
                Ok(Reply::Acknowledged(reference, acknowledgement)) => {
                    // Whoever has given it up has taken its place away.
                    if let Some(place) = self.publications.get_mut(&reference) {
                        *place = Some(acknowledgement);
                    }
                }
                Ok(Reply::Refused(failure)) => self.end(failure),
                Ok(Reply::Nothing) => {}
                Err(reason) => self.end(reason.into()),
            },
            // The last one is enough (RFC 6455 §5.5.3), and one that waits will do.
            Message::Ping(payload) if self.out.len() - self.sent < defaults::SOCKET_OUT_BYTES => {
                self.say(Opcode::Pong, &payload);
            }
            Message::Close { code, reason } => {
                encode_masked_close(code.unwrap_or(CloseCode::NORMAL), "", random(), &mut self.out);
                self.flush(&mut Context::from_waker(Waker::noop()));
                self.end(closed(code, &reason, self.is_hub));
            }
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
        }
    }

    fn say(&mut self, opcode: Opcode, payload: &[u8]) {
        encode_masked(opcode, payload, random(), &mut self.out);
    }

    /// The first reason is the one that counts.
    fn end(&mut self, failure: Failure) {
        if self.io.take().is_some() {
            self.failure = Some(failure);
        }
    }

    fn over<T>(&mut self) -> Poll<Result<T, Failure>> {
        if self.io.is_some() {
            return Poll::Pending;
        }
        Poll::Ready(Err(self.failure.take().unwrap_or_else(|| Interruption::Ended.into())))
    }
}

// === impl Publication ===

impl Publication<'_> {
    /// What became of it; `None` where the socket ended before that was told.
    pub(crate) async fn acknowledged(self) -> Option<Acknowledgement> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<Acknowledgement>> {
        let mut state = self.shared.drive(context);
        match state.publications.get_mut(&self.reference).and_then(Option::take) {
            None if state.io.is_some() => Poll::Pending,
            acknowledgement => Poll::Ready(acknowledgement),
        }
    }
}

impl Drop for Publication<'_> {
    fn drop(&mut self) {
        self.shared.state().publications.remove(&self.reference);
    }
}
