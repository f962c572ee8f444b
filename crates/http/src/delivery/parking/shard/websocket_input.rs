//! What the clients of WebSockets send.

use std::sync::Arc;

use tidings_websocket::{CloseCode, Message, Opcode, encode, encode_close_reply};

use super::Shard;
use crate::defaults;
use crate::delivery::parking::Inbox;
use crate::delivery::parking::parked::Key;
use crate::delivery::parking::sink::Received;
use crate::delivery::parking::websocket::{Agreement, Phase, SocketCarrier};

/// What is read of a socket at once.
const READ_BYTES: usize = 32 << 10;
/// How a close frame is counted that has no code (RFC 6455 §7.1.5).
const NO_CODE: CloseCode = CloseCode(1_005);
/// How often a socket is read before it is another's turn.
const READS: usize = 4;

impl Shard {
    /// Reads what has come of a socket, some of it at a time.
    pub(super) fn read_websocket(&mut self, key: Key) {
        let mut input = std::mem::take(&mut self.input);
        for _ in 0..READS {
            let Some(socket) = self.sinks.websockets.find(key) else { break };
            if socket.holds_back() {
                socket.is_readable = true;
                break;
            }
            input.clear();
            let is_closing = socket.is_closing;
            let unread = socket.traffic.as_mut().map(|traffic| std::mem::take(&mut traffic.unread));
            if let Some(unread) = unread.filter(|unread| !unread.is_empty()) {
                // What has come behind that is still to be looked for.
                socket.is_readable = true;
                self.take_in(key, &unread);
                continue;
            }
            let is_finished = matches!(socket.phase, Phase::Closing { agreement: Agreement::Finished, .. });
            let received = match &mut socket.carrier {
                carrier if is_finished => {
                    input.reserve(READ_BYTES);
                    carrier.discard(&mut input)
                }
                SocketCarrier::Socket(_) | SocketCarrier::Tls(_) => {
                    input.reserve(READ_BYTES);
                    socket.carrier.receive(&mut input)
                }
                SocketCarrier::Stream(_) | SocketCarrier::Task(_) => Received::Nothing,
            };
            socket.is_readable = received == Received::Some || is_closing;
            let has_some = !input.is_empty();
            if has_some && !is_finished {
                self.take_in(key, &input);
            }
            match received {
                Received::Some => {}
                // Behind what it said last is its end.
                Received::Nothing if is_closing && has_some => {}
                Received::Nothing if !is_closing => break,
                Received::Nothing | Received::Ended => {
                    if self.sinks.websockets.find(key).is_some() {
                        self.close_websocket(key.index);
                    }
                    break;
                }
                Received::Failed => {
                    if self.sinks.websockets.find(key).is_some() {
                        self.break_websocket(key.index);
                    }
                    break;
                }
            }
        }
        self.input = input;
        self.read_websocket_later(key);
    }

    /// Has a socket read on when its turn comes, where there is more of it.
    pub(super) fn read_websocket_later(&mut self, key: Key) {
        if let Some(socket) = self.sinks.websockets.find(key)
            && socket.is_readable
            && !socket.holds_back()
            && !std::mem::replace(&mut socket.is_queued, true)
        {
            self.ready.push_back(key);
        }
    }

    /// It is a socket's turn to be read on.
    pub(super) fn read_websocket_on(&mut self, key: Key) {
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        socket.is_queued = false;
        self.read_websocket(key);
    }

    /// Takes bytes of a client that are not read here, but brought.
    pub(super) fn take_pushed(&mut self, key: Key, bytes: &[u8]) {
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        let has_unread = socket.traffic.as_ref().is_some_and(|traffic| !traffic.unread.is_empty());
        if has_unread || socket.holds_back() {
            // No more than its window, or the task's permits, let it send.
            socket.traffic().unread.extend_from_slice(bytes);
            socket.is_readable = true;
            return self.count_memory(key);
        }
        self.take_in(key, bytes);
    }

    /// The client of a socket whose bytes are brought sends nothing more.
    pub(super) fn pushed_end(&mut self, key: Key) {
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        socket.is_closing = true;
        self.read_websocket(key);
    }

    /// Lets the client of a socket whose bytes are brought send as many again.
    fn consume(&mut self, key: Key, bytes: usize) {
        let Some(socket) = self.sinks.websockets.find(key).filter(|_| bytes > 0) else { return };
        match &socket.carrier {
            SocketCarrier::Stream(number) => self.sinks.http2.consumed(*number, bytes),
            SocketCarrier::Task(task) => task.credit.add_permits(bytes),
            SocketCarrier::Socket(_) | SocketCarrier::Tls(_) => {}
        }
    }

