use http::Method;

use super::{Connection, Ending};
use crate::error::{ErrorCode, Fault};
use crate::event::{Event, StreamId};
use crate::fields::Fields;
use crate::floods::Flood;
use crate::frame::{self, Head, flags};
use crate::hpack::DecodeError;
use crate::limits;
use crate::stream::Stream;

/// A block of fields that has not come whole (RFC 9113 §4.3).
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: StreamId,
    opening: Opening,
    bytes: Vec<u8>,
    frames: u16,
}

/// What the frame says that a block begins with.
#[derive(Debug, Clone, Copy)]
struct Opening {
    end: bool,
    /// Its priority depends on itself.
    depends_on_itself: bool,
}

// === impl Block ===

impl Block {
    /// What it takes in memory.
    #[cfg(any(test, fuzzing))]
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }
}

// === impl Connection ===

impl Connection {
    /// RFC 9113 §6.2.
    pub(super) fn headers(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Fault> {
        if head.stream.is_multiple_of(2) {
            return Err(Fault::protocol("a client's streams have odd numbers"));
        }
        let too_short = Fault::protocol("padding is longer than its frame");
        let mut fragment = frame::unpadded(head, payload).ok_or(too_short)?;
        let mut opening = Opening { end: head.has(flags::END_STREAM), depends_on_itself: false };
        if head.has(flags::PRIORITY) {
            let (priority, rest) = fragment.split_at_checked(5).ok_or(too_short)?;
            opening.depends_on_itself = frame::number(priority) == head.stream;
            fragment = rest;
        }
        if head.has(flags::END_HEADERS) {
            return self.fields(head.stream, opening, fragment, out);
        }
        let bytes = fragment.to_vec();
        self.block = Some(Box::new(Block { stream: head.stream, opening, bytes, frames: 1 }));
        Ok(None)
    }

    /// RFC 9113 §6.10. The frame is known to be the next one of the block.
    pub(super) fn continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let max_bytes = self.list_bytes().saturating_mul(limits::LIST_EXCESS);
        let Some(mut block) = self.block.take() else { return Ok(None) };
        block.frames += 1;
        if block.frames > limits::BLOCK_FRAMES || block.bytes.len() + payload.len() > max_bytes {
            let reason = "a block of fields has no end";
            return Err(Fault::connection(ErrorCode::ENHANCE_YOUR_CALM, reason));
        }
        block.bytes.extend_from_slice(payload);
        if head.has(flags::END_HEADERS) {
            return self.fields(block.stream, block.opening, &block.bytes, out);
        }
        self.block = Some(block);
        Ok(None)
    }

    fn list_bytes(&self) -> usize {
        self.settings.max_header_list_size as usize
    }

    /// A block of fields is there. It is decoded also where nobody wants it: the next one builds upon it.
    fn fields(
        &mut self,
        id: StreamId,
        opening: Opening,
        block: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let mut fields = Fields::new(self.list_bytes(), self.settings.enable_connect_protocol);
        self.decoder.decode(block, |name, value| fields.push(name, value)).map_err(|error| match error {
            DecodeError::Malformed => {
                Fault::connection(ErrorCode::COMPRESSION_ERROR, "a block of fields cannot be decoded")
            }
            DecodeError::TooMuch => {
                Fault::connection(ErrorCode::ENHANCE_YOUR_CALM, "a block of fields is far too large")
            }
        })?;
        if id > self.last_stream {
            self.has_gaps |=
                id > self.last_stream + 2 && self.last_stream != 0 || self.last_stream == 0 && id > 1;
            self.last_stream = id;
            return self.request(id, opening, fields, out);
        }
        if self.streams.get(id).is_some() {
            return self.trailers_came(id, opening, fields, out);
        }
        if self.streams.was_reset(id, opening.end) {
            return Ok(None);
        }
        Err(self.on_closed(id))
    }

    /// RFC 9113 §8.3.1, on a new stream.
    fn request(
        &mut self,
        id: StreamId,
        opening: Opening,
        fields: Fields,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let Opening { end, depends_on_itself } = opening;
        let is_late = matches!(self.ending, Ending::After(last) if id > last);
        let refusal = if is_late || self.streams.len() >= self.settings.max_concurrent_streams as usize {
            // §5.1.2, §6.8.
            Some(ErrorCode::REFUSED_STREAM)
        } else if depends_on_itself {
            Some(ErrorCode::PROTOCOL_ERROR)
        } else {
            None
        };
        if let Some(code) = refusal {
            return self.refuse(id, code, end, out);
        }
        let is_too_large = fields.is_too_large();
        let length = if is_too_large { None } else { fields.content_length() };
        let mut stream = Stream::new(id, self.client.initial_window_size, self.first_window(), length, end);
        if is_too_large {
            self.streams.open(stream);
            return Ok(Some(Event::HeadTooLarge { stream: id, end }));
        }
        let Ok(head) = fields.into_head() else {
            return self.refuse(id, ErrorCode::PROTOCOL_ERROR, end, out);
        };
        // §8.1.1: it says that a body comes, and none does.
        if stream.count(0, end).is_err() {
            return self.refuse(id, ErrorCode::PROTOCOL_ERROR, end, out);
        }
        stream.is_tunnel = head.method == Method::CONNECT;
        self.streams.open(stream);
        Ok(Some(Event::Request { stream: id, head: Box::new(head), end }))
    }

    /// Resets a stream that nobody has heard of.
    fn refuse(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        end: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Fault> {
        self.floods.count(Flood::StreamErrors)?;
        frame::write_reset(id, code, out);
        if !end {
            self.streams.remember_reset(id);
        }
        Ok(None)
    }

    /// RFC 9113 §8.1: a second block ends the request.
    fn trailers_came(
        &mut self,
        id: StreamId,
        opening: Opening,
        fields: Fields,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if stream.remote_closed {
            return Err(Fault::Stream(id, ErrorCode::STREAM_CLOSED));
        }
        // §8.5: a tunnel has data alone.
        let is_whole =
            opening.end && !opening.depends_on_itself && !stream.is_tunnel && stream.count(0, true).is_ok();
        stream.remote_closed = opening.end;
        if fields.is_too_large() {
            return Err(Fault::Stream(id, ErrorCode::ENHANCE_YOUR_CALM));
        }
        let (Ok(fields), true) = (fields.into_trailers(), is_whole) else {
            return Err(Fault::Stream(id, ErrorCode::PROTOCOL_ERROR));
        };
        let key = stream.key;
        if stream.is_closed() {
            self.finish(id, out);
        }
        Ok(Some(Event::Trailers { stream: id, key, fields }))
    }
}
