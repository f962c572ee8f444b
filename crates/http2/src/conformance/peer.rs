use super::encoder::Encoder;
use super::{Received, Server, Transport};
use crate::ErrorCode;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const WITH_PRIORITY: u8 = 32;
/// A head that is a whole request.
pub(super) const END: u8 = END_STREAM | END_HEADERS;

pub(super) const SETTINGS_HEADER_TABLE_SIZE: u16 = 1;
pub(super) const SETTINGS_ENABLE_PUSH: u16 = 2;
pub(super) const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const SETTINGS_MAX_FRAME_SIZE: u16 = 5;

/// A client that says whatever it is told to.
pub struct Peer {
    transport: Box<dyn Transport>,
    unread: Vec<u8>,
    encoder: Encoder,
    settings: Vec<(u16, u32)>,
    scheme: String,
    authority: String,
    path: String,
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A frame.
    Frame(Frame),
    /// Nothing, for so long that nothing will come.
    Nothing,
    /// The end of the connection.
    End,
}

/// What a case ends with.
pub(super) type Outcome = Result<(), String>;

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

// === impl Frame ===

impl Frame {
    /// The code of an error that it tells of.
    fn code(&self) -> Option<ErrorCode> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let code = self.payload.get(at..)?.first_chunk()?;
        Some(ErrorCode(u32::from_be_bytes(*code)))
    }
}

// === impl Peer ===

impl Peer {
    /// A client of a server, which has said nothing yet.
    #[must_use]
    pub fn new(server: &dyn Server) -> Self {
        Self {
            transport: server.connect(),
            unread: Vec::new(),
            encoder: Encoder::default(),
            settings: Vec::new(),
            scheme: server.scheme().into(),
            authority: server.authority().into(),
            path: server.path().into(),
        }
    }

