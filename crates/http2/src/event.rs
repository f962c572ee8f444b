use http::HeaderMap;

use crate::{ErrorCode, Head};

/// The number of a stream, which the client gives to each request: odd, and always larger than those before.
pub type StreamId = u32;

/// Whatever belongs to a stream where it is served: [`Connection::set_key`](crate::Connection::set_key).
pub type Key = usize;

/// What a client said.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request came.
    Request {
        /// Its stream.
        stream: StreamId,
        /// What it asks for.
        head: Box<Head>,
        /// Whether it has no body.
        end: bool,
    },
    /// The head of a request is larger than it may be. Its stream is open, so that it can be answered (431).
    HeadTooLarge {
        /// Its stream.
        stream: StreamId,
        /// Whether it has no body.
        end: bool,
    },
    /// A piece of a body came, which counts against its windows until it is
    /// [`consumed`](crate::Connection::consumed).
    Data {
        /// Its stream.
        stream: StreamId,
        /// What was set for it.
        key: Key,
        /// What came; perhaps nothing, at the end.
        bytes: &'a [u8],
        /// Whether nothing more will come.
        end: bool,
    },
    /// Fields came after the body, with which the request ends.
    Trailers {
        /// Its stream.
        stream: StreamId,
        /// What was set for it.
        key: Key,
        /// The fields.
        fields: HeaderMap,
    },
    /// A stream ended before both sides had finished it.
    Reset {
        /// Which one; it is not there any more.
        stream: StreamId,
        /// What was set for it.
        key: Key,
        /// Why.
        code: ErrorCode,
        /// Whether this side had to reset it, because of what the client sent. The client is told.
        local: bool,
    },
    /// Something may be sent again on a stream on which not all was taken that was to be sent.
    Room {
        /// Which one.
        stream: StreamId,
        /// What was set for it.
        key: Key,
    },
    /// The client has answered a [`ping`](crate::Connection::ping).
    Pong {
        /// What was sent with the ping.
        payload: [u8; 8],
    },
    /// The client will open no more streams. The connection is to be closed when it is
    /// [idle](crate::Connection::is_idle), perhaps now.
    GoAway {
        /// Why.
        code: ErrorCode,
    },
}
