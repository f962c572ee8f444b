use http::header::{self, HeaderName};
use http::{HeaderMap, StatusCode};

use super::Connection;
use crate::error::{Closed, ErrorCode};
use crate::event::StreamId;
use crate::frame::{self, HEAD_BYTES, Kind, flags};
use crate::hpack;
use crate::limits;
use crate::stream::Stream;

// === impl Connection ===

impl Connection {
    /// Sends the head of a response: the final one, or one that only informs (1xx). Fields that belong to a connection
    /// of HTTP/1.1 are left out. With `end`, there is no body.
    ///
    /// # Errors
    /// Where the stream has ended, or has such a head.
    pub fn respond(
        &mut self,
        stream: StreamId,
        status: StatusCode,
        headers: &HeaderMap,
        end: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Closed> {
        let is_final = !status.is_informational();
        self.send_head(stream, is_final, end && is_final, out, |out| encode_head(status, headers, out))
    }

    /// The same with a final head that was [encoded](encode_head) beforehand, perhaps once for many connections.
    ///
    /// # Errors
    /// Where the stream has ended, or has such a head.
    pub fn respond_encoded(
        &mut self,
        stream: StreamId,
        head: &[u8],
        end: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Closed> {
        self.send_head(stream, true, end, out, |out| out.extend_from_slice(head))
    }

    fn send_head(
        &mut self,
        stream: StreamId,
        is_final: bool,
        end: bool,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Closed> {
        let state = self.open_mut(stream).filter(|stream| !stream.responded).ok_or(Closed)?;
        state.responded = is_final;
        let from = out.len();
        self.begin_block(out);
        write(out);
        self.end_block(stream, end, from, out);
        self.sent(stream, end, out);
        Ok(())
    }

    /// A stream on which something may be said; none, after the connection has ended.
    fn open_mut(&mut self, stream: StreamId) -> Option<&mut Stream> {
        if self.is_closed() { None } else { self.streams.get_mut(stream) }
    }

    /// Sends of a body what the windows allow, and says how much that was. Where it is not all, there will be an
    /// [`Event::Room`](crate::Event::Room). The body ends with its last byte where `end` says so.
    ///
    /// # Errors
    /// Where the stream has ended, or its response has no head yet.
    pub fn send(
        &mut self,
        stream: StreamId,
        bytes: &[u8],
        end: bool,
        out: &mut Vec<u8>,
    ) -> Result<usize, Closed> {
        let connection = self.send.open();
        let state = self.open_mut(stream).filter(|stream| may_send(stream)).ok_or(Closed)?;
        let count = bytes.len().min(state.send.open()).min(connection);
        let end = end && count == bytes.len();
        state.wants_room = count < bytes.len();
        if count == 0 && !end {
            return Ok(0);
        }
        state.send.take(count);
        self.send.take(count);
        let max = self.client.frame_bytes();
        let mut rest = &bytes[..count];
        loop {
            let (piece, after) = rest.split_at(rest.len().min(max));
            let is_last = after.is_empty();
            let flags = if end && is_last { flags::END_STREAM } else { 0 };
            out.reserve(HEAD_BYTES + piece.len());
            frame::write_head(piece.len(), Kind::DATA, flags, stream, out);
            out.extend_from_slice(piece);
            // A client that opens a window by a few bytes at a time has little sent for each frame of its own.
            if count == bytes.len() || piece.len() >= limits::SMALL_FRAME_BYTES {
                self.floods.sent_data();
            }
            if is_last {
                break;
            }
            rest = after;
        }
        self.sent(stream, end, out);
        Ok(count)
    }

    /// Ends a body with fields.
    ///
    /// # Errors
    /// Where the stream has ended, or its response has no head yet.
    pub fn trailers(
        &mut self,
        stream: StreamId,
        trailers: &HeaderMap,
        out: &mut Vec<u8>,
    ) -> Result<(), Closed> {
        self.open_mut(stream).filter(|stream| may_send(stream)).ok_or(Closed)?;
        let from = out.len();
        self.begin_block(out);
        encode(trailers, out);
        self.end_block(stream, true, from, out);
        self.sent(stream, true, out);
        Ok(())
    }

    /// Ends a stream at once. One whose response is whole, and whose request is not, ends so with
    /// [`ErrorCode::NO_ERROR`].
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
        if self.is_closed() {
            return;
        }
        let Some(state) = self.streams.remove(stream) else { return };
        frame::write_reset(stream, code, out);
        self.release(&state, out);
        if !state.remote_closed {
            self.streams.remember_reset(stream);
        }
    }

    /// Asks for an [`Event::Room`](crate::Event::Room) when something may be sent on a stream. Where that is so already,
    /// the next [`receive`](Self::receive) says it, also one of nothing.
    pub fn want_room(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.wants_room = true;
            self.has_room |= stream.send.open() > 0;
        }
    }

    /// This side has ended a stream, or not.
    fn sent(&mut self, id: StreamId, end: bool, out: &mut Vec<u8>) {
        if !end {
            return;
        }
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.local_closed = true;
        stream.wants_room = false;
        if stream.is_closed() {
            self.finish(id, out);
        }
    }

    /// Makes room for the head of a frame, and begins the block that follows.
    fn begin_block(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; HEAD_BYTES]);
        // RFC 7541 §4.2: a client that has made its table smaller waits for this.
        if !self.told_table_size && self.client.header_table_size < 4_096 {
            self.told_table_size = true;
            hpack::encode_size_update(out);
        }
    }

    /// Writes the heads of the frames that a block is sent in (RFC 9113 §4.3).
    fn end_block(&self, stream: StreamId, end: bool, from: usize, out: &mut Vec<u8>) {
        let end = if end { flags::END_STREAM } else { 0 };
        let length = out.len() - from - HEAD_BYTES;
        let max = self.client.frame_bytes();
        if length <= max {
            let mut head = Vec::with_capacity(HEAD_BYTES);
            frame::write_head(length, Kind::HEADERS, end | flags::END_HEADERS, stream, &mut head);
            return out[from..from + HEAD_BYTES].copy_from_slice(&head);
        }
        let block = out.split_off(from);
        let mut pieces = block[HEAD_BYTES..].chunks(max).peekable();
        let (mut kind, mut flags) = (Kind::HEADERS, end);
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { flags::END_HEADERS } else { 0 };
            frame::write_head(piece.len(), kind, flags | last, stream, out);
            out.extend_from_slice(piece);
            (kind, flags) = (Kind::CONTINUATION, 0);
        }
    }
}

/// Writes the head of a response as [`Connection::respond_encoded`] sends it. No connection has to be known for that: no
/// table is used.
pub fn encode_head(status: StatusCode, headers: &HeaderMap, out: &mut Vec<u8>) {
    hpack::encode_status(status, out);
    encode(headers, out);
}

fn may_send(stream: &Stream) -> bool {
    stream.responded && !stream.local_closed
}

fn encode(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        if !is_connection_specific(name) {
            hpack::encode_field(name.as_str(), value.as_bytes(), value.is_sensitive(), out);
        }
    }
}

/// RFC 9113 §8.2.2.
fn is_connection_specific(name: &HeaderName) -> bool {
    matches!(*name, header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
