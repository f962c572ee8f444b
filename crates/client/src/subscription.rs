use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;

use crate::session::{Session, Step};
use crate::{Item, SubscribeError};

/// A stream of what happens on the topics of a subscription, made by [`Subscribe::open`](crate::Subscribe::open).
///
/// It ends after [`Item::Closed`], and after an error; every other end of a connection is followed by another
/// attempt. It works only while it is polled, so a slow consumer holds the hub back instead of filling
/// memory. Polling it inside `select!` loses nothing. Dropping it closes its connection.
pub struct Subscription {
    steps: Pin<Box<dyn Stream<Item = Step> + Send>>,
    cursor: Option<String>,
}

// === impl Subscription ===

impl Subscription {
    pub(crate) fn new(session: Session) -> Self {
        let steps = unfold(session, |mut session| async {
            let step = session.next().await?;
            Some((step, session))
        });
        Self { steps: Box::pin(steps.fuse()), cursor: None }
    }

    /// The cursor after what was delivered: give it to [`Subscribe::cursor`](crate::Subscribe::cursor) to go
    /// on from here, in this process or another one. `None` before the hub has first answered.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

impl Stream for Subscription {
    type Item = Result<Item, SubscribeError>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(step) = ready!(self.steps.as_mut().poll_next(context)) else { return Poll::Ready(None) };
            if step.cursor.is_some() {
                self.cursor = step.cursor;
            }
            if step.item.is_some() {
                return Poll::Ready(step.item);
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
