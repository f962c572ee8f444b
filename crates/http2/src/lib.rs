//! The server's side of HTTP/2 (RFC 9113) without I/O, for connections that mostly wait.
//!
//! A [`Connection`] is a state machine: it is given what was read of a socket, says what [`Event`]s that makes, and
//! writes frames into a buffer that its owner sends when it likes, those of many streams with one system call. While
//! nothing is under way, a connection takes some 250 bytes and each of its streams some 50; it has neither buffers nor tables.
//!
//! ```
//! use std::sync::Arc;
//! use http::{HeaderMap, StatusCode};
//! use tidings_http2::{Connection, ConnectionError, Event, Settings};
//!
//! /// Answers what was read, and returns what is to be written.
//! fn serve(connection: &mut Connection, mut read: &[u8], seconds: u32) -> Result<Vec<u8>, ConnectionError> {
//!     let mut out = Vec::new();
//!     while let Some(event) = connection.receive(&mut read, seconds, &mut out)? {
//!         match event {
//!             Event::Request { stream, head, .. } => {
//!                 let greeting = format!("{} to you", head.path.as_deref().unwrap_or("hello"));
//!                 let fields = HeaderMap::new();
//!                 // `Closed` says that the client no longer wants to know.
//!                 let _ = connection.respond(stream, StatusCode::OK, &fields, false, &mut out);
//!                 // What a window has no room for is sent when there is `Event::Room`.
//!                 let _ = connection.send(stream, greeting.as_bytes(), true, &mut out);
//!             }
//!             Event::Data { stream, bytes, .. } => connection.consumed(stream, bytes.len(), &mut out),
//!             _ => {}
//!         }
//!     }
//!     Ok(out)
//! }
//!
//! let mut out = Vec::new();
//! let mut connection = Connection::new(Arc::new(Settings::default()), &mut out);
//! let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
//! let request = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84";
//! out.extend(serve(&mut connection, preface, 0)?);
//! out.extend(serve(&mut connection, request, 0)?);
//! assert!(out.ends_with(b"/ to you"));
//! assert!(connection.is_idle());
//! # Ok::<(), ConnectionError>(())
//! ```

#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod conformance;
mod connection;
mod error;
mod event;
mod fields;
mod floods;
mod flow;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod head;
mod hpack;
pub mod limits;
mod settings;
mod stream;

pub use connection::{Connection, encode_head};
pub use error::{Closed, ConnectionError, ErrorCode};
pub use event::{Event, Key, StreamId};
pub use head::Head;
pub use settings::Settings;

/// What a client's connection begins with, before its settings (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
