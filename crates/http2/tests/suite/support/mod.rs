use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use tidings_http2::{Connection, ConnectionError, ErrorCode, Event, Settings, StreamId};

pub(crate) mod client;

pub(crate) use client::{Client, Frame, Said};

pub(crate) const BODY: &[u8] = b"a body that is not empty";

/// A server that answers each request when it is whole, in memory.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) connection: Connection,
    /// What is to be sent, and what of it the windows have not let through.
    bodies: BTreeMap<StreamId, Vec<u8>>,
    methods: BTreeMap<StreamId, Method>,
    pub(crate) out: Vec<u8>,
    pub(crate) is_closed: bool,
}

// === impl Answering ===

impl Answering {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut out = Vec::new();
        let connection = Connection::new(Arc::new(settings), &mut out);
        Self { connection, bodies: BTreeMap::new(), methods: BTreeMap::new(), out, is_closed: false }
    }

    pub(crate) fn take(&mut self, mut input: &[u8]) {
        if self.is_closed {
            return;
        }
        let ended = self.serve(&mut input);
        self.is_closed |= ended.is_err();
    }

    fn serve(&mut self, input: &mut &[u8]) -> Result<(), ConnectionError> {
        let mut is_leaving = false;
        while let Some(event) = self.connection.receive(input, 0, &mut self.out)? {
            match event {
                Event::Request { stream, head, end } => {
                    self.methods.insert(stream, head.method);
                    if end {
                        self.answer(stream);
                    }
                }
                Event::HeadTooLarge { stream, .. } => {
                    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                    self.connection.respond(stream, status, &HeaderMap::new(), true, &mut self.out).unwrap();
                    self.connection.reset(stream, ErrorCode::NO_ERROR, &mut self.out);
                }
                Event::Data { stream, bytes, end, .. } => {
                    self.connection.consumed(stream, bytes.len(), &mut self.out);
                    if end {
                        self.answer(stream);
                    }
                }
                Event::Trailers { stream, .. } => self.answer(stream),
                Event::Reset { stream, .. } => {
                    self.methods.remove(&stream);
                    self.bodies.remove(&stream);
                }
                Event::Room { stream, .. } => self.send(stream),
                Event::GoAway { .. } => is_leaving = true,
                _ => {}
            }
        }
        self.is_closed |= is_leaving && self.connection.is_idle();
        Ok(())
    }

    fn answer(&mut self, stream: StreamId) {
        let Some(method) = self.methods.remove(&stream) else { return };
        let has_body = method != Method::HEAD;
        self.connection.respond(stream, StatusCode::OK, &HeaderMap::new(), !has_body, &mut self.out).unwrap();
        if has_body {
            self.bodies.insert(stream, BODY.to_vec());
            self.send(stream);
        }
    }

    fn send(&mut self, stream: StreamId) {
        let Some(mut body) = self.bodies.remove(&stream) else { return };
        let sent = self.connection.send(stream, &body, true, &mut self.out).unwrap();
        if sent < body.len() {
            body.drain(..sent);
            self.bodies.insert(stream, body);
        }
    }
}
