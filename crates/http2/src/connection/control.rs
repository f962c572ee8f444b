use super::{Connection, Ending};
use crate::error::{ErrorCode, Fault};
use crate::event::{Event, StreamId};
use crate::floods::Flood;
use crate::flow::Overflow;
use crate::frame::{self, Head, flags};

/// What the ping says that follows the first word of a connection's end.
const ENDING_PING: [u8; 8] = *b"\x0b\xad\xf0\x0d\xc0\xff\xee\x00";

// === impl Connection ===

impl Connection {
    /// RFC 9113 §6.5.
    pub(super) fn settings(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if head.has(flags::ACK) {
            self.acknowledged();
            return Ok(());
        }
        let before = self.client.initial_window_size;
        self.client.apply(payload)?;
        let change = i64::from(self.client.initial_window_size) - i64::from(before);
        if change != 0 {
            for stream in self.streams.iter_mut() {
                stream.send.change(change).map_err(|Overflow| {
                    let reason = "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large";
                    Fault::connection(ErrorCode::FLOW_CONTROL_ERROR, reason)
                })?;
            }
            self.has_room |= change > 0;
        }
        frame::write_settings_ack(out);
        Ok(())
    }

    /// The client knows the settings: from here on they hold.
    fn acknowledged(&mut self) {
        if self.is_acknowledged {
            return;
        }
        self.is_acknowledged = true;
        self.decoder.set_limit(self.settings.header_table_size);
        let change = i64::from(self.settings.stream_window()) - i64::from(self.settings.first_window());
        for stream in self.streams.iter_mut() {
            stream.receive.change(change);
        }
    }

    /// The window that a stream begins with on this side.
    pub(super) fn first_window(&self) -> u32 {
        if self.is_acknowledged { self.settings.stream_window() } else { self.settings.first_window() }
    }

    /// RFC 9113 §6.7.
    pub(super) fn pinged(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Option<Event<'static>> {
        if !head.has(flags::ACK) {
            frame::write_ping(payload, flags::ACK, out);
            return None;
        }
        if payload == ENDING_PING {
            if self.ending == Ending::Asked {
                self.ending = Ending::After(self.last_stream);
                frame::write_go_away(self.last_stream, ErrorCode::NO_ERROR, "", out);
            }
            return None;
        }
        Some(Event::Pong { payload: payload.first_chunk().copied().unwrap_or_default() })
    }

    /// RFC 9113 §6.3: priorities of old are read, and mean nothing.
    pub(super) fn priority(&self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let code = match payload.len() {
            5 if frame::number(payload) == head.stream => ErrorCode::PROTOCOL_ERROR,
            5 => return Ok(()),
            _ => ErrorCode::FRAME_SIZE_ERROR,
        };
        if head.stream > self.last_stream {
            // A stream that is idle cannot be reset.
            return Err(Fault::connection(code, "a priority is none"));
        }
        if self.streams.get(head.stream).is_none() {
            return Ok(());
        }
        Err(Fault::Stream(head.stream, code))
    }

    /// RFC 9113 §6.4.
    pub(super) fn rst_stream(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, Fault> {
        self.check_not_idle(head.stream)?;
        let Some(stream) = self.streams.remove(head.stream) else {
            self.streams.was_reset(head.stream, true);
            self.floods.count(Flood::ControlFrames)?;
            return Ok(None);
        };
        if !stream.responded {
            self.floods.count(Flood::Resets)?;
        }
        self.release(&stream, out);
        let code = frame::code(payload);
        Ok(Some(Event::Reset { stream: stream.id, key: stream.key, code, local: false }))
    }

    /// RFC 9113 §6.9.
    pub(super) fn window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let increment = frame::number(payload);
        if head.stream == 0 {
            if increment == 0 {
                return Err(Fault::protocol("WINDOW_UPDATE opens nothing"));
            }
            self.has_room = true;
            return self.send.change(increment.into()).map_err(|Overflow| {
                Fault::connection(ErrorCode::FLOW_CONTROL_ERROR, "WINDOW_UPDATE makes the window too large")
            });
        }
        self.check_not_idle(head.stream)?;
        let Some(stream) = self.streams.get_mut(head.stream) else { return Ok(()) };
        if increment == 0 {
            return Err(Fault::Stream(head.stream, ErrorCode::PROTOCOL_ERROR));
        }
        self.has_room |= stream.wants_room;
        let changed = stream.send.change(increment.into());
        changed.map_err(|Overflow| Fault::Stream(head.stream, ErrorCode::FLOW_CONTROL_ERROR))
    }

    /// RFC 9113 §5.1: nothing but HEADERS and PRIORITY comes on a stream that is idle.
    pub(super) fn check_not_idle(&self, stream: StreamId) -> Result<(), Fault> {
        if stream > self.last_stream || stream.is_multiple_of(2) {
            return Err(Fault::protocol("a frame is on a stream that was not opened"));
        }
        Ok(())
    }

    /// The next stream that has been waiting for room, and has it.
    pub(super) fn next_room(&mut self) -> Option<Event<'static>> {
        if !self.has_room {
            return None;
        }
        let stream = match self.send.open() {
            0 => None,
            _ => self.streams.next_with_room(self.last_with_room),
        };
        let Some(stream) = stream else {
            self.has_room = false;
            return None;
        };
        stream.wants_room = false;
        self.last_with_room = stream.id;
        Some(Event::Room { stream: stream.id, key: stream.key })
    }

    /// Asks whether the client is alive, which is an [`Event::Pong`].
    pub fn ping(&mut self, payload: [u8; 8], out: &mut Vec<u8>) {
        if !self.is_closed() {
            frame::write_ping(&payload, 0, out);
        }
    }

    /// Asks the client to open no more streams (RFC 9113 §6.8). Those that it opens before it knows are served; when
    /// it knows, it is told which was the last, and further ones are refused. The connection ends when its owner closes
    /// it, after the last stream.
    pub fn go_away(&mut self, out: &mut Vec<u8>) {
        if self.is_closed() || self.ending != Ending::No {
            return;
        }
        self.ending = Ending::Asked;
        frame::write_go_away(u32::MAX >> 1, ErrorCode::NO_ERROR, "", out);
        frame::write_ping(&ENDING_PING, 0, out);
    }

    /// Ends the connection with all of its streams: it is to be closed once what was written is sent.
    pub fn close(&mut self, code: ErrorCode, reason: &'static str, out: &mut Vec<u8>) {
        if !self.is_closed() {
            self.fail(crate::ConnectionError { code, reason }, out);
        }
    }
}

/// RFC 9113 §6.8.
pub(super) fn gone_away(payload: &[u8]) -> Event<'static> {
    Event::GoAway { code: frame::code(payload.get(4..).unwrap_or_default()) }
}

/// RFC 9218 §7.1: priorities are read, and mean nothing.
pub(super) fn priority_update(payload: &[u8]) -> Result<(), Fault> {
    if frame::number(payload) == 0 {
        return Err(Fault::protocol("a priority is for no stream"));
    }
    Ok(())
}
