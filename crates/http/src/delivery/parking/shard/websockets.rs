//! The WebSockets of a shard: how they begin and end, and what is said on them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use tidings_hub::{Dismissal, ReaderState as State};
use tidings_protocol::{ProblemKind, Selector};
use tidings_websocket::{CloseCode, Decoder, encode_close};

use super::Shard;
use crate::api::problem::Refusal;
use crate::api::websocket::{self, Reference};
use crate::defaults;
use crate::delivery::encoding::SubscriptionName;
use crate::delivery::parking::group::Shape;
use crate::delivery::parking::http2::since;
use crate::delivery::parking::mailbox::{Address, EntryName};
use crate::delivery::parking::new_reader::NewReader;
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::parked_connections::Arrival;
use crate::delivery::parking::sink::Link;
use crate::delivery::parking::tls_sink::TlsSink;
use crate::delivery::parking::websocket::{
    Agreement, NewSocket, NewSubscription, Phase, SocketArrival, SocketCarrier, SocketHandle, Told, WebSocket,
};
use crate::delivery::parking::wheel::ticks;
use crate::system::{poller, vanishing};

/// How a socket is counted that ended without a close frame (RFC 6455 §7.1.5).
const WITHOUT_A_WORD: u16 = 1_006;

impl Shard {
    /// Takes over a WebSocket.
    pub(super) fn open_websocket(&mut self, arrival: SocketArrival) {
        let SocketArrival { link, socket, mut head, unread, permit } = arrival;
        let NewSocket { session, greeting, first, awaits_token, lease, farewell, mut observed } = socket;
        let key = self.sinks.websockets.next_key();
        let Some(carrier) = self.carry(link, key) else { return };
        let most = websocket::message_bytes(&self.context.config);
        let decoder = Decoder::server(most, session.deflate.is_some());
        let counted = self.context.metrics.open_websocket();
        let mut socket = Box::new(WebSocket::new(key, carrier, decoder, session, permit, counted, self.now));
        head.extend_from_slice(&greeting);
        socket.push(&head);
        socket.ends_with_topics = first.is_some() || socket.session.first.is_some();
        if awaits_token {
            socket.token_by = Some(since(self.now.saturating_add(ticks(defaults::SOCKET_TOKEN_TIMEOUT))));
        }
        let index = self.sinks.websockets.insert(socket);
        self.hold_lease(key, lease);
        if let Some(observer) = observed.take() {
            self.observers.insert(key, observer);
        }
        self.sinks.websockets.touch(index);
        self.schedule_websocket(index);
        if let Some(first) = first {
            self.subscribe(index, first);
        }
        if let Some((code, reason)) = farewell {
            self.leave_websocket(index, code, reason);
        } else if self.draining {
            self.drain_websocket(index);
        }
        self.take_in(key, &unread);
        // Something may have come before it was watched.
        self.read_websocket(key);
    }

    /// What carries a socket, which is heard of by its key from then on.
    fn carry(&mut self, link: Link, key: Key) -> Option<SocketCarrier> {
        let carrier = match link {
            Link::Socket(socket) => SocketCarrier::Socket(socket),
            Link::Tls(link) => SocketCarrier::Tls(TlsSink::new(link)),
            Link::Stream(number) => {
                self.sinks.http2.park(number, key);
                SocketCarrier::Stream(number)
            }
            Link::Task(task) => {
                let (mailbox, entry) = (Arc::clone(&self.mailbox), EntryName { shard: self.number, key });
                let is_there = task.sink.seat(Address { mailbox, entry });
                // From now on it can tell what comes.
                task.credit.add_permits(2 * defaults::SOCKET_PIECE_BYTES);
                is_there.then_some(SocketCarrier::Task(task))?
            }
            Link::Body(_) | Link::Page(_) | Link::WebSocket(_) => return None,
        };
        if let Some(socket) = carrier.socket()
            && let Err(error) = self.sinks.watch(socket, key)
        {
            tracing::warn!(%error, "failed to watch a connection");
            return None;
        }
        Some(carrier)
    }

    /// The terms of a socket whose client showed a token, in place of others.
    fn hold_lease(&mut self, key: Key, lease: Option<crate::delivery::lease::Lease>) {
        match lease {
            Some(lease) => {
                let left = lease.until.saturating_duration_since(Instant::now());
                self.leases.add(key, self.now.saturating_add(ticks(left)), lease);
            }
            None => self.leases.remove(key),
        }
    }

