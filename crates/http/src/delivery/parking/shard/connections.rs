//! The HTTP/2 connections of a shard: what comes of them, and when they end.

use std::collections::VecDeque;
use std::sync::Arc;

use http::Request;
use hyper::ext::Protocol;
use tidings_http2::{ErrorCode, Event, Head, StreamId};
use tokio::sync::Semaphore;

use super::Shard;
use crate::delivery::parking::group::narrow;
use crate::delivery::parking::http2::{
    Asking, Connection, Flushed, NewRequest, Newcomer, Phase, RequestFault, Role, Running, StreamName, Task,
    Upload, since,
};
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::parked_connections::Space;
use crate::delivery::parking::sink::Received;
use crate::delivery::parking::wheel::ticks;
use crate::limit::Limit;
use crate::metrics::Speaks;
use crate::server::socket::Progress;
use crate::{defaults, system::poller, system::vanishing};

/// What is read of a connection at once.
const READ_BYTES: usize = 32 << 10;
/// How often a connection is read before it is another's turn.
const READS: usize = 4;

impl Shard {
    /// Takes over a connection.
    pub(super) fn connect(&mut self, newcomer: Newcomer) {
        let Newcomer { carrier, unread, origin, mut permit } = newcomer;
        permit.speaks(Speaks { version: 2, tls: origin.encrypted });
        let key = self.sinks.http2.next_key();
        if let Err(error) = self.sinks.watch(carrier.socket(), key) {
            tracing::warn!(%error, "failed to watch a connection");
            drop(carrier);
            return;
        }
        let mut connection = Connection::new(key, carrier, &self.http2_settings, origin, permit, self.now);
        if self.draining {
            connection.phase = Phase::Draining(self.now.saturating_add(ticks(defaults::HTTP2_DRAIN)));
        }
        let index = self.sinks.http2.insert(connection);
        self.schedule_connection(index);
        self.sinks.http2.touch(index);
        self.take_frames(key, &unread);
        self.watch_head(key);
        // Something may have come before it was watched.
        self.read_connection(key);
    }

    /// Something happened at a connection's socket.
    pub(super) fn on_connection(&mut self, key: Key, event: poller::Event) {
        let Some(connection) = self.sinks.http2.find(key) else { return };
        if event.failed {
            tracing::debug!("a client of HTTP/2 has left");
            if vanishing::is_cause(connection.carrier.socket()) {
                vanishing::count(&self.context.metrics);
            }
            return self.close_connection(key.index);
        }
        connection.is_closing |= event.read_closed;
        if event.writable && connection.is_full() {
            connection.is_writable = true;
            self.sinks.http2.touch(key.index);
        }
        if event.readable || event.read_closed {
            self.read_connection(key);
        }
    }

    /// Reads what has come of a connection, some of it at a time.
    pub(super) fn read_connection(&mut self, key: Key) {
        let mut input = std::mem::take(&mut self.input);
        for _ in 0..READS {
            let Some(connection) = self.sinks.http2.find(key) else { break };
            if connection.holds_back() {
                connection.is_readable = true;
                break;
            }
            input.clear();
            input.reserve(READ_BYTES);
            let received = connection.carrier.receive(&mut input);
            let is_closing = connection.is_closing;
            connection.is_readable = received == Received::Some || is_closing;
            // What carries it may have something to say itself.
            self.sinks.http2.touch(key.index);
            if !input.is_empty() {
                self.sinks.http2.get(key.index).heard = self.now;
                self.take_frames(key, &input);
                self.watch_head(key);
            }
            match received {
                Received::Some => {}
                // Behind what it said last is its end.
                Received::Nothing if is_closing && !input.is_empty() => {}
                Received::Nothing if !is_closing => break,
                Received::Nothing | Received::Ended => {
                    self.on_end(key);
                    break;
                }
                Received::Failed => {
                    self.close_connection(key.index);
                    break;
                }
            }
        }
        self.input = input;
        self.read_on_later(key);
    }

