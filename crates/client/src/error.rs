use tidings_protocol::{InvalidData, InvalidEventType, InvalidSelector, InvalidTopic, Problem, limits};

use crate::Interruption;
use crate::interruption::describe;

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The text is not the URL of a hub.
    #[error("the URL of a hub is like `http://127.0.0.1:8080`: {reason}")]
    InvalidUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The token cannot stand in a header.
    #[error("a token holds only visible ASCII characters")]
    InvalidToken,
    /// The certificates to trust cannot be read.
    #[error("the certificates to trust cannot be taken: {reason}")]
    Certificates {
        /// What is wrong with them.
        reason: String,
    },
    /// A client of the caller's own has its own trust and proxy already.
    #[error("an HTTP client of one's own comes with its certificates and its proxy: set them there")]
    OwnClient,
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
}

/// Why an event was not published, or is not known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic is none.
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    /// The reason of the end is none.
    #[error(transparent)]
    Reason(#[from] tidings_protocol::InvalidEndReason),
    /// The topic is `.` or `..`, which no URL can name, as ending it would need.
    #[error("the topics `.` and `..` cannot be ended: no URL can name them")]
    Unaddressable,
    /// The event type is none.
    #[error(transparent)]
    EventType(#[from] InvalidEventType),
    /// The data is not what it should be.
    #[error(transparent)]
    Data(#[from] InvalidData),
    /// The idempotency key is none.
    #[error("an idempotency key has 1 to {} visible ASCII characters", limits::IDEMPOTENCY_KEY_BYTES)]
    IdempotencyKey,
    /// A batch over several topics cannot end one.
    #[error("a batch over several topics cannot close one: close it by itself")]
    CloseOfBatch,
    /// The hub refused it: nothing was published.
    #[error("the hub refused it with {}", describe(.0))]
    Refused(Problem),
    /// The hub's certificate is not trusted: nothing was published.
    #[error("{reason}")]
    Untrusted {
        /// What is wrong with it.
        reason: String,
    },
    /// It was tried for as long as it should be, and the last attempt came to this. Unless the hub could not
    /// even be reached, it may have been published all the same; publishing it again with the same
    /// idempotency key is safe.
    #[error("gave up at attempt {attempts}: {last}")]
    GaveUp {
        /// How many attempts were made.
        attempts: u32,
        /// What became of the last one.
        #[source]
        last: Interruption,
    },
}

/// Why a subscription could not begin, or ended other than with its topic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// A selector is none.
    #[error("`{text}` is no selector: {source}")]
    Selector {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: InvalidSelector,
    },
    /// There is no selector, or there are too many.
    #[error("a subscription has 1 to {} selectors, this one has {count}", limits::SELECTORS)]
    Selectors {
        /// How many there are.
        count: usize,
    },
    /// The hub refused it for good.
    #[error("the hub refused it with {}", describe(.0))]
    Refused(Problem),
    /// The hub's certificate is not trusted.
    #[error("{reason}")]
    Untrusted {
        /// What is wrong with it.
        reason: String,
    },
}
