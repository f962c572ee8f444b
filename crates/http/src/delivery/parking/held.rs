//! A held poll whose handler waits for its page: where the answer needs more than the bytes that a shard makes, and where
//! the connection cannot be parked.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tidings_hub::Pull;
use tidings_protocol::{Cursor, Epoch, Sequence};
use tokio::sync::oneshot;

use super::body::Seat;
use super::mailbox::{Address, Message};

/// What a poll is answered with.
#[derive(Debug)]
pub(crate) struct HeldPage {
    pub(crate) pull: Pull,
    pub(crate) next: Cursor,
    /// Where the look ended that found it, which may be beyond that.
    pub(crate) until: Sequence,
    /// The present epoch of the log.
    pub(crate) epoch: Epoch,
}

/// The shard's end of a held poll.
#[derive(Debug)]
pub(crate) struct PageSink {
    page: Option<oneshot::Sender<HeldPage>>,
    entry: Arc<Mutex<Seat>>,
}

/// A poll that is held in a shard: its page, or `None` where the shard gave it up. Whoever drops it ends the wait.
#[derive(Debug)]
pub(crate) struct HeldPoll {
    page: oneshot::Receiver<HeldPage>,
    entry: Arc<Mutex<Seat>>,
}

/// A held poll, and what answers it.
pub(crate) fn held() -> (PageSink, HeldPoll) {
    let (sender, receiver) = oneshot::channel();
    let entry = Arc::<Mutex<Seat>>::default();
    (PageSink { page: Some(sender), entry: Arc::clone(&entry) }, HeldPoll { page: receiver, entry })
}

fn seat(entry: &Mutex<Seat>) -> MutexGuard<'_, Seat> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl PageSink ===

impl PageSink {
    /// The entry is at this address. Says whether somebody waits for the page.
    pub(super) fn seat(&self, address: Address) -> bool {
        seat(&self.entry).take(address)
    }

    /// Answers the poll.
    pub(super) fn answer(&mut self, page: HeldPage) {
        if let Some(sender) = self.page.take() {
            // Whoever has left needs none.
            drop(sender.send(page));
        }
    }
}

// === impl HeldPoll ===

impl Future for HeldPoll {
    type Output = Option<HeldPage>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<HeldPage>> {
        let page = ready!(Pin::new(&mut self.page).poll(cx));
        // The entry is gone already.
        drop(seat(&self.entry).leave());
        Poll::Ready(page.ok())
    }
}

impl Drop for HeldPoll {
    fn drop(&mut self) {
        let entry = seat(&self.entry).leave();
        if let Some(entry) = entry {
            entry.tell(Message::Left);
        }
    }
}