    /// Has a connection read on when its turn comes, where there is more of it: one turn, however often that is said.
    fn read_on_later(&mut self, key: Key) {
        if let Some(connection) = self.sinks.http2.find(key)
            && connection.is_readable
            && !connection.holds_back()
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.ready.push_back(key);
        }
    }

    /// It is a connection's turn to be read on.
    pub(super) fn read_on(&mut self, key: Key) {
        let Some(connection) = self.sinks.http2.find(key) else { return };
        connection.is_queued = false;
        self.read_connection(key);
    }

    fn take_frames(&mut self, key: Key, mut input: &[u8]) {
        let second = self.now / super::SECOND;
        loop {
            let Some(connection) = self.sinks.http2.find(key) else { return };
            if matches!(connection.phase, Phase::Ending(_) | Phase::Ended(_)) {
                return;
            }
            self.sinks.http2.touch(key.index);
            let Connection { http2, out, .. } = self.sinks.http2.get(key.index);
            match http2.receive(&mut input, second, out) {
                Ok(None) => return,
                Ok(Some(event)) => self.on_event(key, event),
                Err(error) => {
                    tracing::debug!(?error, "closed a connection of HTTP/2");
                    return self.end_connection(key.index, None);
                }
            }
        }
    }

    fn on_event(&mut self, key: Key, event: Event<'_>) {
        match event {
            Event::Request { stream, head, end } => self.ask(key, stream, Ok(head), end),
            Event::HeadTooLarge { stream, end } => {
                self.context.metrics.count_limit(Limit::HeadBytes);
                self.ask(key, stream, Err(RequestFault::HeadTooLarge), end);
            }
            Event::Data { stream, key: number, bytes, end } => {
                let taken = match self.sinks.http2.stream_of(key.index, stream, number) {
                    Some(Role::Task(task)) => {
                        let taken = task.body.as_ref().is_some_and(|body| body.push(bytes, end));
                        if end {
                            task.body = None;
                        }
                        taken
                    }
                    Some(Role::Waiting { entry, .. }) if entry.is_websocket() => {
                        let socket = *entry;
                        self.take_pushed(socket, bytes);
                        if end {
                            self.pushed_end(socket);
                        }
                        true
                    }
                    _ => false,
                };
                if !taken {
                    let Connection { http2, out, .. } = self.sinks.http2.get(key.index);
                    http2.consumed(stream, bytes.len(), out);
                }
                if end {
                    self.end_if_answered(key.index, stream, number);
                }
            }
            Event::Trailers { stream, key: number, .. } => {
                if let Some(Role::Task(task)) = self.sinks.http2.stream_of(key.index, stream, number)
                    && let Some(body) = task.body.take()
                {
                    body.push(&[], true);
                }
                self.end_if_answered(key.index, stream, number);
            }
            Event::Reset { stream, key: number, code, .. } => {
                tracing::debug!(stream, ?code, "a stream was reset");
                self.drop_stream(key.index, stream, number);
            }
            Event::Room { stream, key: number } => self.has_room(key.index, stream, number),
            Event::Pong { .. } => self.sinks.http2.get(key.index).pinged = None,
            // Its streams end as they do, and it with them.
            Event::GoAway { .. } => {
                let connection = self.sinks.http2.get(key.index);
                if matches!(connection.phase, Phase::Open | Phase::Draining(_)) {
                    connection.phase = Phase::Leaving;
                }
            }
            _ => {}
        }
    }

    /// Gives a request to the routes.
    fn ask(&mut self, key: Key, stream: StreamId, head: Result<Box<Head>, RequestFault>, end: bool) {
        // Only a server has connections.
        let Some(service) = self.service.clone() else { return self.refuse_stream(key.index, stream) };
        let asking = Asking {
            mailbox: Arc::clone(&self.mailbox),
            name: StreamName { shard: self.number, connection: key, stream },
        };
        let (body, inlet) = Upload::new(asking.clone(), !end);
        let mut is_socket = false;
        let (mut request, fault) = match head {
            Ok(head) => {
                let fault = head.has_fragment().then_some(RequestFault::Fragment);
                is_socket = head.protocol.as_deref() == Some("websocket");
                match head.uri() {
                    Ok(_) => match head.into_request(body) {
                        Ok(request) => (request, fault),
                        Err(_) => return self.refuse_stream(key.index, stream),
                    },
                    Err(error) => {
                        let target = RequestFault::Target(error.to_string());
                        (Request::new(body), Some(fault.unwrap_or(target)))
                    }
                }
            }
            Err(fault) => (Request::new(body), Some(fault)),
        };
        *request.version_mut() = http::Version::HTTP_2;
        if is_socket {
            request.extensions_mut().insert(Protocol::from_static("websocket"));
        }
        let progress = Arc::new(Progress::default());
        let answering = progress.answering(request.method());
        request.extensions_mut().insert(progress.attention());
        request.extensions_mut().insert(Space);
        let credit = Arc::new(Semaphore::new(defaults::HTTP2_PIECES));
        let connection = self.sinks.http2.get(key.index);
        connection.streams += 1;
        if connection.streams == self.context.config.max_streams_per_connection {
            self.context.metrics.count_limit(Limit::StreamsPerConnection);
        }
        let (origin, credit_of_task) = (connection.origin, Arc::clone(&credit));
        let request = NewRequest { request, fault, origin, answering, credit: credit_of_task, asking };
        let task = Running(self.runtime.spawn(service.answer(request)));
        let task = Task {
            _task: task,
            progress,
            body: inlet,
            credit,
            pieces: VecDeque::new(),
            answered: false,
            ended: false,
            stalled: None,
        };
        self.sinks.http2.open(key.index, stream, Role::Task(Box::new(task)));
    }

    /// Resets a stream with whose request nothing can be done.
    fn refuse_stream(&mut self, index: u32, stream: StreamId) {
        let Connection { http2, out, .. } = self.sinks.http2.get(index);
        http2.reset(stream, ErrorCode::PROTOCOL_ERROR, out);
    }

    /// The client sends nothing more. What it asked for it still gets, as far as that does not wait for anything.
    fn on_end(&mut self, key: Key) {
        let Some(connection) = self.sinks.http2.find(key) else { return };
        (connection.is_closing, connection.is_readable) = (false, false);
        if let Phase::Ended(_) = connection.phase {
            return self.close_connection(key.index);
        }
        if connection.left.replace(since(self.now)).is_some() {
            return;
        }
        connection.look = Some(since(self.now.saturating_add(1)));
        self.schedule_connection(key.index);
        self.look_at_streams(key.index);
        self.sinks.http2.touch(key.index);
    }

    /// Looks at the streams of a connection, some of which take nothing, or whose client has left.
    pub(super) fn look_at_streams(&mut self, index: u32) {
        let connection = self.sinks.http2.get(index);
        connection.look = None;
        let (key, left, is_full) = (connection.key, connection.left, connection.is_full());
        let streams: Vec<_> = connection.http2.streams().collect();
        let grace = ticks(defaults::LEAVE_GRACE);
        let mut again: Option<u32> = None;
        let mut sooner = |tick: u32| again = Some(again.map_or(tick, |other| other.min(tick)));
        for (stream, number) in streams {
            if self.sinks.http2.find(key).is_none() {
                return;
            }
            let Some(role) = self.sinks.http2.stream_of(index, stream, number) else { continue };
            let task = match role {
                Role::Task(task) => task,
                Role::Waiting { entry, .. } => {
                    let entry = *entry;
                    if left.is_some() {
                        self.left(entry);
                    }
                    continue;
                }
                Role::Finished => continue,
            };
            if let Some(left) = left
                && !task.ended
            {
                // It cannot send the rest of its request either.
                let is_cut = task.body.is_some();
                let is_gone = task.progress.waits_only()
                    || task.progress.looks() && left.get().saturating_add(grace) <= self.now;
                if is_cut || is_gone {
                    self.give_up_stream(index, stream, number);
                    continue;
                }
                sooner(self.now.saturating_add(1));
            }
            if is_full {
                // Its turn has yet to come.
                task.stalled = task.stalled.map(|_| since(self.now));
            }
            let Some(stalled) = task.stalled else { continue };
            let due = stalled.get().saturating_add(self.write_timeout);
            if due > self.now {
                sooner(due);
                continue;
            }
            tracing::debug!("gave up a stream that took no byte for the write timeout");
            self.context.metrics.slow_closes.inc();
            self.context.metrics.count_limit(Limit::WriteTimeout);
            self.give_up_stream(index, stream, number);
        }
        if let Some(connection) = self.sinks.http2.find(key) {
            connection.look = again.map(since);
        }
    }

    fn give_up_stream(&mut self, index: u32, stream: StreamId, number: usize) {
        let Connection { http2, out, .. } = self.sinks.http2.get(index);
        http2.reset(stream, ErrorCode::CANCEL, out);
        self.drop_stream(index, stream, number);
    }

    /// Lets go of what a stream has that is gone.
    fn drop_stream(&mut self, index: u32, stream: StreamId, number: usize) {
        match self.sinks.http2.stream_of(index, stream, number) {
            Some(role @ Role::Waiting { .. }) => {
                let Role::Waiting { entry, .. } = std::mem::replace(role, Role::Finished) else { return };
                if self.sinks.websockets.find(entry).is_some() {
                    return self.close_websocket(entry.index);
                }
                match self.find(entry) {
                    Some(_) => self.close(entry.index),
                    None => drop(self.sinks.http2.forget(narrow(number))),
                }
            }
            Some(Role::Task(_)) => drop(self.sinks.http2.forget(narrow(number))),
            Some(Role::Finished) | None => {}
        }
        self.sinks.http2.touch(index);
    }

    /// Sends what the connections have to send, and ends those that are at their end.
    pub(super) fn flush_connections(&mut self) {
        while let Some(index) = self.sinks.http2.next_dirty() {
            self.flush_connection(index);
        }
    }

    fn flush_connection(&mut self, index: u32) {
        let connection = self.sinks.http2.get(index);
        let key = connection.key;
        let was_full = connection.is_full();
        if was_full && !std::mem::take(&mut connection.is_writable) {
            // It may be full only since a stream was given more than it takes.
            self.schedule_connection_if_sooner(index);
            return self.check_end(index);
        }
        let flushed = connection.flush(self.now);
        self.context.metrics.http2_writes.inc_by(std::mem::take(&mut connection.writes).into());
        match flushed {
            Flushed::Failed => {
                if vanishing::is_cause(connection.carrier.socket()) {
                    vanishing::count(&self.context.metrics);
                }
                return self.close_connection(index);
            }
            Flushed::Some => {
                if !was_full {
                    self.schedule_connection_if_sooner(index);
                }
            }
            Flushed::All => {
                let waiting = connection.waiting.take();
                self.read_on_later(key);
                for number in waiting {
                    self.go_on_later(index, number);
                }
            }
        }
        self.check_end(index);
    }

    /// Ends a connection that has nothing more to do.
    fn check_end(&mut self, index: u32) {
        let connection = self.sinks.http2.get(index);
        let is_sent = connection.unsent() == 0 && !connection.is_full();
        match connection.phase {
            Phase::Open | Phase::Draining(_) if connection.left.is_some() && connection.streams == 0 => {
                self.end_connection(index, Some(ErrorCode::NO_ERROR));
            }
            Phase::Leaving if connection.streams == 0 => {
                if connection.left.is_some() {
                    return self.end_connection(index, Some(ErrorCode::NO_ERROR));
                }
                connection.phase = Phase::Left(self.now.saturating_add(ticks(defaults::HTTP2_LINGER)));
                self.schedule_connection_if_sooner(index);
            }
            Phase::Left(_) if connection.left.is_some() || connection.http2.has_gone_away() => {
                self.end_connection(index, Some(ErrorCode::NO_ERROR));
            }
            Phase::Left(_) if connection.streams > 0 => connection.phase = Phase::Leaving,
            Phase::Ending(_) if is_sent => {
                if !connection.carrier.finish() {
                    connection.blocked = Some(since(self.now));
                    return;
                }
                if connection.left.is_some() {
                    return self.close_connection(index);
                }
                connection.phase = Phase::Ended(self.now.saturating_add(ticks(defaults::HTTP2_LINGER)));
                self.schedule_connection_if_sooner(index);
            }
            _ => {}
        }
    }

    /// Ends a connection, whatever it is about: its streams end, and it is closed when its client has been told why.
    pub(super) fn end_connection(&mut self, index: u32, code: Option<ErrorCode>) {
        let connection = self.sinks.http2.get(index);
        if let Some(code) = code {
            connection.http2.close(code, "", &mut connection.out);
        }
        connection.phase = Phase::Ending(self.now.saturating_add(self.write_timeout));
        self.end_streams(index);
        self.schedule_connection_if_sooner(index);
        self.sinks.http2.touch(index);
    }

    fn end_streams(&mut self, index: u32) {
        let streams = self.sinks.http2.streams_of(index);
        for (stream, number) in streams {
            self.drop_stream(index, stream, number);
        }
    }

    /// Closes a connection at once.
    pub(super) fn close_connection(&mut self, index: u32) {
        self.sinks.http2.get(index).has_failed = true;
        self.end_streams(index);
        let connection = self.sinks.http2.remove(index);
        self.sinks.unwatch(connection.carrier.socket());
        // The socket first: only then there is room for another.
        let Connection { carrier, permit, .. } = *connection;
        drop(carrier);
        drop(permit);
    }

    /// The hub begins to shut down. The streams end by themselves now. The connections speak of their own end only after
    /// them: there are clients that read nothing more once it has been spoken of.
    pub(super) fn drain_connections(&mut self) {
        let at = self.now.saturating_add(ticks(defaults::HTTP2_DRAIN));
        for key in self.sinks.http2.keys() {
            if let Some(connection) = self.sinks.http2.find(key)
                && connection.phase == Phase::Open
            {
                connection.phase = Phase::Draining(at);
                self.schedule_connection_if_sooner(key.index);
            }
        }
    }
}
