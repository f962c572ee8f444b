//! HTTP/2 connections, which a shard owns from their first byte on.
//!
//! Requests go to the routes in a task for each (`asking`). What is answered comes back through the mailbox, a few pieces at a time.
//! A stream that waits for events is an entry like any other, whose sink is the stream. Everything that a pass of the
//! shard has for a connection is sent at the end of the pass, in one system call.

use std::num::NonZeroU32;

use slab::Slab;
use tidings_http2::{ErrorCode, Settings, StreamId};

use super::parked::Key;
use super::sink::Sent;
use crate::server::permits::{Permit, Share};
use crate::{HttpConfig, defaults};

mod asking;
mod carrier;
mod connection;
mod head;
mod room_queue;
mod stream;
mod upload;

pub(super) use asking::StreamName;
pub(crate) use asking::{Asking, NewRequest, Origin, RequestFault, Requests, Said};
pub(crate) use carrier::Carrier;
pub(super) use connection::{Connection, Flushed, Phase};
pub(super) use room_queue::RoomQueue;
pub(crate) use stream::Piece;
pub(super) use stream::{Role, Running, Stream, Task};
pub(super) use upload::Upload;

/// A connection that a shard takes over.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) carrier: Carrier,
    /// What was read of it already, from its first byte on.
    pub(crate) unread: bytes::Bytes,
    pub(crate) origin: Origin,
    pub(crate) permit: Permit,
}

/// The HTTP/2 connections of a shard, and their streams.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Boxed, so that a list that grows does not hold room for as many again.
    connections: Slab<Box<Connection>>,
    streams: Slab<Stream>,
    /// Connections that have something to send, or to be looked after, at the end of the pass.
    dirty: Vec<u32>,
    generation: u32,
    /// The present tick of the wheel.
    pub(super) now: u32,
}

// === impl Connections ===

impl Connections {
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The key that the next connection will have.
    pub(super) fn next_key(&mut self) -> Key {
        self.generation = Key::next_generation(self.generation);
        Key::connection(super::group::narrow(self.connections.vacant_key()), self.generation)
    }

    pub(super) fn insert(&mut self, connection: Connection) -> u32 {
        super::group::narrow(self.connections.insert(Box::new(connection)))
    }

