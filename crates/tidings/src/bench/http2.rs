//! HTTP/2 for the client's side (RFC 9113), without I/O: several requests at once on one connection. Windows and tables are those of Chromium.
//!
//! It shares nothing with the server that it puts under load.

use super::connection::{ConnectionError, Listener};
use frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FRAME_BYTES, FRAME_HEAD_BYTES, Frame, GOAWAY, HEADERS,
    PING, RST_STREAM,
};
use frame::{SETTINGS, WINDOW_UPDATE, code_name, number, write_head, write_window_update};
pub(crate) use hpack::InvalidFields;
use hpack::{Decoder, Encoder};
use message::{Answer, fields, is_socket, split};
use upload::Uploads;

mod frame;
mod hpack;
mod huffman;
mod message;
mod upload;

/// What one connection has said and heard.
#[derive(Debug)]
pub(crate) struct Http2 {
    /// The request that each slot waits for.
    slots: Vec<Slot>,
    next_stream: u32,
    encoder: Encoder,
    decoder: Decoder,
    /// The beginning of a frame whose end has not come.
    unread: Vec<u8>,
    /// A head whose end has not come: its stream, whether the answer ends with it, and its bytes.
    block: Option<(u32, bool, Vec<u8>)>,
    uploads: Uploads,
    /// Bytes of bodies that the connection's window has not been given back.
    taken: usize,
    heard: bool,
    /// An answer has begun.
    answered: bool,
    /// The server takes no more requests over this connection.
    going: bool,
    /// A WebSocket was asked for.
    wants_sockets: bool,
    /// The server's settings have come, and whether it takes WebSockets.
    takes_sockets: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// 0 where nothing is asked.
    stream: u32,
    /// The answer has begun.
    begun: bool,
    /// Bytes of the body that the stream's window has not been given back.
    taken: usize,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

const TABLE_BYTES: usize = 64 << 10;
const HEAD_BYTES: usize = 256 << 10;
const STREAM_WINDOW: usize = 6 << 20;
/// What is added to the first window of a connection.
const CONNECTION_WINDOW: usize = 15_663_105;
const NO_ERROR: u32 = 0;

// === impl Http2 ===

impl Http2 {
    /// Begins a connection with so many slots.
    pub(crate) fn new(slots: usize, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(PREFACE);
        let settings = [
            (HEADER_TABLE_SIZE, TABLE_BYTES),
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (MAX_HEADER_LIST_SIZE, HEAD_BYTES),
        ];
        write_head(settings.len() * 6, SETTINGS, 0, 0, out);
        for (name, value) in settings {
            out.extend_from_slice(&name.to_be_bytes());
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        write_window_update(0, CONNECTION_WINDOW, out);
        Self {
            slots: vec![Slot::default(); slots],
            next_stream: 1,
            encoder: Encoder::new(),
            decoder: Decoder::new(TABLE_BYTES),
            unread: Vec::new(),
            block: None,
            uploads: Uploads::default(),
            taken: 0,
            heard: false,
            answered: false,
            going: false,
            wants_sockets: false,
            takes_sockets: None,
        }
    }

    /// Asks what `request` does, which is a whole request of HTTP/1.1.
    pub(crate) fn ask(&mut self, slot: usize, request: &[u8], is_tls: bool, out: &mut Vec<u8>) {
        let (head, body) = split(request);
        let stream = self.next_stream;
        self.next_stream += 2;
        self.slots[slot] = Slot { stream, begun: false, taken: 0 };
        let mut block = Vec::with_capacity(head.len());
        let fields = fields(head, is_tls);
        self.encoder.encode(fields.iter().map(|(name, value)| (&**name, *value)), &mut block);
        let is_socket = is_socket(head);
        self.wants_sockets |= is_socket;
        let end = if body.is_empty() && !is_socket { END_STREAM } else { 0 };
        let mut pieces = block.chunks(FRAME_BYTES).peekable();
        let (mut kind, mut flags) = (HEADERS, end);
        while let Some(piece) = pieces.next() {
            flags |= if pieces.peek().is_none() { END_HEADERS } else { 0 };
            write_head(piece.len(), kind, flags, stream, out);
            out.extend_from_slice(piece);
            (kind, flags) = (CONTINUATION, 0);
        }
        if !body.is_empty() {
            self.uploads.add(stream, body);
            self.uploads.send(out);
        }
    }

    /// Sends a few bytes on the stream of a WebSocket.
    pub(crate) fn send(&mut self, slot: usize, bytes: &[u8], out: &mut Vec<u8>) {
        let stream = self.slots[slot].stream;
        if stream != 0 {
            write_head(bytes.len(), DATA, 0, stream, out);
            out.extend_from_slice(bytes);
            self.uploads.count(bytes.len());
        }
    }

    /// Whether a request may be sent.
    pub(crate) fn takes_requests(&self) -> bool {
        !self.going
    }

    /// Whether anything is asked.
    pub(crate) fn is_waiting(&self) -> bool {
        self.slots.iter().any(|slot| slot.stream != 0)
    }

    /// Whether an answer has begun and not ended, or none has before.
    pub(crate) fn is_midway(&self) -> bool {
        !self.answered || self.slots.iter().any(|slot| slot.stream != 0 && slot.begun)
    }

    /// Takes what has come. `out` gets what is to be sent for it.
    pub(crate) fn take<L: Listener>(
        &mut self,
        bytes: &[u8],
        listener: &mut L,
        out: &mut Vec<u8>,
    ) -> Result<(), L::Error> {
        if self.unread.is_empty() {
            let rest = self.frames(bytes, listener, out)?;
            self.unread.extend_from_slice(rest);
        } else {
            let mut joined = std::mem::take(&mut self.unread);
            joined.extend_from_slice(bytes);
            let rest = self.frames(&joined, listener, out)?.len();
            joined.drain(..joined.len() - rest);
            self.unread = joined;
        }
        Ok(())
    }

    /// Takes whole frames, and returns the rest.
    fn frames<'a, L: Listener>(
        &mut self,
        mut bytes: &'a [u8],
        listener: &mut L,
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], L::Error> {
        while let Some((head, rest)) = bytes.split_at_checked(FRAME_HEAD_BYTES) {
            let [_, _, _, kind, flags, ..] = *head else { break };
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if !self.heard && (kind != SETTINGS || flags & ACK != 0) {
                return Err(ConnectionError::NoHttp2("it answered with something else".into()).into());
            }
            if length > FRAME_BYTES {
                return Err(ConnectionError::Frame("a frame is larger than was allowed").into());
            }
            let Some((payload, rest)) = rest.split_at_checked(length) else { break };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & !(1 << 31);
            self.heard = true;
            self.frame(Frame { kind, flags, stream, payload }, listener, out)?;
            bytes = rest;
        }
        Ok(bytes)
    }

