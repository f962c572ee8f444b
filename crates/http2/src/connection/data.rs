use super::frames::Step;
use super::{Connection, ReadState};
use crate::error::{ErrorCode, Fault};
use crate::event::{Event, StreamId};
use crate::floods::Flood;
use crate::flow::Overflow;
use crate::frame::{self, Head, flags};
use crate::limits;

/// A frame of data that has not come whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data {
    stream: StreamId,
    /// What is still to come of the data, and of padding behind it. A frame is no larger than 2^14.
    left: u16,
    padding: u8,
    end: bool,
}

// === impl Connection ===

impl Connection {
    /// RFC 9113 §6.1. `front` has the length of the padding, where there is some.
    pub(super) fn begin_data(
        &mut self,
        head: Head,
        front: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Fault> {
        self.check_not_idle(head.stream)?;
        let padding = front.first().copied().unwrap_or(0);
        let after_front = head.length - front.len();
        let Some(left) = after_front.checked_sub(usize::from(padding)) else {
            return Err(Fault::protocol("padding is longer than its frame"));
        };
        self.receive.take(head.length).map_err(|Overflow| {
            Fault::connection(
                ErrorCode::FLOW_CONTROL_ERROR,
                "more data came than the connection's window allows",
            )
        })?;
        let end = head.has(flags::END_STREAM);
        // What a tunnel carries has messages of its own sizes.
        let is_tunnel = self.streams.get(head.stream).is_some_and(|stream| stream.is_tunnel);
        if !end && left < limits::SMALL_FRAME_BYTES && (left == 0 || !is_tunnel) {
            let flood = if left == 0 { Flood::EmptyFrames } else { Flood::SmallFrames };
            self.floods.count(flood)?;
        }
        // Until it is clear that somebody wants it.
        self.place = ReadState::Skip(u32::try_from(after_front).unwrap_or(0));
        let wanted = self.wanted(head, left, end);
        if !matches!(wanted, Ok(true)) {
            self.give_back(head.length, out);
            wanted?;
            return Ok(None);
        }
        self.give_back(head.length - left, out);
        let window = self.settings.stream_window();
        if let Some(stream) = self.streams.get_mut(head.stream)
            && let Some(increment) = stream.receive.give_back(head.length - left, window)
            && !end
        {
            frame::write_window_update(head.stream, increment, out);
        }
        let left = u16::try_from(left).unwrap_or(0);
        self.place = ReadState::Data(Data { stream: head.stream, left, padding, end });
        Ok(None)
    }

    /// Whether there is somebody who wants the data of this frame.
    fn wanted(&mut self, head: Head, left: usize, end: bool) -> Result<bool, Fault> {
        let Some(stream) = self.streams.get_mut(head.stream) else {
            if self.streams.was_reset(head.stream, end) {
                return Ok(false);
            }
            return Err(self.on_closed(head.stream));
        };
        if stream.remote_closed {
            return Err(Fault::Stream(head.stream, ErrorCode::STREAM_CLOSED));
        }
        let mistake = if stream.receive.take(head.length).is_err() {
            ErrorCode::FLOW_CONTROL_ERROR
        } else if stream.count(left, end).is_err() {
            ErrorCode::PROTOCOL_ERROR
        } else {
            return Ok(true);
        };
        // Whether anything more may come of it.
        stream.remote_closed = end;
        Err(Fault::Stream(head.stream, mistake))
    }

    /// What a frame brings about that comes on a stream that is closed (RFC 9113 §5.1).
    pub(super) fn on_closed(&self, stream: StreamId) -> Fault {
        if self.streams.forgot_resets() {
            // Perhaps this side has reset it.
            Fault::Stream(stream, ErrorCode::STREAM_CLOSED)
        } else if self.has_gaps {
            // Perhaps it was never open (§5.1.1).
            Fault::protocol("a stream is opened after one with a larger number")
        } else {
            Fault::connection(ErrorCode::STREAM_CLOSED, "a frame is on a stream that has ended")
        }
    }

    /// Hands out what has come.
    pub(super) fn data<'a>(&mut self, mut data: Data, input: &mut &'a [u8], out: &mut Vec<u8>) -> Step<'a> {
        if input.is_empty() && data.left > 0 {
            return Step::Starved;
        }
        let (bytes, rest) = input.split_at(input.len().min(usize::from(data.left)));
        *input = rest;
        data.left -= u16::try_from(bytes.len()).unwrap_or(data.left);
        let is_last = data.left == 0;
        self.place = match data.padding {
            _ if !is_last => ReadState::Data(data),
            0 => ReadState::Frame,
            padding => ReadState::Skip(padding.into()),
        };
        let end = data.end && is_last;
        let Some(stream) = self.streams.get_mut(data.stream) else {
            // It was reset meanwhile.
            self.give_back(bytes.len(), out);
            if end {
                self.streams.was_reset(data.stream, true);
            }
            return Step::Frame;
        };
        stream.unconsumed += u32::try_from(bytes.len()).unwrap_or(0);
        let key = stream.key;
        stream.remote_closed |= end;
        if stream.is_closed() {
            self.finish(data.stream, out);
        }
        if bytes.is_empty() && !end {
            return Step::Frame;
        }
        Step::Event(Event::Data { stream: data.stream, key, bytes, end })
    }

    /// Bytes of bodies were used: the client may send as many again.
    pub fn consumed(&mut self, stream: StreamId, count: usize, out: &mut Vec<u8>) {
        if self.is_closed() {
            return;
        }
        let Some(stream) = self.streams.get_mut(stream) else { return };
        let count = count.min(stream.unconsumed as usize);
        stream.unconsumed -= u32::try_from(count).unwrap_or(0);
        let window = self.settings.stream_window();
        if !stream.remote_closed
            && let Some(increment) = stream.receive.give_back(count, window)
        {
            frame::write_window_update(stream.id, increment, out);
        }
        self.give_back(count, out);
    }

    /// A stream has ended on both sides.
    pub(super) fn finish(&mut self, id: StreamId, out: &mut Vec<u8>) {
        if let Some(stream) = self.streams.remove(id) {
            self.release(&stream, out);
        }
    }
}