    /// Sends any bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.transport.send(bytes);
    }

    /// Sends any frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.raw(&bytes);
    }

    pub(super) fn settings(&mut self, settings: &[(u16, u32)]) {
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        self.frame(SETTINGS, 0, 0, &payload);
    }

    /// Agrees on settings (RFC 9113 §3.4).
    ///
    /// # Errors
    /// Where the server does not.
    pub fn handshake(&mut self) -> Result<(), String> {
        self.raw(crate::PREFACE);
        self.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 65_535)]);
        let (mut acknowledged, mut announced) = (false, false);
        while !(acknowledged && announced) {
            let Seen::Frame(frame) = self.receive() else { return Err("the server has no settings".into()) };
            if frame.kind != SETTINGS {
                continue;
            }
            if frame.flags & ACK != 0 {
                acknowledged = true;
                continue;
            }
            announced = true;
            for pair in frame.payload.chunks_exact(6) {
                let id = u16::from_be_bytes([pair[0], pair[1]]);
                self.settings.push((id, u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]])));
            }
            self.frame(SETTINGS, ACK, 0, &[]);
        }
        Ok(())
    }

    /// What the server has announced.
    pub(super) fn setting(&self, id: u16) -> Option<u32> {
        self.settings.iter().rev().find(|setting| setting.0 == id).map(|setting| setting.1)
    }

    /// What the next thing is that comes.
    pub fn receive(&mut self) -> Seen {
        loop {
            if let Some(head) = self.unread.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let (kind, flags) = (head[3], head[4]);
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                if self.unread.len() >= 9 + length {
                    let payload = self.unread[9..9 + length].to_vec();
                    self.unread.drain(..9 + length);
                    return Seen::Frame(Frame { kind, flags, stream, payload });
                }
            }
            match self.transport.receive() {
                Received::Bytes(bytes) => self.unread.extend(bytes),
                Received::Nothing => return Seen::Nothing,
                Received::End => return Seen::End,
            }
        }
    }

    /// The fields of a request, changed and with others after them.
    pub(super) fn fields(&mut self, method: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let (scheme, path, authority) = (self.scheme.clone(), self.path.clone(), self.authority.clone());
        let common =
            [(":method", method), (":scheme", &*scheme), (":path", &*path), (":authority", &*authority)];
        self.block(&[&common[..], more].concat())
    }

    /// The fields of a GET without one of them, which is given another value or left out.
    pub(super) fn fields_but(&mut self, name: &str, value: Option<&str>) -> Vec<u8> {
        let (scheme, path, authority) = (self.scheme.clone(), self.path.clone(), self.authority.clone());
        let fields =
            [(":method", "GET"), (":scheme", &*scheme), (":path", &*path), (":authority", &*authority)];
        let fields: Vec<_> = fields
            .into_iter()
            .filter_map(|field| if field.0 == name { Some((field.0, value?)) } else { Some(field) })
            .collect();
        self.block(&fields)
    }

    pub(super) fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        self.encoder.encode(fields)
    }

    /// A field with a value of as many bytes as h2spec's have.
    pub(super) fn dummy(&mut self) -> Vec<u8> {
        self.block(&[("x-dummy0", &"x".repeat(4_000))])
    }

    pub(super) fn headers(&mut self, stream: u32, flags: u8, block: &[u8]) {
        self.frame(HEADERS, flags, stream, block);
    }

    /// A whole request.
    pub(super) fn get(&mut self, stream: u32) {
        let block = self.fields("GET", &[]);
        self.headers(stream, END, &block);
    }

    /// The head of a request whose body follows.
    pub(super) fn post(&mut self, stream: u32, more: &[(&str, &str)]) {
        let block = self.fields("POST", more);
        self.headers(stream, END_HEADERS, &block);
    }

    pub(super) fn data(&mut self, stream: u32, flags: u8, data: &[u8]) {
        self.frame(DATA, flags, stream, data);
    }

    pub(super) fn ping(&mut self) {
        self.frame(PING, 0, 0, b"h2spec\0\0");
    }

    pub(super) fn window(&mut self, stream: u32, increment: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
    }

    pub(super) fn reset(&mut self, stream: u32, code: u32) {
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// Says that a stream depends on another.
    pub(super) fn priority(&mut self, stream: u32, on: u32, weight: u8) {
        self.frame(PRIORITY, 0, stream, &[&on.to_be_bytes()[..], &[weight]].concat());
    }

    /// Reads until something comes that is looked for. The end of the connection may be what is looked for.
    pub(super) fn until(&mut self, expected: &str, mut is_it: impl FnMut(&Seen) -> bool) -> Outcome {
        let mut others = Vec::new();
        loop {
            let seen = self.receive();
            if is_it(&seen) {
                return Ok(());
            }
            let is_last = !matches!(seen, Seen::Frame(_));
            others.push(match seen {
                Seen::Frame(mut frame) => {
                    frame.payload.truncate(16);
                    format!("{frame:?}")
                }
                other => format!("{other:?}"),
            });
            if is_last {
                return Err(format!("{expected} had to come; there came {}", others.join(", ")));
            }
        }
    }

    /// The server tells of an error of the connection, and closes it. h2spec takes the end alone for that as well.
    pub(super) fn connection_error(&mut self, codes: &[ErrorCode]) -> Outcome {
        let told = |seen: &Seen| matches!(seen, Seen::Frame(frame) if frame.kind == GOAWAY && codes.contains(&frame.code().unwrap_or(ErrorCode::NO_ERROR)));
        self.until(&format!("GOAWAY with {codes:?}"), told)?;
        self.connection_end()
    }

    /// The server tells of an error of a stream, or of the connection.
    pub(super) fn stream_error(&mut self, codes: &[ErrorCode]) -> Outcome {
        let told = |seen: &Seen| matches!(seen, Seen::Frame(frame) if frame.code().is_some_and(|code| codes.contains(&code)));
        self.until(&format!("RST_STREAM or GOAWAY with {codes:?}"), told)
    }

    pub(super) fn connection_end(&mut self) -> Outcome {
        self.until("the end of the connection", |seen| *seen == Seen::End)
    }

    /// The server's response is whole.
    pub(super) fn response_end(&mut self) -> Outcome {
        let ends = |seen: &Seen| matches!(seen, Seen::Frame(frame) if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0);
        self.until("the end of a response", ends)
    }

    pub(super) fn response(&mut self, stream: u32) -> Outcome {
        let begins = |seen: &Seen| matches!(seen, Seen::Frame(frame) if frame.kind == HEADERS && frame.stream == stream);
        self.until("a response", begins)
    }

    pub(super) fn data_of(&mut self, bytes: usize) -> Outcome {
        let mut first = None;
        let is_data = |seen: &Seen| match seen {
            Seen::Frame(frame) if frame.kind == DATA => {
                first = Some(frame.payload.len());
                true
            }
            _ => false,
        };
        self.until("data", is_data)?;
        if first == Some(bytes) {
            Ok(())
        } else {
            Err(format!("{bytes} bytes had to come, and not {first:?}"))
        }
    }

    pub(super) fn pong(&mut self) -> Outcome {
        let is_pong = |seen: &Seen| matches!(seen, Seen::Frame(frame) if frame.kind == PING && frame.flags & ACK != 0 && frame.payload == b"h2spec\0\0");
        self.until("the acknowledgement of the ping", is_pong)
    }

    pub(super) fn settings_ack(&mut self) -> Outcome {
        let is_ack = |seen: &Seen| matches!(seen, Seen::Frame(frame) if frame.kind == SETTINGS && frame.flags & ACK != 0);
        self.until("the acknowledgement of settings", is_ack)
    }
}
