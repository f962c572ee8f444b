use prometheus_client::metrics::counter::Counter;

use crate::delivery::context::Context;
use crate::delivery::parking::group::Shape;
use crate::metrics::{Deliveries, Transport};

/// What a shard counts.
pub(super) struct Counts {
    stream: WaitingReaders,
    lines: WaitingReaders,
    messages: WaitingReaders,
    long_poll: WaitingReaders,
    /// Answers with 200.
    pub(super) answers: Counter,
}

/// The readers of one transport that wait in a shard. They are counted no longer when it is dropped, however that comes.
struct WaitingReaders {
    deliveries: Deliveries,
    readers: usize,
}

// === impl Counts ===

impl Counts {
    pub(super) fn new(context: &Context) -> Self {
        let waiting =
            |transport| WaitingReaders { deliveries: context.metrics.deliveries(transport), readers: 0 };
        Self {
            stream: waiting(Transport::Stream),
            lines: waiting(Transport::Lines),
            messages: waiting(Transport::WebSocket),
            long_poll: waiting(Transport::LongPoll),
            answers: context.metrics.responses(200),
        }
    }

    pub(super) fn of(&self, shape: &Shape) -> &Deliveries {
        match shape {
            Shape::Poll { .. } => self.polls(),
            Shape::Stream { transport: Transport::Lines, .. } => &self.lines.deliveries,
            Shape::Stream { transport: Transport::WebSocket, .. } => &self.messages.deliveries,
            Shape::Stream { .. } => &self.stream.deliveries,
        }
    }

    pub(super) fn polls(&self) -> &Deliveries {
        &self.long_poll.deliveries
    }

    /// A reader waits from now on.
    pub(super) fn arrive(&mut self, shape: &Shape) {
        let waiting = self.waiting(shape);
        waiting.readers += 1;
        waiting.deliveries.arrive();
    }

    /// A reader waits no longer.
    pub(super) fn leave(&mut self, shape: &Shape) {
        let waiting = self.waiting(shape);
        waiting.readers = waiting.readers.saturating_sub(1);
        waiting.deliveries.leave();
    }

    fn waiting(&mut self, shape: &Shape) -> &mut WaitingReaders {
        match shape {
            Shape::Poll { .. } => &mut self.long_poll,
            Shape::Stream { transport: Transport::Lines, .. } => &mut self.lines,
            Shape::Stream { transport: Transport::WebSocket, .. } => &mut self.messages,
            Shape::Stream { .. } => &mut self.stream,
        }
    }
}

// === impl WaitingReaders ===

impl Drop for WaitingReaders {
    fn drop(&mut self) {
        for _ in 0..self.readers {
            self.deliveries.leave();
        }
    }
}
