//! What the caller of a relay is given, on its way from the run to the caller's connection.
//!
//! An event's own lines leave as they come. The end of its block waits until the event is durable: with it goes the id, and
//! with the id the promise that everything up to there can be read again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use http_body::{Body, Frame};
use tidings_http::ClientWatch;
use tidings_protocol::Cursor;
use tokio::sync::Notify;

use crate::blocks::LineEnd;
use crate::catch_up::CatchUp;
use crate::defaults;

/// The run's end of an answer.
#[derive(Debug)]
pub(crate) struct Caller {
    pipe: Arc<Pipe>,
    /// What waits behind the end of an event that is not durable yet.
    held: VecDeque<u8>,
    ends: VecDeque<End>,
    /// How much of what is held comes before the last of them, and with it.
    counted: usize,
    /// Whether ids are given, for which there is a place in event streams only.
    has_ids: bool,
    /// How what the caller misses is read from the log.
    catch_up: CatchUp,
}

/// The end of an event, which waits.
#[derive(Debug)]
struct End {
    /// How much of what is held comes before it; nothing for the first one.
    before: usize,
    line_end: LineEnd,
    /// How many bytes follow on the id.
    rest: usize,
}

/// The caller's end of it, as the body of a response.
pub(crate) struct CallerBody {
    pipe: Arc<Pipe>,
    /// What is read from the log, for a caller who took too little.
    behind: Option<BoxStream<'static, Result<Bytes, Broken>>>,
    _watch: ClientWatch,
}

/// What a caller is told where the rest of the answer does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct Broken;

#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<State>,
    /// Told when the caller leaves.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    waker: Option<Waker>,
    end: Option<Ending>,
    has_left: bool,
}

/// How an answer ends.
#[derive(Debug)]
enum Ending {
    Whole,
    Broken,
    /// The caller took too little, and reads on in the log.
    Behind(CatchUp, Cursor),
}

// === impl Pipe ===

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An answer, and the run's end of it.
pub(crate) fn answer(has_ids: bool, catch_up: CatchUp, watch: ClientWatch) -> (Caller, CallerBody) {
    let pipe = Arc::<Pipe>::default();
    let body = CallerBody { pipe: Arc::clone(&pipe), behind: None, _watch: watch };
    (Caller { pipe, held: VecDeque::new(), ends: VecDeque::new(), counted: 0, has_ids, catch_up }, body)
}

// === impl Caller ===

impl Caller {
    /// Gives bytes, in their turn.
    pub(crate) fn give(&mut self, bytes: &[u8]) {
        if self.ends.is_empty() {
            self.pipe.change(|state| state.bytes.extend_from_slice(bytes));
        } else {
            self.held.extend(bytes);
        }
    }

    /// Gives what may be left out where the caller takes too little.
    pub(crate) fn give_sign(&mut self, bytes: &[u8]) {
        if self.held.len() + self.pipe.state().bytes.len() <= defaults::CALLER_BYTES {
            self.give(bytes);
        }
    }

    /// Gives the end of an event that is not kept. Says whether the caller may have more: what one that takes too little misses
    /// of such events is in no log, so its answer breaks off.
    pub(crate) fn give_foreign_end(&mut self, bytes: &[u8]) -> bool {
        self.give(bytes);
        self.held.len() + self.pipe.state().bytes.len() <= defaults::FOREIGN_BYTES
    }

    /// Gives a sign of life between two lines, before what is held.
    pub(crate) fn beat(&self, bytes: &[u8]) {
        self.pipe.change(|state| {
            if state.bytes.len() <= defaults::CALLER_BYTES {
                state.bytes.extend_from_slice(bytes);
            }
        });
    }

    /// Here ends an event: its id follows when it is durable, and then `rest`.
    pub(crate) fn end_event(&mut self, line_end: LineEnd, rest: &[u8]) {
        let before = self.held.len() - self.counted;
        self.ends.push_back(End { before, line_end, rest: rest.len() });
        self.held.extend(rest);
        self.counted = self.held.len();
    }

    /// The next event is durable. Says whether the caller still gets the rest from here: one that takes too little gets it
    /// from the log.
    pub(crate) fn settle(&mut self, id: Cursor) -> bool {
        let Some(End { line_end, rest, .. }) = self.ends.pop_front() else { return true };
        let mut bytes = Vec::new();
        if self.has_ids {
            bytes.extend_from_slice(b"id: ");
            id.write(&mut bytes);
            bytes.extend_from_slice(line_end.bytes());
        }
        bytes.extend(self.held.drain(..rest));
        self.counted -= rest;
        let is_behind = self.pipe.state().bytes.len() > defaults::CALLER_BYTES;
        if is_behind {
            let ending = Ending::Behind(self.catch_up.clone(), id);
            self.pipe.change(|state| {
                state.bytes.append(&mut bytes);
                state.end = Some(ending);
            });
            return false;
        }
        let free = match self.ends.front_mut() {
            Some(end) => std::mem::take(&mut end.before),
            None => self.held.len(),
        };
        bytes.extend(self.held.drain(..free));
        self.counted = self.counted.saturating_sub(free);
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        self.pipe.change(|state| state.bytes.append(&mut bytes));
        true
    }

    /// The answer is whole.
    pub(crate) fn finish(self) {
        self.pipe.change(|state| _ = state.end.get_or_insert(Ending::Whole));
    }

    /// Waits until the caller leaves.
    pub(crate) async fn left(&self) {
        while !self.pipe.state().has_left {
            self.pipe.left.notified().await;
        }
    }
}

impl Drop for Caller {
    /// An answer that was not finished breaks off.
    fn drop(&mut self) {
        self.pipe.change(|state| _ = state.end.get_or_insert(Ending::Broken));
    }
}

// === impl CallerBody ===

impl Body for CallerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            if let Some(behind) = &mut self.behind {
                return behind.poll_next_unpin(cx).map(|next| next.map(|bytes| bytes.map(Frame::data)));
            }
            let mut state = self.pipe.state();
            if !state.bytes.is_empty() {
                let bytes = std::mem::take(&mut state.bytes);
                return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
            }
            match state.end.take() {
                None => {
                    state.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Some(Ending::Whole) => {
                    state.end = Some(Ending::Whole);
                    return Poll::Ready(None);
                }
                Some(Ending::Broken) => {
                    state.end = Some(Ending::Whole);
                    return Poll::Ready(Some(Err(Broken)));
                }
                Some(Ending::Behind(catch_up, after)) => {
                    drop(state);
                    self.behind = Some(catch_up.after(after));
                }
            }
        }
    }
}

impl Drop for CallerBody {
    fn drop(&mut self) {
        self.pipe.state().has_left = true;
        self.pipe.left.notify_one();
    }
}
