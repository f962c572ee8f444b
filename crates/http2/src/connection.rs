//! The state of a connection, and what is asked about it.

mod control;
mod data;
mod frames;
mod headers;
#[cfg(test)]
mod memory;
mod send;

use std::sync::Arc;

pub use send::encode_head;

use crate::error::{ConnectionError, ErrorCode, Fault};
use crate::event::{Event, Key, StreamId};
use crate::floods::{Flood, Floods};
use crate::flow::{ReceiveWindow, SendWindow};
use crate::frame;
use crate::hpack::Decoder;
use crate::settings::{ClientSettings, DEFAULT_WINDOW, Settings};
use crate::stream::{Stream, Streams};

/// One connection of a client.
#[derive(Debug)]
pub struct Connection {
    settings: Arc<Settings>,
    client: ClientSettings,
    streams: Streams,
    /// What has come of the preface or of a frame that has not come whole.
    partial: Vec<u8>,
    /// The block of fields that has not come whole.
    block: Option<Box<headers::Block>>,
    decoder: Decoder,
    place: ReadState,
    send: SendWindow,
    receive: ReceiveWindow,
    /// The largest number of a stream that the client has opened.
    last_stream: StreamId,
    /// The stream that was told of room last.
    last_with_room: StreamId,
    floods: Floods,
    failed: Option<ConnectionError>,
    ending: Ending,
    /// Whether a window has opened, so that streams may have room.
    has_room: bool,
    /// Whether the client knows the settings.
    is_acknowledged: bool,
    /// Whether it has left out numbers of streams.
    has_gaps: bool,
    /// Whether it was told that no table is used (RFC 7541 §4.2).
    told_table_size: bool,
    /// How many frames and blocks of fields have come whole.
    heads: u16,
}

/// Where in what is received the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    Preface,
    /// Before the first frame, which has the client's settings.
    First,
    /// Before a frame, or in one that has to come whole.
    Frame,
    /// In the data of a frame, which is handed out as it comes.
    Data(data::Data),
    /// In what means nothing.
    Skip(u32),
}

/// How far the connection has said that it ends (RFC 9113 §6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// The client is asked to open no more streams; those that it has opened meanwhile are served.
    Asked,
    /// What comes after this stream is refused.
    After(StreamId),
}

// === impl Connection ===

impl Connection {
    /// A connection of which nothing was received. It begins with the server's settings.
    #[must_use]
    pub fn new(settings: Arc<Settings>, out: &mut Vec<u8>) -> Self {
        settings.write(out);
        let window = settings.connection_window();
        if window > DEFAULT_WINDOW {
            frame::write_window_update(0, window - DEFAULT_WINDOW, out);
        }
        Self {
            client: ClientSettings::default(),
            streams: Streams::default(),
            partial: Vec::new(),
            block: None,
            decoder: Decoder::new(),
            place: ReadState::Preface,
            send: SendWindow::new(DEFAULT_WINDOW),
            receive: ReceiveWindow::new(window),
            last_stream: 0,
            last_with_room: 0,
            floods: Floods::default(),
            failed: None,
            ending: Ending::No,
            has_room: false,
            is_acknowledged: false,
            has_gaps: false,
            told_table_size: false,
            heads: 0,
            settings,
        }
    }

