//! Every time-out and bound of the log in NATS.

use std::time::Duration;

/// How long NATS may take to answer one request or to acknowledge a message. Less than the patience of the log above, so
/// that the reason is the one that is known here.
pub(crate) const ANSWER: Duration = Duration::from_secs(8);
/// How long the stream may take to say that it is there. While a cluster looks for a leader nobody answers, so that it is
/// better to ask again soon.
pub(crate) const PROBE: Duration = Duration::from_secs(2);
/// How long a connection may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// How long the client waits before it connects again by itself: for ever, as good as. A connection is made by
/// attaching, which looks whether the log is still the one that was followed.
pub(crate) const RECONNECT: Duration = Duration::from_secs(60);

/// How often NATS gives a sign of life while nothing is published. Two that are missing end the feed.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long one request for messages holds.
pub(crate) const PULL: Duration = Duration::from_secs(30);
/// How many messages NATS sends ahead, and how many bytes, where none is larger.
pub(crate) const PULL_MESSAGES: usize = 4_096;
/// See [`PULL_MESSAGES`].
pub(crate) const PULL_BYTES: usize = 8 << 20;
/// How long the feed waits for a message before it says that there is none.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);
/// After how long without a reader NATS forgets a consumer.
pub(crate) const CONSUMER: Duration = Duration::from_secs(30);
/// Messages that the feed gives at once.
pub(crate) const FED: usize = 1_024;

/// The most events in a message: so many sequence numbers belong to each.
pub(crate) const MESSAGE_EVENTS: usize = 1 << 16;
/// Up to how many bytes batches of one topic share a message.
pub(crate) const SHARED_BYTES: usize = 128 << 10;
/// What a message's headers and subject may take of its size.
pub(crate) const HEADROOM: usize = 4 << 10;
/// Groups of batches that are under way at once.
pub(crate) const WRITES: usize = 8;
/// What became of so many messages is remembered for those who published them.
pub(crate) const OUTCOMES: usize = 16_384;
/// How often, and with which pauses, is asked again for what became of a message that is just being stored, or of a
/// consumer that was just made.
pub(crate) const ASK_AGAIN: (u32, Duration) = (20, Duration::from_millis(25));