    /// Something happened at a socket's connection.
    pub(super) fn on_websocket(&mut self, key: Key, event: poller::Event) {
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        if event.failed {
            tracing::debug!("a client of a WebSocket has left");
            return self.break_websocket(key.index);
        }
        socket.is_closing |= event.read_closed;
        if event.writable {
            self.websocket_writable(key);
        }
        if event.readable || event.read_closed {
            self.read_websocket(key);
        }
    }

    /// A socket's connection may take more.
    pub(super) fn websocket_writable(&mut self, key: Key) {
        if let Some(socket) = self.sinks.websockets.find(key)
            && std::mem::take(&mut socket.is_full)
        {
            self.sinks.websockets.touch(key.index);
        }
    }

    /// The task that serves a socket's messages says something, or the one that carries its bytes.
    pub(super) fn on_told(&mut self, EntryName { shard, key }: EntryName, told: Told) {
        if shard != self.number {
            return;
        }
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        let (index, is_open) = (key.index, socket.is_open());
        match told {
            Told::Frames(frames) => {
                if is_open || matches!(socket.phase, Phase::Leaving(_)) {
                    self.sinks.websockets.say(index, &frames);
                }
            }
            Told::Done(bytes) => {
                let traffic = socket.traffic();
                traffic.under_way = traffic.under_way.saturating_sub(bytes);
                self.count_memory(key);
                self.read_websocket_later(key);
            }
            Told::Subscribe(subscription) if is_open => self.subscribe(index, *subscription),
            Told::Unsubscribe(name, reference) if is_open => self.unsubscribe(index, name, &reference),
            Told::Token(told) if is_open => {
                let (session, lease, frames) = *told;
                (socket.session, socket.token_by) = (session, None);
                self.hold_lease(key, lease);
                self.sinks.websockets.say(index, &frames);
                self.check_subscriptions(index);
            }
            Told::Subscribe(_) | Told::Unsubscribe(..) | Told::Token(_) => {}
            Told::Close(code, reason) => self.leave_websocket(index, code, reason),
            Told::Idle => {
                let inbox = socket.traffic().inbox.take();
                if let Some(inbox) = inbox.filter(|inbox| !inbox.is_empty()) {
                    self.serve_messages(key, inbox);
                }
                self.sinks.websockets.touch(index);
            }
            Told::Broken => {
                let traffic = socket.traffic();
                (traffic.inbox, traffic.under_way) = (None, 0);
                self.close_with(index, CloseCode::INTERNAL, "the hub failed to serve a message");
            }
            Told::Received(bytes) => self.take_pushed(key, &bytes),
            Told::Ended => self.pushed_end(key),
        }
    }

    /// Has a task serve what waits in an inbox.
    pub(super) fn serve_messages(&mut self, key: Key, inbox: Arc<crate::delivery::parking::Inbox>) {
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        let (mailbox, entry) = (Arc::clone(&self.mailbox), EntryName { shard: self.number, key });
        let handle = SocketHandle(Address { mailbox, entry });
        let session = socket.session.clone();
        socket.traffic().inbox = Some(Arc::clone(&inbox));
        self.runtime.spawn(self.messages.serve(session, inbox, handle));
    }

