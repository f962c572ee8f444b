//! What a caller reads from the log who took too little of its answer: the same events, framed by the hub.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tidings_hub::{Framing, Hub, PullLimits, Subscription};
use tidings_protocol::{Cursor, Selection, Start, Topic};

use crate::caller::Broken;

/// How the rest of an answer is read.
#[derive(Debug, Clone)]
pub(crate) struct CatchUp {
    hub: Hub,
    topic: Topic,
    /// Whether the answer is an event stream, or lines.
    is_stream: bool,
}

/// How far the reading is.
enum State {
    Begins(CatchUp, Cursor),
    Reads(Box<Subscription>, bool),
    Ended,
}

/// What is read at once.
const LIMITS: PullLimits = PullLimits { events: 256, bytes: 64 << 10 };

// === impl CatchUp ===

impl CatchUp {
    pub(crate) fn new(hub: Hub, topic: Topic, is_stream: bool) -> Self {
        Self { hub, topic, is_stream }
    }

    /// All that follows on an event.
    pub(crate) fn after(self, cursor: Cursor) -> BoxStream<'static, Result<Bytes, Broken>> {
        stream::unfold(State::Begins(self, cursor), State::next).boxed()
    }
}

// === impl State ===

impl State {
    async fn next(self) -> Option<(Result<Bytes, Broken>, Self)> {
        let broken = Some((Err(Broken), Self::Ended));
        let (mut subscription, is_stream) = match self {
            Self::Begins(CatchUp { hub, topic, is_stream }, cursor) => {
                let selection = Selection::new([topic.into()]);
                let Ok(subscription) = hub.subscribe(selection, Start::Cursor(cursor)).await else {
                    return broken;
                };
                (Box::new(subscription), is_stream)
            }
            Self::Reads(subscription, is_stream) => (subscription, is_stream),
            Self::Ended => return None,
        };
        let Ok(pull) = subscription.next(LIMITS).await else { return broken };
        // Nothing is to be missing, and nobody would notice.
        if pull.gap.is_some() {
            return broken;
        }
        let mut bytes = Vec::new();
        for entry in &pull.entries {
            if is_stream {
                bytes.extend_from_slice(&entry.frame(Framing::Stream { topic: false, envelope: false }));
            } else {
                bytes.extend_from_slice(&entry.event().data);
                bytes.push(b'\n');
            }
        }
        if pull.ended {
            let is_whole = pull.reason.is_none();
            if bytes.is_empty() {
                return if is_whole { None } else { broken };
            }
            return Some((
                Ok(bytes.into()),
                if is_whole { Self::Ended } else { Self::Reads(subscription, is_stream) },
            ));
        }
        Some((Ok(bytes.into()), Self::Reads(subscription, is_stream)))
    }
}
