use super::{Connection, ReadState};
use crate::PREFACE;
use crate::error::Fault;
use crate::event::Event;
use crate::floods::Flood;
use crate::frame::{HEAD_BYTES, Head, Kind, flags};
use crate::limits;

/// What came of looking at what was received.
pub(super) enum Step<'a> {
    Event(Event<'a>),
    /// A frame, or a part of one, made no event.
    Frame,
    /// More has to be received.
    Starved,
}

/// Of some frames only the front has to be there at once.
const GOAWAY_FRONT: usize = 8;
const PRIORITY_UPDATE_FRONT: usize = 4;

// === impl Step ===

impl<'a> From<Option<Event<'a>>> for Step<'a> {
    fn from(event: Option<Event<'a>>) -> Self {
        event.map_or(Self::Frame, Step::Event)
    }
}

// === impl Connection ===

impl Connection {
    pub(super) fn step<'a>(&mut self, input: &mut &'a [u8], out: &mut Vec<u8>) -> Result<Step<'a>, Fault> {
        if let Some(event) = self.next_room() {
            return Ok(Step::Event(event));
        }
        match self.place {
            ReadState::Preface => self.preface(input),
            ReadState::First | ReadState::Frame => self.frame(input, out),
            ReadState::Data(data) => Ok(self.data(data, input, out)),
            ReadState::Skip(count) => {
                let skipped = input.len().min(count as usize);
                *input = &input[skipped..];
                // No more than `count`, which is a number of 32 bits.
                let left = count - u32::try_from(skipped).unwrap_or(count);
                self.place = if left == 0 { ReadState::Frame } else { ReadState::Skip(left) };
                Ok(if left == 0 { Step::Frame } else { Step::Starved })
            }
        }
    }

    /// RFC 9113 §3.4.
    fn preface<'a>(&mut self, input: &mut &'a [u8]) -> Result<Step<'a>, Fault> {
        let so_far = self.partial.len();
        let count = input.len().min(PREFACE.len() - so_far);
        if input[..count] != PREFACE[so_far..so_far + count] {
            return Err(Fault::protocol("the connection does not begin with the preface of HTTP/2"));
        }
        self.partial.extend_from_slice(&input[..count]);
        *input = &input[count..];
        if self.partial.len() < PREFACE.len() {
            return Ok(Step::Starved);
        }
        self.partial = Vec::new();
        self.place = ReadState::First;
        Ok(Step::Frame)
    }

    fn frame<'a>(&mut self, input: &mut &'a [u8], out: &mut Vec<u8>) -> Result<Step<'a>, Fault> {
        if self.partial.is_empty() {
            let needed = self.needed(input)?;
            let Some((frame, rest)) = input.split_at_checked(needed) else {
                self.partial.extend_from_slice(input);
                *input = &[];
                return Ok(Step::Starved);
            };
            *input = rest;
            return self.take(frame, out).map(Step::from);
        }
        loop {
            let needed = self.needed(&self.partial)?;
            let missing = needed - self.partial.len();
            if missing == 0 {
                break;
            }
            let count = missing.min(input.len());
            self.partial.extend_from_slice(&input[..count]);
            *input = &input[count..];
            if count < missing {
                return Ok(Step::Starved);
            }
        }
        let frame = std::mem::take(&mut self.partial);
        self.take(&frame, out).map(Step::from)
    }

    /// How many bytes of the frame that begins here have to be there together. What is wrong with its head is told
    /// before the rest of it comes.
    fn needed(&self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(head) = Head::parse(bytes) else { return Ok(HEAD_BYTES) };
        self.check(head)?;
        let front = match head.kind {
            Kind::DATA => usize::from(head.has(flags::PADDED)),
            Kind::GOAWAY => GOAWAY_FRONT,
            Kind::PRIORITY_UPDATE => PRIORITY_UPDATE_FRONT,
            Kind::HEADERS
            | Kind::PRIORITY
            | Kind::RST_STREAM
            | Kind::SETTINGS
            | Kind::PING
            | Kind::WINDOW_UPDATE
            | Kind::CONTINUATION => head.length,
            _ => 0,
        };
        Ok(HEAD_BYTES + front)
    }

    /// RFC 9113 §4.2, and what the sections of §6 say of the lengths and streams of frames.
    fn check(&self, head: Head) -> Result<(), Fault> {
        if head.length > limits::FRAME_BYTES {
            return Err(Fault::size("a frame is larger than SETTINGS_MAX_FRAME_SIZE"));
        }
        if self.place == ReadState::First && (head.kind != Kind::SETTINGS || head.has(flags::ACK)) {
            return Err(Fault::protocol("the first frame is not SETTINGS"));
        }
        match &self.block {
            Some(block) if head.kind != Kind::CONTINUATION || head.stream != block.stream => {
                return Err(Fault::protocol("a block of fields is interrupted by another frame"));
            }
            None if head.kind == Kind::CONTINUATION => {
                return Err(Fault::protocol("CONTINUATION continues nothing"));
            }
            _ => {}
        }
        let is_of_connection = head.stream == 0;
        let (wants_connection, fits) = match head.kind {
            Kind::DATA => (false, head.length >= usize::from(head.has(flags::PADDED))),
            Kind::HEADERS => {
                let padding = usize::from(head.has(flags::PADDED));
                let priority = if head.has(flags::PRIORITY) { 5 } else { 0 };
                (false, head.length >= padding + priority)
            }
            // A wrong length is an error of the stream alone.
            Kind::PRIORITY => (false, true),
            Kind::RST_STREAM => (false, head.length == 4),
            Kind::SETTINGS if head.has(flags::ACK) => (true, head.length == 0),
            Kind::SETTINGS => (true, head.length.is_multiple_of(6)),
            Kind::PING => (true, head.length == 8),
            Kind::GOAWAY => (true, head.length >= GOAWAY_FRONT),
            Kind::WINDOW_UPDATE => (is_of_connection, head.length == 4),
            Kind::PRIORITY_UPDATE => (true, head.length >= PRIORITY_UPDATE_FRONT),
            Kind::PUSH_PROMISE => return Err(Fault::protocol("a client does not push")),
            _ => (is_of_connection, true),
        };
        if is_of_connection != wants_connection {
            return Err(Fault::protocol("a frame is on a stream that it cannot be on"));
        }
        if fits { Ok(()) } else { Err(Fault::size("a frame has a length that it cannot have")) }
    }

    /// Takes a frame of which as much is there as has to be.
    fn take(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<Option<Event<'static>>, Fault> {
        let (Some(head), payload) = (Head::parse(frame), frame.get(HEAD_BYTES..).unwrap_or_default()) else {
            return Ok(None);
        };
        self.place = ReadState::Frame;
        let goes_on =
            matches!(head.kind, Kind::HEADERS | Kind::CONTINUATION) && !head.has(flags::END_HEADERS);
        if !goes_on {
            self.heads = self.heads.wrapping_add(1);
        }
        let skipped = head.length - payload.len();
        if skipped > 0 && head.kind != Kind::DATA {
            self.place = ReadState::Skip(u32::try_from(skipped).unwrap_or(u32::MAX));
        }
        match head.kind {
            Kind::DATA => return self.begin_data(head, payload, out),
            Kind::HEADERS => return self.headers(head, payload, out),
            Kind::CONTINUATION => return self.continuation(head, payload, out),
            Kind::RST_STREAM => return self.rst_stream(head, payload, out),
            Kind::SETTINGS => {
                self.floods.count(Flood::Settings)?;
                return self.settings(head, payload, out).map(|()| None);
            }
            _ => {}
        }
        self.floods.count(Flood::ControlFrames)?;
        match head.kind {
            Kind::PRIORITY => self.priority(head, payload).map(|()| None),
            Kind::PING => Ok(self.pinged(head, payload, out)),
            Kind::GOAWAY => Ok(Some(super::control::gone_away(payload))),
            Kind::WINDOW_UPDATE => self.window_update(head, payload).map(|()| None),
            Kind::PRIORITY_UPDATE => super::control::priority_update(payload).map(|()| None),
            _ => Ok(None),
        }
    }
}