    /// Adds a subscription to a socket.
    fn subscribe(&mut self, index: u32, subscription: NewSubscription) {
        let NewSubscription { name, reference, opening, reader, bytes } = subscription;
        // One of the same name that is at its end is told so first.
        for (number, entry) in self.sinks.websockets.entries_of(index) {
            if self.find(entry).is_some_and(|entry| entry.seen.state() == State::Ending)
                && self.frames_name(entry) == Some(name)
            {
                self.sinks.websockets.get(index).go_first(number);
            }
        }
        let refusal = if self.subscription(index, name).is_some() {
            Refusal::data("a subscription of this name is there already; `unsubscribe` it first")
        } else if self.sinks.websockets.get(index).subscriptions.len() >= defaults::SOCKET_SUBSCRIPTIONS {
            let detail = format!("a socket has at most {} subscriptions", defaults::SOCKET_SUBSCRIPTIONS);
            Refusal::new(ProblemKind::TooManyRequests, detail)
        } else if self.sinks.websockets.selected(index) + bytes > defaults::SOCKET_SELECTION_BYTES {
            let most = defaults::SOCKET_SELECTION_BYTES;
            let detail =
                format!("the topics and types of a socket's subscriptions have at most {most} bytes");
            Refusal::new(ProblemKind::TooManyRequests, detail)
        } else if let Some((interest, cursor)) = reader {
            let reader = NewReader { opening, ..NewReader::new(interest, cursor) };
            let link = Link::WebSocket(index);
            let before = self.sinks.websockets.get(index).subscriptions.len();
            self.admit(Arrival { link, reader, unread: Bytes::new(), permit: None });
            // Where it is still there.
            let own = &self.sinks.websockets.get(index).subscriptions;
            if let Some(number) = own.get(before).copied() {
                self.sinks.websockets.count_selected(number, bytes);
            }
            return;
        } else {
            let socket = self.sinks.websockets.get(index);
            socket.has_ended_one = true;
            return self.sinks.websockets.say(index, &opening);
        };
        self.tell_problem(index, &refusal, &reference, Some(name));
    }

    /// Ends a subscription of a socket.
    fn unsubscribe(&mut self, index: u32, name: SubscriptionName, reference: &Reference) {
        match self.subscription(index, name) {
            Some((number, entry)) => {
                let farewell = websocket::unsubscribed(name, reference.as_deref());
                self.part(index, number, entry, farewell);
            }
            None => {
                let refusal = Refusal::data("there is no subscription of this name");
                self.tell_problem(index, &refusal, reference, Some(name));
            }
        }
    }

    /// Ends the subscriptions that the token of a socket does not cover any more.
    fn check_subscriptions(&mut self, index: u32) {
        for (number, key) in self.sinks.websockets.entries_of(index) {
            let Some(entry) = self.find(key) else { continue };
            let interest = &self.groups.get(entry.group).interest;
            let selectors: Vec<Selector> = interest.selection.selectors().collect();
            let name = self.name_of(key);
            if let Err(refusal) = self.sinks.websockets.get(index).session.access.subscribe(&selectors) {
                self.context.metrics.count_refusal(refusal.kind());
                let farewell = websocket::problem(&refusal, None, name);
                self.part(index, number, key, farewell);
            }
        }
    }

    /// Ends a subscription with some last words, behind what was begun.
    fn part(&mut self, index: u32, number: u32, key: Key, farewell: Vec<u8>) {
        let Some(entry) = self.find_mut(key) else { return };
        match entry.seen.dismiss() {
            Dismissal::Tell => {
                entry.seen.end();
                entry.send_then(farewell);
                self.sinks.websockets.part(number);
                self.resume(key.index);
            }
            Dismissal::UnderWay | Dismissal::Close => self.sinks.websockets.say(index, &farewell),
        }
    }

    /// A socket's subscription of a name, by its number and its entry.
    fn subscription(&self, index: u32, name: SubscriptionName) -> Option<(u32, Key)> {
        let mut entries = self.sinks.websockets.entries_of(index).into_iter();
        entries.find(|(_, entry)| self.name_of(*entry) == Some(name))
    }

    /// The name of the subscription that an entry is. It is free as soon as the end of the one before it is under way.
    fn name_of(&self, key: Key) -> Option<SubscriptionName> {
        self.find(key).filter(|entry| entry.seen.state() != State::Ending)?;
        self.frames_name(key)
    }

    /// The name that an entry's messages have.
    fn frames_name(&self, key: Key) -> Option<SubscriptionName> {
        let entry = self.find(key)?;
        match &self.groups.get(entry.group).interest.shape {
            Shape::Stream { frames, .. } => frames.name(),
            Shape::Poll { .. } => None,
        }
    }

    fn tell_problem(
        &mut self,
        index: u32,
        refusal: &Refusal,
        reference: &Reference,
        name: Option<SubscriptionName>,
    ) {
        self.context.metrics.count_refusal(refusal.kind());
        let frames = websocket::problem(refusal, reference.as_deref(), name);
        self.sinks.websockets.say(index, &frames);
    }

