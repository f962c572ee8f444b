use crate::event::{Key, StreamId};
use crate::flow::{ReceiveWindow, SendWindow};
use crate::limits;

/// A stream that is open, or half-closed on one side (RFC 9113 §5.1). Idle and closed ones take no room.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) key: Key,
    /// How much of the body is still to come, where the request says how long it is.
    length: u64,
    pub(crate) id: StreamId,
    pub(crate) send: SendWindow,
    pub(crate) receive: ReceiveWindow,
    /// What has come and was not consumed.
    pub(crate) unconsumed: u32,
    /// The client has ended it.
    pub(crate) remote_closed: bool,
    /// This side has sent the head of its response.
    pub(crate) responded: bool,
    /// This side has ended it.
    pub(crate) local_closed: bool,
    /// Something waits for a window to open.
    pub(crate) wants_room: bool,
    /// It carries another protocol (RFC 9113 §8.5, RFC 8441 §5).
    pub(crate) is_tunnel: bool,
}

/// A body is longer or shorter than its request said (RFC 9113 §8.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongLength;

/// The streams of a connection that are not closed, in the order of their numbers, and those that this side has reset
/// and the client has not ended.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: Vec<Stream>,
    resets: Vec<StreamId>,
    /// Whether some of those were forgotten, so that it is no longer known of every stream why it is closed.
    forgot: bool,
}

// === impl Stream ===

impl Stream {
    pub(crate) fn new(id: StreamId, send: u32, receive: u32, length: Option<u64>, end: bool) -> Self {
        Self {
            key: 0,
            length: length.unwrap_or(u64::MAX),
            id,
            send: SendWindow::new(send),
            receive: ReceiveWindow::new(receive),
            unconsumed: 0,
            remote_closed: end,
            responded: false,
            local_closed: false,
            wants_room: false,
            is_tunnel: false,
        }
    }

    /// So much of the body comes, and perhaps its end.
    pub(crate) fn count(&mut self, bytes: usize, end: bool) -> Result<(), WrongLength> {
        if self.length == u64::MAX {
            return Ok(());
        }
        self.length = self.length.checked_sub(bytes as u64).ok_or(WrongLength)?;
        if end && self.length > 0 { Err(WrongLength) } else { Ok(()) }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.local_closed && self.remote_closed
    }
}

// === impl Streams ===

impl Streams {
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Stream> {
        self.streams.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Stream> {
        self.streams.iter_mut()
    }

    fn place(&self, id: StreamId) -> Option<usize> {
        self.streams.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(self.place(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let at = self.place(id)?;
        self.streams.get_mut(at)
    }

    /// Adds a stream with a larger number than any before. Little room is kept that nothing uses.
    pub(crate) fn open(&mut self, stream: Stream) {
        if self.streams.len() == self.streams.capacity() {
            self.streams.reserve_exact(self.streams.len() / 4 + 1);
        }
        self.streams.push(stream);
    }

    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(self.place(id)?);
        if self.streams.capacity() > self.streams.len() * 2 + 2 {
            self.streams.shrink_to(self.streams.len() + self.streams.len() / 4);
        }
        Some(stream)
    }

    /// The next one after this, in a circle, that waits for room and has a window that is open.
    pub(crate) fn next_with_room(&mut self, after: StreamId) -> Option<&mut Stream> {
        let has_room = |stream: &Stream| stream.wants_room && stream.send.open() > 0;
        let from = self.streams.partition_point(|stream| stream.id <= after);
        let at = (from..self.streams.len()).chain(0..from).find(|at| has_room(&self.streams[*at]))?;
        self.streams.get_mut(at)
    }

    /// Remembers that this side has reset a stream that the client has not ended.
    pub(crate) fn remember_reset(&mut self, id: StreamId) {
        if self.resets.len() >= limits::REMEMBERED_RESETS {
            self.resets.remove(0);
            self.forgot = true;
        }
        self.resets.push(id);
    }

    /// Whether this side has reset it and the client may not have known; with the end of what the client sends, it is
    /// forgotten.
    pub(crate) fn was_reset(&mut self, id: StreamId, end: bool) -> bool {
        let Some(at) = self.resets.iter().position(|reset| *reset == id) else { return false };
        if end {
            self.resets.remove(at);
            if self.resets.is_empty() {
                self.resets = Vec::new();
            }
        }
        true
    }

    /// How much memory they take.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn memory(&self) -> usize {
        self.streams.capacity() * size_of::<Stream>() + self.resets.capacity() * size_of::<StreamId>()
    }

    pub(crate) fn forgot_resets(&self) -> bool {
        self.forgot
    }
}
