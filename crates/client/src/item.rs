use std::time::Duration;

use tidings_protocol::Gap;

use crate::{Event, Interruption};

/// What a [`Subscription`](crate::Subscription) tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item {
    /// The hub answers, by this transport, and has told where in its log this is. Comes again after each reconnect and each change of transport.
    /// Where the subscription began at "latest", everything published after the first one of these is
    /// delivered.
    Open {
        /// The transport that events come by now: never [`Transport::Auto`].
        transport: Transport,
    },
    /// An event.
    Event(Event),
    /// Events may be missing here. What follows begins at the earliest event that the hub still holds.
    Gap(Gap),
    /// The connection ended; the next attempt follows. Nothing is lost and nothing comes twice.
    Reconnecting {
        /// How long is rested before it.
        after: Duration,
        /// How many attempts have failed since the last success, from 1.
        attempt: u32,
        /// What happened.
        reason: Interruption,
    },
    /// The topic has ended, and everything in it is delivered. Nothing follows.
    Closed {
        /// Why it has ended, where that was no clean end: `aborted`, where whoever published broke off.
        reason: Option<String>,
    },
}

/// How events are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Transport {
    /// By a stream where that works, by long polls where something on the way holds streams back, and by
    /// short polls where it does not even let long polls through. A WebSocket is tried where it is asked for
    /// ([`Subscribe::transports`](crate::Subscribe::transports)): a stream gets through more proxies.
    #[default]
    Auto,
    /// By Server-Sent Events.
    Sse,
    /// By a WebSocket. While it is open, the client's single events are published through it, too; it opens over HTTP/1.1,
    /// with and without TLS.
    WebSocket,
    /// By polls that the hub holds until there is something.
    LongPoll,
    /// By polls that are answered at once, with a rest between them.
    Poll,
}

// === impl Transport ===

impl Transport {
    /// The name, as command lines and logs have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
            Self::LongPoll => "long-poll",
            Self::Poll => "poll",
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