    /// Looks after the sockets that were touched: sends what they have to send, and ends those that are at their end.
    pub(super) fn flush_websockets(&mut self) {
        while let Some(index) = self.sinks.websockets.next_dirty() {
            self.flush_websocket(index);
        }
    }

    fn flush_websocket(&mut self, index: u32) {
        let now = self.now;
        let socket = self.sinks.websockets.get(index);
        let key = socket.key;
        if socket.has_failed {
            return self.break_websocket(index);
        }
        if std::mem::take(&mut socket.has_lost) && socket.is_open() {
            let reason = "a subscription could not go on; come back with its cursor";
            self.close_with(index, CloseCode::INTERNAL, reason);
        }
        // Whoever is in the middle of a frame goes on first, then the hub itself, then all others.
        let socket = self.sinks.websockets.get(index);
        if let Some(owner) = socket.owner()
            && !socket.is_full
            && let Some(entry) = self.sinks.websockets.entry(owner)
            && self.find(entry).is_some_and(|entry| !entry.is_read_for())
        {
            self.resume(entry.index);
        }
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        let was_blocked = socket.blocked;
        if socket.flush(now, &mut self.sinks.http2) && socket.owner().is_none() && !socket.is_full {
            let waiting = socket.traffic.as_mut().map(|traffic| traffic.waiting.take()).unwrap_or_default();
            for number in waiting {
                let socket = self.sinks.websockets.find(key);
                match socket.filter(|socket| socket.has_to_wait_for_others(number)) {
                    Some(socket) => socket.traffic().waiting.add(number, false),
                    None => self.go_on_with(number),
                }
            }
        }
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        if socket.has_failed {
            return self.break_websocket(index);
        }
        if socket.blocked != was_blocked && socket.blocked.is_some() {
            self.schedule_websocket_if_sooner(index);
        }
        self.read_websocket_later(key);
        self.count_memory(key);
        self.check_websocket_end(index);
    }

    /// A subscription goes on that waited for its socket.
    fn go_on_with(&mut self, number: u32) {
        let Some(key) = self.sinks.websockets.entry(number) else { return };
        let Some(entry) = self.find_mut(key) else { return };
        entry.blocked = None;
        if entry.seen.state() == State::Lagging {
            self.ready.push_back(key);
        } else {
            self.resume(key.index);
        }
    }

    /// Ends a socket that has nothing more to do.
    fn check_websocket_end(&mut self, index: u32) {
        let now = self.now;
        let linger = now.saturating_add(ticks(defaults::SOCKET_LINGER));
        let lingers = now.saturating_add(ticks(defaults::LINGER_TIMEOUT));
        let socket = self.sinks.websockets.get(index);
        let is_busy = socket.traffic.as_ref().is_some_and(|traffic| traffic.inbox.is_some());
        let has_unsent = socket.unsent() > 0 || socket.owner().is_some();
        match &mut socket.phase {
            Phase::Open => {
                let is_over =
                    socket.ends_with_topics && socket.has_ended_one && socket.subscriptions.is_empty();
                if is_over && !is_busy && socket.session.first.is_none() {
                    self.close_with(index, CloseCode::NORMAL, "its topic has ended");
                }
            }
            Phase::Leaving(leaving) if !is_busy => {
                let (code, reason) = (leaving.0, std::mem::take(&mut leaving.1));
                self.close_with(index, code, &reason);
            }
            Phase::Leaving(_) => {}
            Phase::Closing { .. } if has_unsent => {}
            Phase::Closing { agreement: Agreement::Finished, .. } => {}
            Phase::Closing { by, agreement: Agreement::Awaited } => {
                *by = (*by).min(linger);
                self.schedule_websocket_if_sooner(index);
            }
            Phase::Closing { by, agreement } => {
                if !socket.carrier.finish(&mut self.sinks.http2) {
                    // What it says of its end has to wait for its connection.
                    socket.is_full = true;
                } else if *agreement == Agreement::Impossible && socket.carrier.socket().is_some() {
                    // Its client may be in the middle of something that nobody reads. Closed at once, its system would throw
                    // away what it was told.
                    (*agreement, *by) = (Agreement::Finished, (*by).min(lingers));
                    self.schedule_websocket_if_sooner(index);
                } else {
                    self.close_websocket(index);
                }
            }
        }
    }