    pub(super) fn find(&mut self, key: Key) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(key.index as usize)?;
        (connection.key == key).then_some(&mut **connection)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.connections.iter().map(|(_, connection)| connection.key).collect()
    }

    pub(super) fn get(&mut self, index: u32) -> &mut Connection {
        &mut self.connections[index as usize]
    }

    /// Takes a connection out, whose streams are gone.
    pub(super) fn remove(&mut self, index: u32) -> Box<Connection> {
        let connection = self.connections.remove(index as usize);
        if self.connections.is_empty() {
            // What a crowd needed goes with it.
            (self.connections, self.streams, self.dirty) = Default::default();
        }
        connection
    }

    /// Has a connection looked after at the end of the pass.
    pub(super) fn touch(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if !std::mem::replace(&mut connection.is_dirty, true) {
            self.dirty.push(index);
        }
    }

    /// The next connection that has something to send.
    pub(super) fn next_dirty(&mut self) -> Option<u32> {
        loop {
            let index = self.dirty.pop()?;
            if let Some(connection) = self.connections.get_mut(index as usize)
                && std::mem::take(&mut connection.is_dirty)
            {
                return Some(index);
            }
        }
    }

    pub(super) fn stream(&mut self, number: u32) -> Option<&mut Stream> {
        self.streams.get_mut(number as usize)
    }

    /// What a stream of a connection is about, by its number among those of the shard.
    pub(super) fn stream_of(&mut self, connection: u32, id: StreamId, number: usize) -> Option<&mut Role> {
        let stream = self.streams.get_mut(number)?;
        (stream.connection == connection && stream.id == id).then_some(&mut stream.role)
    }

    /// The same, beside its connection.
    pub(super) fn both(
        &mut self,
        connection: u32,
        id: StreamId,
        number: usize,
    ) -> (&mut Connection, Option<&mut Role>) {
        let stream = self.streams.get_mut(number);
        let stream = stream.filter(|stream| stream.connection == connection && stream.id == id);
        (&mut self.connections[connection as usize], stream.map(|stream| &mut stream.role))
    }

    /// The streams of a connection.
    pub(super) fn streams_of(&self, connection: u32) -> Vec<(StreamId, usize)> {
        self.connections[connection as usize].http2.streams().collect()
    }

    /// Takes note of a stream that a request came on.
    pub(super) fn open(&mut self, connection: u32, id: StreamId, role: Role) -> u32 {
        let number = self.streams.insert(Stream { connection, id, share: None, role });
        self.get(connection).http2.set_key(id, number);
        super::group::narrow(number)
    }

    /// Forgets a stream.
    pub(super) fn forget(&mut self, number: u32) -> Option<Stream> {
        let stream = self.streams.try_remove(number as usize)?;
        let now = self.now;
        let connection = self.get(stream.connection);
        connection.streams -= 1;
        if connection.streams == 0 {
            connection.idle = now;
        }
        let index = stream.connection;
        self.touch(index);
        Some(stream)
    }

    /// Has a stream wait for events, as an entry.
    pub(super) fn park(&mut self, number: u32, entry: Key) {
        if let Some(stream) = self.stream(number) {
            stream.role = Role::Waiting { entry, begun: false };
        }
    }

    /// Gives an entry's stream what it takes. The first bytes are the head of a response of HTTP/1.1, which is sent as
    /// HTTP/2 has it: so an entry has the same bytes, whatever carries them.
    pub(super) fn offer(&mut self, number: u32, bytes: &[u8]) -> Sent {
        let Some(stream) = self.streams.get_mut(number as usize) else { return Sent::Failed };
        let index = stream.connection;
        let connection = &mut self.connections[index as usize];
        let mut taken = 0;
        if let Role::Waiting { begun: begun @ false, .. } = &mut stream.role {
            let Some((length, status, headers)) = head::read(bytes) else { return Sent::Failed };
            if connection.http2.respond(stream.id, status, &headers, false, &mut connection.out).is_err() {
                return Sent::Failed;
            }
            (taken, *begun) = (length, true);
        }
        let id = stream.id;
        let sent = connection.give(id, &bytes[taken..], false, self.now);
        if let Given::NoRoom(count) = sent {
            connection.waiting.add(number, count > 0);
        }
        self.touch(index);
        match sent {
            Given::All => Sent::All,
            Given::NoWindow(count) | Given::NoRoom(count) => Sent::Some(taken + count),
            Given::Gone => Sent::Failed,
        }
    }

    /// So much of what came on a stream that waits was taken: its client may send as much again.
    pub(super) fn consumed(&mut self, number: u32, bytes: usize) {
        let Some(stream) = self.streams.get(number as usize) else { return };
        let (index, id) = (stream.connection, stream.id);
        let Connection { http2, out, .. } = self.get(index);
        http2.consumed(id, bytes, out);
        self.touch(index);
    }

    /// How much it is of use to offer to an entry's stream: more than its windows allow by a byte, so that it is known to
    /// want more. A client may open them by a byte at a time.
    pub(super) fn room(&self, number: u32) -> usize {
        match self.streams.get(number as usize) {
            Some(Stream { connection, id, role: Role::Waiting { begun: true, .. }, .. }) => {
                self.connections[*connection as usize].http2.window(*id).saturating_add(1)
            }
            // Its head has to be there as a whole.
            _ => usize::MAX,
        }
    }

    /// Ends an entry's stream, which has been given all.
    pub(super) fn finish(&mut self, number: u32) {
        let Some(stream) = self.streams.get_mut(number as usize) else { return };
        stream.role = Role::Finished;
        let (index, id) = (stream.connection, stream.id);
        let Connection { http2, out, .. } = self.get(index);
        // The window does not matter where there are no bytes.
        let _ = http2.send(id, &[], true, out);
        // What is still to come of its request is of no use to anybody (RFC 9113 §8.1).
        http2.reset(id, ErrorCode::NO_ERROR, out);
        self.touch(index);
    }

    /// Lets go of an entry's stream; it is reset where it was not finished.
    pub(super) fn close(&mut self, number: u32) {
        let Some(stream) = self.forget(number) else { return };
        if !matches!(stream.role, Role::Finished) {
            let Connection { http2, out, .. } = self.get(stream.connection);
            http2.reset(stream.id, ErrorCode::CANCEL, out);
        }
    }

    /// Whether a stream waits for its connection, rather than for its own client to open its window.
    pub(super) fn waits_for_connection(&self, number: u32) -> bool {
        let stream = self.streams.get(number as usize);
        stream.is_some_and(|stream| self.connections[stream.connection as usize].is_full())
    }

    /// Whom a stream's memory is counted for.
    pub(super) fn network(&self, number: u32) -> Option<std::net::IpAddr> {
        let stream = self.streams.get(number as usize)?;
        let share = stream.share.as_ref().and_then(Share::network);
        share.or_else(|| self.connections[stream.connection as usize].permit.network())
    }
}

/// How much of something a connection took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    All,
    /// So many bytes; the windows have no more room.
    NoWindow(usize),
    /// So many bytes; the socket takes no more for now.
    NoRoom(usize),
    /// The stream is gone, or its connection.
    Gone,
}

/// What the connections of a server announce.
pub(super) fn settings(config: &HttpConfig) -> Settings {
    Settings {
        max_concurrent_streams: config.max_streams_per_connection,
        max_header_list_size: u32::try_from(config.max_head_bytes).unwrap_or(u32::MAX),
        initial_window_size: defaults::HTTP2_WINDOW_BYTES,
        connection_window_size: defaults::HTTP2_WINDOW_BYTES,
        // For WebSockets (RFC 8441).
        enable_connect_protocol: true,
        ..Settings::default()
    }
}

/// A tick, as what is waited for since then.
pub(super) fn since(tick: u32) -> NonZeroU32 {
    NonZeroU32::new(tick).unwrap_or(NonZeroU32::MIN)
}
