//! What the routes answer to the requests of HTTP/2, on its way to their streams.

use std::sync::atomic::Ordering;

use tidings_http2::{ErrorCode, StreamId};

use tidings_hub::ReaderState as State;

use super::Shard;
use crate::delivery::parking::group::narrow;
use crate::delivery::parking::http2::{Connection, Given, Role, Said, StreamName, since};
use crate::delivery::parking::parked_connections::Arrival;
use crate::delivery::parking::sink::Link;
use crate::delivery::parking::websocket::SocketArrival;

impl Shard {
    /// A request's task says something.
    pub(super) fn on_said(&mut self, name: StreamName, said: Said) {
        // Who was asked is gone, or the stream is.
        if name.shard != self.number {
            return;
        }
        let (index, stream) = (name.connection.index, name.stream);
        let Some(connection) = self.sinks.http2.find(name.connection) else { return };
        let Some(number) = connection.http2.key(stream) else { return };
        match said {
            Said::Answer(parts, piece) => {
                let Connection { http2, out, .. } = connection;
                let end = piece.end && piece.bytes.is_empty();
                if http2.respond(stream, parts.status, &parts.headers, end, out).is_err() {
                    return;
                }
                if let Some(Role::Task(task)) = self.sinks.http2.stream_of(index, stream, number) {
                    task.answered = true;
                    task.ended = piece.end;
                    if !piece.bytes.is_empty() {
                        task.pieces.push_back(piece);
                    }
                }
                self.pump(index, stream, number);
            }
            Said::Piece(piece) => {
                if let Some(Role::Task(task)) = self.sinks.http2.stream_of(index, stream, number) {
                    task.ended = piece.end;
                    task.pieces.push_back(piece);
                }
                self.pump(index, stream, number);
            }
            Said::Wait(waits) => {
                let (reader, share) = *waits;
                if self.sinks.http2.stream_of(index, stream, number).is_none() {
                    return;
                }
                let number = narrow(number);
                if let Some(own) = self.sinks.http2.stream(number) {
                    own.share = share;
                }
                if !reader.interest.shape.is_poll() {
                    self.context.metrics.waiting_streams.fetch_add(1, Ordering::Relaxed);
                }
                let has_left = self.sinks.http2.get(index).left.is_some();
                self.admit(Arrival {
                    link: Link::Stream(number),
                    reader,
                    unread: bytes::Bytes::new(),
                    permit: None,
                });
                if has_left
                    && let Some(Role::Waiting { entry, .. }) =
                        self.sinks.http2.stream_of(index, stream, number as usize)
                {
                    let entry = *entry;
                    self.left(entry);
                }
            }
            Said::Open(opens) => {
                let (socket, head, share) = *opens;
                if self.sinks.http2.stream_of(index, stream, number).is_none() {
                    return;
                }
                let number = narrow(number);
                if let Some(own) = self.sinks.http2.stream(number) {
                    own.share = share;
                }
                let link = Link::Stream(number);
                self.open_websocket(SocketArrival {
                    link,
                    socket,
                    head,
                    unread: bytes::Bytes::new(),
                    permit: None,
                });
            }
            Said::Consumed(bytes) => {
                let Connection { http2, out, .. } = connection;
                http2.consumed(stream, bytes, out);
            }
            Said::Unwanted => {
                if let Some(Role::Task(task)) = self.sinks.http2.stream_of(index, stream, number) {
                    task.body = None;
                    if task.ended && task.pieces.is_empty() {
                        self.end_task(index, stream, number);
                    }
                }
            }
            Said::Broken => {
                if let Some(Role::Task(task)) = self.sinks.http2.stream_of(index, stream, number)
                    && !task.ended
                {
                    let Connection { http2, out, .. } = self.sinks.http2.get(index);
                    http2.reset(stream, ErrorCode::INTERNAL_ERROR, out);
                    self.sinks.http2.forget(narrow(number));
                }
            }
        }
        self.sinks.http2.touch(index);
    }