    /// Closes a socket when the messages that were read of it are dealt with.
    pub(super) fn leave_websocket(&mut self, index: u32, code: CloseCode, reason: Cow<'static, str>) {
        let by = self.now.saturating_add(self.write_timeout);
        let socket = self.sinks.websockets.get(index);
        if socket.is_open() {
            socket.phase = Phase::Leaving(Box::new((code, reason, by)));
            socket.token_by = None;
            self.schedule_websocket_if_sooner(index);
            self.sinks.websockets.touch(index);
        }
    }

    /// The hub shuts down: a socket is told to come back, at a random moment.
    fn drain_websocket(&mut self, index: u32) {
        let most = u64::try_from(defaults::DRAIN_RETRY.as_millis()).unwrap_or(u64::MAX);
        let reason = format!("the hub is shutting down; come back in {} ms", fastrand::u64(0..=most));
        self.leave_websocket(index, CloseCode::GOING_AWAY, reason.into());
    }

    pub(super) fn drain_websockets(&mut self) {
        for key in self.sinks.websockets.keys() {
            self.drain_websocket(key.index);
        }
    }

    /// Says that a socket ends, and why.
    pub(super) fn close_with(&mut self, index: u32, code: CloseCode, reason: &str) {
        let mut frame = Vec::new();
        encode_close(code, reason, &mut frame);
        self.end_websocket(index, code, &frame, false);
    }

    /// Ends a socket with a close frame: the last that it sends, but for the rest of a frame that is on its way.
    pub(super) fn end_websocket(&mut self, index: u32, code: CloseCode, frame: &[u8], is_answered: bool) {
        let socket = self.sinks.websockets.get(index);
        if let Phase::Closing { agreement, .. } = &mut socket.phase {
            if is_answered && *agreement == Agreement::Awaited {
                *agreement = Agreement::Said;
            }
            return self.sinks.websockets.touch(index);
        }
        let owner = socket.owner();
        let by = self.now.saturating_add(self.write_timeout);
        let agreement = if is_answered { Agreement::Said } else { Agreement::Awaited };
        socket.phase = Phase::Closing { by, agreement };
        socket.token_by = None;
        self.context.metrics.count_websocket_close(code.0);
        for (number, entry) in self.sinks.websockets.entries_of(index) {
            self.sinks.websockets.part(number);
            self.sinks.websockets.finish(number);
            if owner != Some(number) {
                self.close(entry.index);
            } else if let Some(entry) = self.find_mut(entry) {
                entry.seen.end();
            }
        }
        self.sinks.websockets.say(index, frame);
        self.schedule_websocket_if_sooner(index);
    }

    /// Closes a socket whose connection has failed.
    pub(super) fn break_websocket(&mut self, index: u32) {
        let socket = self.sinks.websockets.get(index);
        if socket.carrier.socket().is_some_and(vanishing::is_cause) {
            vanishing::count(&self.context.metrics);
        }
        self.close_websocket(index);
    }

    /// Closes a socket at once.
    pub(super) fn close_websocket(&mut self, index: u32) {
        for (number, entry) in self.sinks.websockets.entries_of(index) {
            self.sinks.websockets.finish(number);
            if self.find(entry).is_some() {
                self.close(entry.index);
            }
        }
        let WebSocket { key, carrier, permit, phase, traffic, .. } = *self.sinks.websockets.remove(index);
        if let Some(traffic) = traffic
            && let (Some(inbox), Some(mut memory)) = (traffic.inbox, traffic.memory)
        {
            // What was read of it is still served.
            memory.shrink(traffic.under_way);
            inbox.keep(memory);
        }
        if !matches!(phase, Phase::Closing { .. }) {
            // Nobody said why (RFC 6455 §7.1.5).
            self.context.metrics.count_websocket_close(WITHOUT_A_WORD);
        }
        self.leases.remove(key);
        if let Some(line) = self.observers.remove(&key) {
            line.end(Some(StatusCode::SWITCHING_PROTOCOLS), None);
        }
        if let Some(socket) = carrier.socket() {
            self.sinks.unwatch(socket);
        }
        // The connection first: only then there is room for another.
        carrier.close(&mut self.sinks.http2);
        drop(permit);
    }
}
