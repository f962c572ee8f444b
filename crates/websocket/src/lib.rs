//! WebSocket (RFC 6455) with `permessage-deflate` (RFC 7692) without I/O, for sockets that mostly wait.
//!
//! A [`Decoder`] is given what was read of a socket and says what [`Message`]s that makes. While nothing is under way it
//! takes 24 bytes and has no buffers. What is sent is written by functions: a server's frames are not masked, so the
//! same bytes go to everyone. Neither side keeps a context of compression between messages: an event is compressed once
//! for all, by a [`Deflater`], and a thread needs one [`Inflater`] for all of its sockets.
//!
//! ```
//! use http::{HeaderMap, Method, StatusCode, Version, header};
//! use tidings_websocket::{Decoder, Inflater, Message, Opcode, Opening, encode, encode_close};
//!
//! // A client asks for a socket.
//! let mut headers = HeaderMap::new();
//! headers.insert(header::UPGRADE, "websocket".parse()?);
//! headers.insert(header::CONNECTION, "keep-alive, Upgrade".parse()?);
//! headers.insert(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==".parse()?);
//! headers.insert(header::SEC_WEBSOCKET_VERSION, "13".parse()?);
//! let opening = Opening::check(&Method::GET, Version::HTTP_11, &headers, false)?;
//! let (status, fields) = opening.accept(None, None);
//! assert_eq!(status, StatusCode::SWITCHING_PROTOCOLS);
//! assert_eq!(fields[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
//!
//! // It says "Hello", and is answered.
//! let mut read = &b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..];
//! let (mut decoder, mut inflater, mut out) = (Decoder::server(1 << 20, false), Inflater::default(), Vec::new());
//! loop {
//!     match decoder.receive(&mut read, &mut inflater) {
//!         Ok(Some(Message::Text(text))) => encode(Opcode::Text, format!("{text}!").as_bytes(), &mut out),
//!         Ok(Some(_)) => {}
//!         Ok(None) => break,
//!         Err(error) => encode_close(error.code, error.reason, &mut out),
//!     }
//! }
//! assert_eq!(out, b"\x81\x06Hello!");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod client;
mod close;
mod decoder;
mod deflate;
mod encoder;
mod error;
mod extension;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handshake;
pub mod limits;
mod mask;
mod message;
mod utf8;

pub use client::{Accepted, ClientOpening, Refused};
pub use close::CloseCode;
pub use decoder::Decoder;
pub use deflate::{Deflater, InflateError, Inflater, store};
pub use encoder::{
    Head, encode, encode_close, encode_close_reply, encode_compressed, encode_masked, encode_masked_close,
    head,
};
pub use error::ProtocolError;
pub use extension::Deflate;
pub use frame::Opcode;
pub use handshake::{Opening, Refusal};
pub use message::Message;