    /// Takes frames off the front of what was read, up to the next event; `None`, where all was taken. It may be cut
    /// anywhere: what has come of a frame is kept. `now` is a time in seconds, after any moment.
    ///
    /// What a client says is answered, so that `out` grows with `input`. While more than
    /// [`limits::OUTPUT_BYTES`](crate::limits::OUTPUT_BYTES) are to be sent, nothing more should be read.
    ///
    /// # Errors
    /// Where the client has broken a rule of the protocol, or made too much work. It is told so in `out`, after which the
    /// connection is to be closed. All of its streams have ended; [`streams`](Self::streams) still says which they were.
    pub fn receive<'a>(
        &mut self,
        input: &mut &'a [u8],
        now: u32,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'a>>, ConnectionError> {
        if let Some(error) = self.failed {
            *input = &[];
            return Err(error);
        }
        self.floods.pass(now);
        loop {
            match self.step(input, out) {
                Ok(frames::Step::Event(event)) => return Ok(Some(event)),
                Ok(frames::Step::Frame) => {}
                Ok(frames::Step::Starved) => return Ok(None),
                Err(Fault::Connection(error)) => {
                    *input = &[];
                    self.fail(error, out);
                    return Err(error);
                }
                Err(Fault::Stream(stream, code)) => match self.reset_for(stream, code, out) {
                    Ok(Some(event)) => return Ok(Some(event)),
                    Ok(None) => {}
                    Err(error) => {
                        *input = &[];
                        self.fail(error, out);
                        return Err(error);
                    }
                },
            }
        }
    }

    /// Sets what comes with the events of a stream; 0 until then.
    pub fn set_key(&mut self, stream: StreamId, key: Key) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.key = key;
        }
    }

    /// What was set for a stream; `None`, where it is not there.
    #[must_use]
    pub fn key(&self, stream: StreamId) -> Option<Key> {
        self.streams.get(stream).map(|stream| stream.key)
    }

    /// The streams that have not ended, oldest first. Those that ended with their connection are among them.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, Key)> + '_ {
        self.streams.iter().map(|stream| (stream.id, stream.key))
    }

    /// How many streams have not ended.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream is open and nothing is being received.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.streams.len() == 0 && !self.is_receiving()
    }

    /// Whether something has begun to come and is not all there: the preface, a frame, a block of fields.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.place != ReadState::Frame || !self.partial.is_empty() || self.block.is_some()
    }

    /// Whether something has begun to come that is of no use before it is all there, and is kept meanwhile: the preface, a
    /// block of fields, a frame that is not of data. What is returned is another for the next of them.
    #[must_use]
    pub fn receiving_head(&self) -> Option<u16> {
        let begins = matches!(self.place, ReadState::Preface | ReadState::First);
        (begins || !self.partial.is_empty() || self.block.is_some()).then_some(self.heads)
    }

    /// Whether the client has said that it knows the settings.
    #[must_use]
    pub fn settings_acknowledged(&self) -> bool {
        self.is_acknowledged
    }

    /// Whether the client was told which stream was its last, after [`go_away`](Self::go_away).
    #[must_use]
    pub fn has_gone_away(&self) -> bool {
        matches!(self.ending, Ending::After(_))
    }

    /// Whether it is to be closed, after an error or [`close`](Self::close).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.failed.is_some()
    }

    /// What may be sent on a stream now.
    #[must_use]
    pub fn window(&self, stream: StreamId) -> usize {
        let stream = self.streams.get(stream).filter(|_| !self.is_closed());
        stream.map_or(0, |stream| stream.send.open().min(self.send.open()))
    }

    /// Ends the connection because of an error: the client is told, and all streams have ended.
    fn fail(&mut self, error: ConnectionError, out: &mut Vec<u8>) {
        frame::write_go_away(self.last_stream, error.code, error.reason, out);
        self.end(error);
    }

    fn end(&mut self, error: ConnectionError) {
        self.failed = Some(error);
        self.partial = Vec::new();
        self.block = None;
        self.decoder.end();
    }

    /// Resets a stream because of what the client did (RFC 9113 §5.4.2).
    fn reset_for(
        &mut self,
        id: StreamId,
        code: ErrorCode,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'static>>, ConnectionError> {
        self.floods.count(Flood::StreamErrors)?;
        frame::write_reset(id, code, out);
        let Some(stream) = self.streams.remove(id) else { return Ok(None) };
        self.release(&stream, out);
        if !stream.remote_closed {
            self.streams.remember_reset(id);
        }
        Ok(Some(Event::Reset { stream: id, key: stream.key, code, local: true }))
    }

    /// Nobody will consume what came on a stream that is gone.
    fn release(&mut self, stream: &Stream, out: &mut Vec<u8>) {
        self.give_back(stream.unconsumed as usize, out);
    }

    /// So much that came is used: the client may send as much again.
    fn give_back(&mut self, count: usize, out: &mut Vec<u8>) {
        if let Some(increment) = self.receive.give_back(count, self.settings.connection_window()) {
            frame::write_window_update(0, increment, out);
        }
    }

    /// What it takes in memory, with all that it points to and nobody else does.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.partial.capacity()
            + self.block.as_ref().map_or(0, |block| block.memory())
            + self.streams.memory()
            + self.decoder.memory()
    }
}