    /// A stream's window has room, or its connection.
    pub(super) fn has_room(&mut self, index: u32, stream: StreamId, number: usize) {
        match self.sinks.http2.stream_of(index, stream, number) {
            Some(Role::Task(_)) => self.pump(index, stream, number),
            Some(Role::Waiting { entry, .. }) => {
                let entry = *entry;
                self.writable(entry);
            }
            Some(Role::Finished) | None => {}
        }
    }

    /// A stream goes on, whose connection has room again, when its turn comes.
    pub(super) fn go_on_later(&mut self, index: u32, number: u32) {
        let Some(stream) = self.sinks.http2.stream(number).filter(|stream| stream.connection == index) else {
            return;
        };
        let id = stream.id;
        match stream.role {
            Role::Task(_) => self.pump(index, id, number as usize),
            Role::Waiting { entry, .. } if entry.is_websocket() => self.websocket_writable(entry),
            Role::Waiting { entry, .. } => {
                if let Some(waiting) = self.find_mut(entry) {
                    // It waited for others, so its own deadline begins now.
                    waiting.blocked = None;
                    if waiting.seen.state() == State::Lagging {
                        self.ready.push_back(entry);
                    } else {
                        self.resume(entry.index);
                    }
                }
            }
            Role::Finished => {}
        }
    }

    /// Sends what is there of an answer, as far as its stream takes it.
    fn pump(&mut self, index: u32, stream: StreamId, number: usize) {
        let now = self.now;
        let (mut waits_for_room, mut was_served) = (false, false);
        loop {
            let (connection, role) = self.sinks.http2.both(index, stream, number);
            let Some(Role::Task(task)) = role else { return };
            let Some(piece) = task.pieces.front_mut() else {
                task.stalled = None;
                break;
            };
            let given = connection.give(stream, &piece.bytes, piece.end, now);
            let count = match given {
                Given::All => piece.bytes.len(),
                Given::NoWindow(count) => count,
                Given::NoRoom(count) => {
                    waits_for_room = true;
                    count
                }
                Given::Gone => break,
            };
            if given == Given::All {
                task.pieces.pop_front();
                task.credit.add_permits(1);
                task.stalled = None;
                was_served = true;
                continue;
            }
            was_served |= count > 0;
            drop(piece.bytes.split_to(count));
            if count > 0 || task.stalled.is_none() {
                task.stalled = Some(since(now));
            }
            break;
        }
        if waits_for_room {
            self.sinks.http2.get(index).waiting.add(narrow(number), was_served);
        }
        self.sinks.http2.touch(index);
        let (connection, role) = self.sinks.http2.both(index, stream, number);
        let Some(Role::Task(task)) = role else { return };
        if task.ended && task.pieces.is_empty() {
            // What is still to come of the request may be wanted, or is taken in for a while.
            if task.body.is_none() {
                self.end_task(index, stream, number);
            }
        } else if let Some(stalled) = task.stalled {
            let due = since(stalled.get().saturating_add(self.write_timeout));
            if connection.look.is_none_or(|look| due < look) {
                connection.look = Some(due);
                self.schedule_connection_if_sooner(index);
            }
        }
    }

    /// A request has come to its end: it is over, where it has been answered already.
    pub(super) fn end_if_answered(&mut self, index: u32, stream: StreamId, number: usize) {
        if let Some(Role::Task(task)) = self.sinks.http2.stream_of(index, stream, number)
            && task.ended
            && task.pieces.is_empty()
        {
            self.end_task(index, stream, number);
        }
    }

    /// A request has been answered whole.
    fn end_task(&mut self, index: u32, stream: StreamId, number: usize) {
        let Connection { http2, out, .. } = self.sinks.http2.get(index);
        // No more of its request is wanted (RFC 9113 §8.1).
        http2.reset(stream, ErrorCode::NO_ERROR, out);
        drop(self.sinks.http2.forget(narrow(number)));
    }
}
