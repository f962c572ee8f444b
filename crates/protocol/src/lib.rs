//! The words of the Tidings protocol as types: what a topic, a selector, a cursor, an event and a page are,
//! how each is written, and what is refused. No I/O.
//!
//! Every rule here has one home, so that the hub, the logs and the clients cannot disagree about it. The
//! sections named in the documentation are those of `docs/protocol.md`.
//!
//! ```
//! use tidings_protocol::{Cursor, Selector, Topic};
//!
//! let topic: Topic = "orders/42".parse()?;
//! let selector: Selector = "orders/*".parse()?;
//! assert!(selector.matches(&topic));
//!
//! let cursor: Cursor = "q7m2x9-1042".parse()?;
//! assert_eq!(cursor.sequence, 1042);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod cursor;
mod duration;
mod end_reason;
mod event;
mod event_type;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod gap;
mod lineage;
mod object;
mod only_object;
mod page;
mod problem;
mod selection;
mod selector;
mod selector_tree;
mod small_set;
mod start;
mod timestamp;
mod topic;
mod update;

pub use cursor::{Cursor, Epoch, InvalidCursor, Sequence};
pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use end_reason::{EndReason, InvalidEndReason};
pub use event::{Closing, Event, Format, InvalidData, NewEvent};
pub use event_type::{EventType, InvalidEventType};
pub use gap::{Gap, GapReason};
pub use lineage::Lineage;
pub use object::{write_end_line, write_gap_line, write_line, write_object};
pub use only_object::{Object, object, object_or_null, objects};
pub use page::{Advice, EventObject, Page};
pub use problem::{Problem, ProblemKind};
pub use selection::{EventFilter, Selection};
pub use selector::{InvalidSelector, Selector};
pub use selector_tree::SelectorTree;
pub use small_set::SmallSet;
pub use start::{InvalidStart, Start};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use topic::{InvalidTopic, Topic};
pub use update::Update;

/// The limits that the protocol itself sets, in one place.
pub mod limits {
    /// Longest topic or selector, in bytes of UTF-8 (§1).
    pub const TOPIC_BYTES: usize = 512;
    /// Longest event type, in bytes of UTF-8 (§2).
    pub const EVENT_TYPE_BYTES: usize = 128;
    /// Longest text that tells readers of a plain stream of its end, in characters (§3.2).
    pub const END_TEXT_CHARACTERS: usize = 64;
    /// Longest reason of an end, in characters (§2).
    pub const END_REASON_BYTES: usize = 64;
    /// Longest lifetime of an event (§2).
    pub const TTL: std::time::Duration = std::time::Duration::from_secs(366 * 86_400);
    /// Longest idempotency key, in bytes of visible ASCII (§2).
    pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
    /// Most epochs that a log remembers, the present one among them (§1).
    pub const EPOCHS: usize = 4_096;
    /// Most selectors in one subscription (§3).
    pub const SELECTORS: usize = 100;
    /// Most events on one page, and most for `since=-N` (§3).
    pub const PAGE_EVENTS: usize = 10_000;
    /// Events on a page where the reader names no `limit` (§3).
    pub const DEFAULT_PAGE_EVENTS: usize = 1_000;
    /// Bytes of event data after which a page ends (§3).
    pub const PAGE_BYTES: usize = 1 << 20;
}
