use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::asking::{Asking, Said};

/// The body of a request. Its connection gives it what has come, as much as the stream's window lets the client send.
#[derive(Debug)]
pub(crate) struct Upload {
    shared: Arc<UploadBuffer>,
    asking: Asking,
}

/// Where a connection puts what has come of a body.
#[derive(Debug)]
pub(crate) struct Inlet(Arc<UploadBuffer>);

#[derive(Debug, Default)]
struct UploadBuffer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    end: End,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    Open,
    /// It has come whole.
    Whole,
    /// Its stream has ended before it did.
    Cut,
    /// Nobody wants the rest of it.
    Unwanted,
}

/// The client has given up its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream was reset")]
pub(crate) struct Reset;

// === impl Upload ===

impl Upload {
    /// A body, and where it comes in; `None` where there is none.
    pub(crate) fn new(asking: Asking, has_body: bool) -> (Self, Option<Inlet>) {
        let shared = Arc::new(UploadBuffer::default());
        if !has_body {
            shared.lock().end = End::Whole;
            return (Self { shared, asking }, None);
        }
        (Self { shared: Arc::clone(&shared), asking }, Some(Inlet(shared)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Reset;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reset>>> {
        let mut state = self.shared.lock();
        if !state.bytes.is_empty() {
            let bytes = std::mem::take(&mut state.bytes);
            drop(state);
            // There is room for as much again.
            self.asking.say(Said::Consumed(bytes.len()));
            return Poll::Ready(Some(Ok(Frame::data(bytes.into()))));
        }
        match state.end {
            End::Open => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            End::Cut => Poll::Ready(Some(Err(Reset))),
            End::Whole | End::Unwanted => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        state.bytes.is_empty() && state.end == End::Whole
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.shared.lock();
        let held = state.bytes.len() as u64;
        if state.end == End::Whole {
            return SizeHint::with_exact(held);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(held);
        hint
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let is_open = state.end == End::Open;
        if is_open {
            state.end = End::Unwanted;
        }
        let bytes = std::mem::take(&mut state.bytes).len();
        drop(state);
        // Also of a body that has come whole: its stream may be open for days.
        if bytes > 0 {
            self.asking.say(Said::Consumed(bytes));
        }
        if is_open {
            self.asking.say(Said::Unwanted);
        }
    }
}

// === impl Inlet ===

impl Inlet {
    /// Takes what has come. Says whether anybody will read it.
    pub(crate) fn push(&self, bytes: &[u8], end: bool) -> bool {
        let mut state = self.0.lock();
        if state.end != End::Open {
            return false;
        }
        state.bytes.extend_from_slice(bytes);
        if end {
            state.end = End::Whole;
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.end == End::Open {
            state.end = End::Cut;
        }
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }
}

// === impl UploadBuffer ===

impl UploadBuffer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::parking::http2::StreamName;
    use crate::delivery::parking::mailbox::{Mailbox, Message};
    use crate::delivery::parking::parked::Key;

    /// What nobody reads of a body is given back to the window of its connection, which has others.
    #[test]
    fn what_is_not_read_is_consumed() {
        for is_whole in [false, true] {
            let mailbox = Arc::new(Mailbox::new().unwrap());
            let name = StreamName { shard: 0, connection: Key { index: 0, generation: 0 }, stream: 1 };
            let asking = Asking { mailbox: Arc::clone(&mailbox), name };
            let (upload, inlet) = Upload::new(asking, true);
            assert!(inlet.unwrap().push(&[0; 100], is_whole) && mailbox.open().is_empty());
            drop(upload);
            let said = mailbox.open();
            assert!(matches!(said[0], Message::Stream(_, Said::Consumed(100))), "{said:?}");
        }
    }
}
