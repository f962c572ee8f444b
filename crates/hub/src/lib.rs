//! The living part of Tidings: a [`Hub`] keeps the newest events of a log in memory, each encoded once per
//! framing, and tells those who wait that there is something to read.
//!
//! Nobody has a queue here. A [`Subscription`] is a cursor: it reads what it has not seen, from memory where it
//! is recent and from the log where it is not, and waits for a wake-up where there is nothing. A wake-up is a
//! hint that may be lost or merged with others; the log is the truth.
#![forbid(unsafe_code)]

mod audience;
mod census;
mod ends;
mod entry;
mod folding;
mod hub;
mod hub_state;
mod journal;
mod leases;
mod look;
mod producer;
mod reader;
mod seats;
mod subscription;
mod supervisor;
mod tail;
mod task_waker;
mod waiters;

pub use audience::Audience;
pub use census::Census;
pub use entry::{Entry, Framing};
pub use folding::{Conflate, Folding, InvalidConflate, JOINED_BYTES, fold};
pub use hub::{Hub, HubConfig, HubStats, NotReady, Published};
pub use look::{Found, Look};
pub use producer::{
    PRODUCER_BYTES, Producer, ProducerError, ProducerOptions, Progress, StreamEnd, StreamStats,
};
pub use reader::{Dismissal, Reader, ReaderState, Renewal, Turn};
pub use subscription::{Pull, PullLimits, Subscription};
pub use supervisor::{Supervisor, ThreadFailure, panic_message};
pub use tail::{End, Recent};
