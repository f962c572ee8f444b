use std::sync::Arc;

use http::HeaderMap;
use tidings_http2::{Connection, ConnectionError, ErrorCode, Event, Head, PREFACE, Settings, StreamId};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const ACK: u8 = 1;
/// A whole request by its head.
pub(crate) const END: u8 = END_STREAM | END_HEADERS;

/// A client that says what it is told to, to a connection that does nothing by itself.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) out: Vec<u8>,
    pub(crate) now: u32,
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// An event that can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Request(StreamId, Head, bool),
    TooLarge(StreamId, bool),
    Data(StreamId, Vec<u8>, bool),
    Trailers(StreamId, HeaderMap),
    Reset(StreamId, ErrorCode, bool),
    Room(StreamId),
    Pong([u8; 8]),
    GoAway(ErrorCode),
    Failed(ErrorCode),
}

// === impl Said ===

impl From<Event<'_>> for Said {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Request { stream, head, end } => Self::Request(stream, *head, end),
            Event::HeadTooLarge { stream, end } => Self::TooLarge(stream, end),
            Event::Data { stream, bytes, end, .. } => Self::Data(stream, bytes.to_vec(), end),
            Event::Trailers { stream, fields, .. } => Self::Trailers(stream, fields),
            Event::Reset { stream, code, local, .. } => Self::Reset(stream, code, local),
            Event::Room { stream, .. } => Self::Room(stream),
            Event::Pong { payload } => Self::Pong(payload),
            Event::GoAway { code } => Self::GoAway(code),
            _ => unreachable!("an event without a test"),
        }
    }
}

// === impl Client ===

impl Client {
    /// A client that has agreed on settings.
    pub(crate) fn new(settings: Settings) -> Self {
        let mut client = Self::silent(settings);
        let hello = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat();
        assert_eq!(client.say(&hello), []);
        assert!(client.connection.settings_acknowledged());
        client.out.clear();
        client
    }

    /// A client that has said nothing.
    pub(crate) fn silent(settings: Settings) -> Self {
        let mut out = Vec::new();
        Self { connection: Connection::new(Arc::new(settings), &mut out), out, now: 0 }
    }

    /// Sends bytes, and returns what they meant.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        self.say_to(bytes, |_, said_now, _| said.push(said_now));
        said
    }

    /// Sends bytes to somebody who does something about them.
    pub(crate) fn say_to(
        &mut self,
        mut bytes: &[u8],
        mut act: impl FnMut(&mut Connection, Said, &mut Vec<u8>),
    ) {
        loop {
            match self.connection.receive(&mut bytes, self.now, &mut self.out) {
                Ok(Some(event)) => act(&mut self.connection, event.into(), &mut self.out),
                Ok(None) => break,
                Err(ConnectionError { code, .. }) => {
                    act(&mut self.connection, Said::Failed(code), &mut self.out);
                    break;
                }
            }
        }
        assert_eq!(bytes, b"", "all is taken");
    }

    /// The frames that came.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        let bytes = std::mem::take(&mut self.out);
        let (frames, rest) = frames(&bytes);
        assert_eq!(rest, b"");
        frames
    }

    /// A request without a body.
    pub(crate) fn get(&mut self, stream: StreamId) {
        let said = self.say(&frame(HEADERS, END, stream, &request("GET", &[])));
        assert!(matches!(said[..], [Said::Request(_, _, true)]), "{said:?}");
    }

    /// A request whose body follows.
    pub(crate) fn post(&mut self, stream: StreamId) {
        let said = self.say(&frame(HEADERS, END_HEADERS, stream, &request("POST", &[])));
        assert!(matches!(said[..], [Said::Request(_, _, false)]), "{said:?}");
    }

    /// The head of an answer.
    pub(crate) fn answer(&mut self, stream: StreamId) {
        let headers = HeaderMap::new();
        self.connection.respond(stream, http::StatusCode::OK, &headers, false, &mut self.out).unwrap();
        self.out.clear();
    }

    pub(crate) fn send(&mut self, stream: StreamId, bytes: &[u8], end: bool) -> Option<usize> {
        self.connection.send(stream, bytes, end, &mut self.out).ok()
    }
}

/// Takes apart what was sent; what is no whole frame is left.
pub(crate) fn frames(mut bytes: &[u8]) -> (Vec<Frame>, &[u8]) {
    let mut frames = Vec::new();
    while let Some(([high, middle, low, kind, flags, stream @ ..], rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes(*stream);
        frames.push(Frame { kind: *kind, flags: *flags, stream, payload: payload.to_vec() });
        bytes = rest;
    }
    (frames, bytes)
}

/// A frame as it is sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field as a literal.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        let mut rest = text.len();
        if rest < 127 {
            block.push(u8::try_from(rest).unwrap());
        } else {
            block.push(127);
            rest -= 127;
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
        block.extend(text.as_bytes());
    }
    block
}

/// The fields of a request, and others.
pub(crate) fn request(method: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let common = [(":method", method), (":scheme", "https"), (":path", "/topics/a"), (":authority", "hub")];
    common.iter().chain(fields).flat_map(|(name, value)| field(name, value)).collect()
}

/// What tells of an error.
pub(crate) fn reset(stream: u32, code: ErrorCode) -> Frame {
    Frame { kind: RST_STREAM, flags: 0, stream, payload: code.0.to_be_bytes().to_vec() }
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Frame {
    Frame { kind: WINDOW_UPDATE, flags: 0, stream, payload: increment.to_be_bytes().to_vec() }
}
