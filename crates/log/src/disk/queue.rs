//! What waits for the writer. Bounded in bytes: whoever comes when it is full waits for room, in the order in
//! which they came.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::limits;
use crate::append::Numbered;
use crate::idempotency::Fingerprint;
use crate::{AppendError, Batch, LogUnavailable};

/// Something for the writer to do.
#[derive(Debug)]
pub(crate) enum Request {
    Append(Append),
    /// Look at what retention says.
    Tidy(oneshot::Sender<()>),
    Close(oneshot::Sender<Result<(), LogUnavailable>>),
}

/// A batch that waits.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) batch: Batch,
    pub(crate) fingerprint: Option<Fingerprint>,
    /// Its share of the queue.
    pub(crate) bytes: usize,
    pub(crate) answer: Answering,
}

/// Who is told what became of a batch.
#[derive(Debug)]
pub(crate) struct Answering {
    to: oneshot::Sender<Result<Numbered, AppendError>>,
    chain: Option<Chain>,
}

/// Batches of which each is appended only where those before it were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain(Arc<AtomicBool>);

/// What waits for the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
    room: Semaphore,
}

#[derive(Debug, Default)]
struct Inner {
    requests: Vec<Request>,
    sleeping: bool,
    /// There is no writer any more.
    ended: bool,
    refused: Option<LogUnavailable>,
}

// === impl Answering ===

impl Answering {
    pub(crate) fn new(chain: Option<Chain>) -> (Self, oneshot::Receiver<Result<Numbered, AppendError>>) {
        let (to, answered) = oneshot::channel();
        (Self { to, chain }, answered)
    }

    /// Whether a batch before this one was refused, so that this one is not to be appended.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.chain.as_ref().is_some_and(|chain| chain.0.load(Ordering::Relaxed))
    }

    /// The batch is refused, and so are those behind it.
    pub(crate) fn refuse(&self) {
        if let Some(chain) = &self.chain {
            chain.0.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn tell(self, answer: Result<Numbered, AppendError>) {
        // Who does not wait any more has left.
        drop(self.to.send(answer));
    }
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new() -> Self {
        let room = Semaphore::new(limits::QUEUE_BYTES);
        Self { inner: Mutex::default(), filled: Condvar::new(), room }
    }

    /// Waits for room for so many bytes, which [`release`](Self::release) gives back.
    pub(crate) async fn reserve(&self, bytes: usize) {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        // It is closed when the writer has ended; the push then says why.
        if let Ok(permit) = self.room.acquire_many(permits).await {
            permit.forget();
        }
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.room.add_permits(bytes);
    }

    pub(crate) fn push(&self, request: Request) -> Result<(), LogUnavailable> {
        let mut inner = self.lock();
        if let Some(reason) = &inner.refused {
            return Err(reason.clone());
        }
        inner.requests.push(request);
        if inner.sleeping {
            inner.sleeping = false;
            drop(inner);
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Pushes the request to close, which is never refused; where the writer has ended already, the drop of
    /// the request tells.
    pub(crate) fn push_last(&self, request: Request) {
        let mut inner = self.lock();
        if !inner.ended {
            inner.requests.push(request);
            inner.sleeping = false;
            drop(inner);
            self.filled.notify_one();
        }
    }

    /// Takes all that waits, in order, into `requests`, which is empty; where nothing waits, sleeps until
    /// something does, but no longer than `patience`.
    pub(crate) fn take(&self, requests: &mut Vec<Request>, patience: Duration) {
        let mut inner = self.lock();
        if inner.requests.is_empty() {
            inner.sleeping = true;
            let woken = self.filled.wait_timeout_while(inner, patience, |inner| inner.requests.is_empty());
            inner = woken.unwrap_or_else(PoisonError::into_inner).0;
            inner.sleeping = false;
        }
        std::mem::swap(&mut inner.requests, requests);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().requests.is_empty()
    }

    /// Whether the writer waits for something to do, so that nobody is overtaken, and everything is still taken.
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.sleeping && inner.requests.is_empty() && inner.refused.is_none()
    }

    /// From now on refuses everything. The first reason stays. What waits already is left to the writer.
    pub(crate) fn refuse(&self, reason: LogUnavailable) {
        self.lock().refused.get_or_insert(reason);
    }

    /// Why nothing is taken any more.
    pub(crate) fn refused(&self) -> Option<LogUnavailable> {
        self.lock().refused.clone()
    }

    /// Takes back what nobody will do any more; the waiting are told by the drop.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        inner.ended = true;
        let requests = std::mem::take(&mut inner.requests);
        drop(inner);
        drop(requests);
        // Also those who wait for room that a panic took with it go on.
        self.room.close();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