    fn frame<L: Listener>(
        &mut self,
        frame: Frame<'_>,
        listener: &mut L,
        out: &mut Vec<u8>,
    ) -> Result<(), L::Error> {
        let Frame { kind, flags, stream, payload } = frame;
        if self.block.is_some() && kind != CONTINUATION {
            return Err(ConnectionError::Frame("a head was not brought to its end").into());
        }
        match kind {
            DATA => self.data(frame, listener, out),
            HEADERS => {
                let block = frame.without_padding()?;
                self.block = Some((stream, flags & END_STREAM != 0, block.to_vec()));
                self.end_of_block(flags, listener)
            }
            CONTINUATION => {
                let Some((_, _, block)) = self.block.as_mut().filter(|block| block.0 == stream) else {
                    return Err(ConnectionError::Frame("the rest of a head belongs to none").into());
                };
                block.extend_from_slice(payload);
                if block.len() > HEAD_BYTES {
                    return Err(ConnectionError::Frame("a head is larger than was allowed").into());
                }
                self.end_of_block(flags, listener)
            }
            RST_STREAM => match self.slot(stream) {
                Some(_) => Err(ConnectionError::Reset(code_name(number(payload, 0)?)).into()),
                None => Ok(()),
            },
            SETTINGS if flags & ACK == 0 => {
                self.settings(payload)?;
                if self.wants_sockets && self.takes_sockets == Some(false) {
                    return Err(ConnectionError::NoSockets.into());
                }
                self.uploads.send(out);
                write_head(0, SETTINGS, ACK, 0, out);
                Ok(())
            }
            PING if flags & ACK == 0 => {
                write_head(payload.len(), PING, ACK, 0, out);
                out.extend_from_slice(payload);
                Ok(())
            }
            GOAWAY => self.go_away(payload).map_err(Into::into),
            WINDOW_UPDATE => {
                self.uploads.widen(stream, number(payload, 0)?);
                self.uploads.send(out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn data<L: Listener>(
        &mut self,
        frame: Frame<'_>,
        listener: &mut L,
        out: &mut Vec<u8>,
    ) -> Result<(), L::Error> {
        let Frame { flags, stream, payload, .. } = frame;
        let piece = frame.without_padding()?;
        self.taken += payload.len();
        if self.taken >= CONNECTION_WINDOW / 2 {
            write_window_update(0, std::mem::take(&mut self.taken), out);
        }
        let Some(place) = self.slot(stream) else { return Ok(()) };
        let slot = &mut self.slots[place];
        slot.taken += payload.len();
        if slot.taken >= STREAM_WINDOW / 2 {
            write_window_update(stream, std::mem::take(&mut slot.taken), out);
        }
        if !piece.is_empty() {
            listener.piece(place, piece)?;
        }
        if flags & END_STREAM != 0 { self.end(place, listener) } else { Ok(()) }
    }

    /// A part of a head has come, which may be its last.
    fn end_of_block<L: Listener>(&mut self, flags: u8, listener: &mut L) -> Result<(), L::Error> {
        if flags & END_HEADERS == 0 {
            return Ok(());
        }
        let Some((stream, end, block)) = self.block.take() else { return Ok(()) };
        let mut answer = Answer::default();
        self.decoder
            .decode(&block, |name, value| answer.take(name, value))
            .map_err(ConnectionError::Fields)?;
        let Some(place) = self.slot(stream) else { return Ok(()) };
        // What comes after the first head are trailers, and before it, interim answers.
        if !self.slots[place].begun && answer.status >= 200 {
            self.slots[place].begun = true;
            self.answered = true;
            listener.head(place, &answer.head())?;
        }
        if end { self.end(place, listener) } else { Ok(()) }
    }

    fn end<L: Listener>(&mut self, place: usize, listener: &mut L) -> Result<(), L::Error> {
        self.slots[place] = Slot::default();
        listener.end(place, self.going)
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        self.takes_sockets.get_or_insert(false);
        for setting in payload.chunks_exact(6) {
            let value = number(setting, 2)?;
            match u16::from_be_bytes([setting[0], setting[1]]) {
                HEADER_TABLE_SIZE => self.encoder.set_limit(value as usize),
                MAX_CONCURRENT_STREAMS if (value as usize) < self.slots.len() => {
                    return Err(ConnectionError::Streams { most: value, wanted: self.slots.len() });
                }
                ENABLE_CONNECT_PROTOCOL => self.takes_sockets = Some(value == 1),
                INITIAL_WINDOW_SIZE => self.uploads.set_initial(value),
                _ => {}
            }
        }
        Ok(())
    }

    fn go_away(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        let (last, code) = (number(payload, 0)? & !(1 << 31), number(payload, 4)?);
        self.going = true;
        if code == NO_ERROR && self.slots.iter().all(|slot| slot.stream <= last) {
            return Ok(());
        }
        Err(ConnectionError::GoAway(code_name(code), String::from_utf8_lossy(&payload[8..]).into_owned()))
    }

    fn slot(&self, stream: u32) -> Option<usize> {
        self.slots.iter().position(|slot| slot.stream == stream && stream != 0)
    }
}

#[cfg(test)]
mod tests;