    /// Takes what has come of a client. Nothing else of it is unread.
    pub(super) fn take_in(&mut self, key: Key, bytes: &[u8]) {
        let Some(socket) = self.sinks.websockets.find(key).filter(|_| !bytes.is_empty()) else { return };
        socket.unanswered = 0;
        let taken = self.take_messages(key, bytes);
        self.consume(key, taken);
        let Some(socket) = self.sinks.websockets.find(key).filter(|_| taken < bytes.len()) else { return };
        socket.traffic().unread = bytes[taken..].to_vec();
        socket.is_readable = true;
        self.count_memory(key);
    }

    /// Takes messages until there are enough that wait: a few bytes may be very large ones, when they are inflated. Says how
    /// many bytes that were.
    fn take_messages(&mut self, key: Key, bytes: &[u8]) -> usize {
        let mut input = bytes;
        while !input.is_empty() {
            let Some(socket) = self.sinks.websockets.find(key) else { return bytes.len() };
            if socket.has_failed {
                return bytes.len();
            }
            if socket.holds_back() {
                break;
            }
            match socket.decoder.receive(&mut input, &mut self.inflater) {
                Ok(None) => break,
                Ok(Some(message)) => self.on_received(key, message),
                Err(error) => {
                    tracing::debug!(code = error.code.0, reason = error.reason, "closed a WebSocket");
                    self.close_with(key.index, error.code, error.reason);
                    // Nothing more of it will be understood, so it cannot agree to the end.
                    if let Some(socket) = self.sinks.websockets.find(key)
                        && let Phase::Closing { agreement, .. } = &mut socket.phase
                    {
                        *agreement = Agreement::Impossible;
                    }
                    break;
                }
            }
        }
        self.count_memory(key);
        bytes.len() - input.len()
    }

    fn on_received(&mut self, key: Key, message: Message) {
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        let is_open = socket.is_open();
        #[cfg(test)]
        if self.context.config.websocket_echo
            && let Some(frames) = super::autobahn::echo(&message, socket.session.deflate)
        {
            if is_open {
                self.sinks.websockets.say(key.index, &frames);
            }
            return;
        }
        match message {
            Message::Text(text) if is_open => {
                self.context.metrics.websocket_messages.inc();
                let traffic = socket.traffic();
                traffic.under_way += text.len() + defaults::BATCH_EVENT_BYTES;
                match &traffic.inbox {
                    Some(inbox) => inbox.push(text),
                    None => {
                        let inbox = Arc::<Inbox>::default();
                        inbox.push(text);
                        self.serve_messages(key, inbox);
                    }
                }
            }
            Message::Binary(_) if is_open => {
                self.close_with(key.index, CloseCode::UNSUPPORTED, "messages are text: one JSON object each");
            }
            Message::Ping(payload) if !matches!(socket.phase, Phase::Closing { .. }) => {
                let mut pong = Vec::new();
                encode(Opcode::Pong, &payload, &mut pong);
                self.sinks.websockets.say(key.index, &pong);
            }
            Message::Close { code, .. } => {
                let mut reply = Vec::new();
                encode_close_reply(code, &mut reply);
                self.end_websocket(key.index, code.unwrap_or(NO_CODE), &reply, true);
            }
            // What comes after the end.
            Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
        }
    }

    /// Counts the memory for what is under way on a socket. Where there is none, it is closed.
    pub(super) fn count_memory(&mut self, key: Key) {
        let Some(socket) = self.sinks.websockets.find(key) else { return };
        let bytes = socket.memory();
        let client = socket.session.client.clone();
        if bytes <= defaults::UNCOUNTED_BYTES {
            if let Some(memory) = socket.traffic.as_mut().and_then(|traffic| traffic.memory.as_mut()) {
                memory.shrink(0);
            }
            return socket.settle();
        }
        let memory = socket.traffic().memory.get_or_insert_with(|| self.context.bodies.portion(client));
        memory.shrink(bytes);
        let Err(short) = memory.grow(bytes) else { return };
        let refusal = memory.refuse(short, "messages that are under way");
        if !matches!(socket.phase, Phase::Closing { .. }) {
            self.close_with(key.index, CloseCode::TOO_MANY, refusal.detail());
        }
    }
}
