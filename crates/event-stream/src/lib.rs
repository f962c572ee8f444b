//! The `text/event-stream` format (server-sent events): an encoder and an incremental parser, without I/O.
//!
//! The format is that of the [WHATWG HTML standard, §9.2][spec]. [`Encoder`] appends blocks to a byte
//! buffer; [`Parser`] takes the bytes of a response in whatever pieces the network delivers them, and hands
//! out [`Item`]s as soon as the byte that completes them is seen.
//!
//! ```
//! use tidings_event_stream::{Encoder, Event, Item, Parser};
//!
//! let mut bytes = Vec::new();
//! Encoder::new(&mut bytes).retry(2000).id("41").end();
//! Encoder::new(&mut bytes).id("42").event("shipped").data(b"{\"carrier\":\"X\"}").end();
//! assert_eq!(bytes, b"retry: 2000\nid: 41\n\nid: 42\nevent: shipped\ndata: {\"carrier\":\"X\"}\n\n");
//!
//! let mut parser = Parser::new();
//! let mut items = Vec::new();
//! for chunk in bytes.chunks(7) {
//!     parser.feed(chunk, |item| items.push(item))?;
//! }
//! assert_eq!(
//!     items,
//!     [
//!         Item::Retry(2000),
//!         Item::Id("41".into()),
//!         Item::Event(Event {
//!             event: "shipped".into(),
//!             data: "{\"carrier\":\"X\"}".into(),
//!             id: "42".into(),
//!             fields: vec![],
//!         }),
//!     ]
//! );
//! assert_eq!(parser.last_event_id(), "42");
//! # Ok::<(), tidings_event_stream::Error>(())
//! ```
//!
//! [spec]: https://html.spec.whatwg.org/multipage/server-sent-events.html

#![forbid(unsafe_code)]

mod encoder;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod item;
mod limits;
mod lines;
mod parser;

pub use encoder::Encoder;
pub use error::Error;
pub use item::{Event, Item};
pub use limits::{DEFAULT_EVENT_LIMIT, DEFAULT_LINE_LIMIT, FIELD_COST, Limits};
pub use parser::Parser;
