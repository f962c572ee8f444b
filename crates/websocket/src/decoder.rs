use crate::deflate::{InflateError, Inflater};
use crate::frame::{FrameHead, MAX_HEAD_BYTES, Opcode};
use crate::limits::{EMPTY_FRAGMENTS, compressed_bytes};
use crate::mask::mask;
use crate::utf8::Utf8;
use crate::{CloseCode, Message, ProtocolError};

/// What a peer sends, as bytes, becomes what it says (RFC 6455 §5 to §8.1, RFC 7692 §7.2.2).
///
/// ```
/// use tidings_websocket::{CloseCode, Decoder, Inflater, Message};
///
/// let (mut decoder, mut inflater) = (Decoder::server(1_000, false), Inflater::default());
/// let mut read = &b"\x01\x83\0\0\0\0one\x89\x80\0\0\0\0\x80\x84\0\0\0\0 two\x83"[..];
/// assert_eq!(decoder.receive(&mut read, &mut inflater), Ok(Some(Message::Ping(vec![]))));
/// assert_eq!(decoder.receive(&mut read, &mut inflater), Ok(Some(Message::Text("one two".into()))));
/// assert_eq!(decoder.receive(&mut read, &mut inflater), Ok(None));
/// let error = decoder.receive(&mut &b"\x80"[..], &mut inflater).unwrap_err();
/// assert_eq!((error.code, error.reason), (CloseCode::PROTOCOL, "a frame has an unknown opcode"));
/// ```
#[derive(Debug)]
pub struct Decoder {
    /// What has come in part; there only while there is such a thing.
    partial: Option<Box<Partial>>,
    max_message: usize,
    is_server: bool,
    deflate: bool,
    is_closed: bool,
}

/// What has come of a frame and of a message.
#[derive(Debug, Default)]
struct Partial {
    head: Bytes<MAX_HEAD_BYTES>,
    frame: Option<Frame>,
    message: Option<Fragments>,
    /// The payload of a control frame, which may come between fragments.
    control: Vec<u8>,
}

/// A frame whose head is known.
#[derive(Debug, Clone, Copy)]
struct Frame {
    head: FrameHead,
    /// How much of its payload has come.
    taken: u64,
}

/// A message that has not come whole.
#[derive(Debug)]
struct Fragments {
    is_text: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
    utf8: Utf8,
    empty: u8,
}

/// A few bytes.
#[derive(Debug, Clone, Copy)]
struct Bytes<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

// === impl Decoder ===

impl Decoder {
    /// What a server reads: a client's frames are masked. A message may have so many bytes, put together and inflated.
    /// `deflate` says whether `permessage-deflate` was agreed upon.
    #[must_use]
    pub const fn server(max_message: usize, deflate: bool) -> Self {
        Self { partial: None, max_message, is_server: true, deflate, is_closed: false }
    }

    /// What a client reads: a server's frames are not masked.
    #[must_use]
    pub const fn client(max_message: usize, deflate: bool) -> Self {
        Self { partial: None, max_message, is_server: false, deflate, is_closed: false }
    }

    /// Whether all that came was a whole number of messages.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Whether the peer said its last, or what cannot be: whatever else comes is passed over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What is kept beside the decoder itself, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let message = partial.message.as_ref().map_or(0, |message| message.bytes.capacity());
            size_of::<Partial>() + partial.control.capacity() + message
        })
    }

    /// Takes bytes off `input` until there is a message. All of it was taken where there is none.
    ///
    /// # Errors
    /// Where the peer does what it may not. The socket is to be closed with that code; the rest of the input is taken.
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Message>, ProtocolError> {
        if self.is_closed {
            *input = &[];
            return Ok(None);
        }
        let mut partial = self.partial.take().map_or_else(Partial::default, |partial| *partial);
        let received = self.advance(&mut partial, input, inflater);
        if matches!(received, Err(_) | Ok(Some(Message::Close { .. }))) {
            self.is_closed = true;
            *input = &[];
        } else if !partial.is_nothing() {
            self.partial = Some(Box::new(partial));
        }
        received
    }

    fn advance(
        &self,
        partial: &mut Partial,
        input: &mut &[u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Message>, ProtocolError> {
        loop {
            let Some(mut frame) = partial.frame.take() else {
                let Some(head) = partial.take_head(input)? else { return Ok(None) };
                self.check(&head, partial)?;
                partial.frame = Some(Frame { head, taken: 0 });
                continue;
            };
            let left = usize::try_from(frame.head.length - frame.taken).unwrap_or(usize::MAX);
            let (piece, rest) = input.split_at(left.min(input.len()));
            *input = rest;
            let is_whole = piece.len() == left;
            partial.append(&frame, piece);
            frame.taken += piece.len() as u64;
            if !is_whole {
                partial.frame = Some(frame);
            }
            if frame.head.opcode.is_control() {
                if !is_whole {
                    return Ok(None);
                }
                return control(frame.head.opcode, std::mem::take(&mut partial.control)).map(Some);
            }
            if is_whole && frame.head.is_last {
                let message = partial.message.take();
                return message.map(|message| self.whole(message, inflater)).transpose();
            }
            if let Some(message) = &mut partial.message {
                message.check()?;
            }
            if !is_whole {
                return Ok(None);
            }
        }
    }

    /// What can be known of a frame before its payload has come. The first fragment of a message begins it.
    fn check(&self, head: &FrameHead, partial: &mut Partial) -> Result<(), ProtocolError> {
        // §5.1.
        if self.is_server && head.mask.is_none() {
            return Err(ProtocolError::protocol("a client's frame is not masked"));
        }
        if !self.is_server && head.mask.is_some() {
            return Err(ProtocolError::protocol("a server's frame is masked"));
        }
        // RFC 7692 §6: the bit is for the first frame of a message.
        let may_be_compressed = self.deflate && matches!(head.opcode, Opcode::Text | Opcode::Binary);
        if head.is_compressed && !may_be_compressed {
            return Err(ProtocolError::protocol("a frame has reserved bits set"));
        }
        if head.opcode.is_control() {
            return Ok(());
        }
        // §5.4.
        let message = match (head.opcode, &mut partial.message) {
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Continuation, None) => {
                return Err(ProtocolError::protocol("a continuation continues nothing"));
            }
            (_, Some(_)) => {
                return Err(ProtocolError::protocol("a message begins before the one before it has ended"));
            }
            (opcode, none) => none.insert(Fragments {
                is_text: opcode == Opcode::Text,
                is_compressed: head.is_compressed,
                bytes: Vec::new(),
                utf8: Utf8::default(),
                empty: 0,
            }),
        };
        let limit = if message.is_compressed { compressed_bytes(self.max_message) } else { self.max_message };
        if head.length > (limit - message.bytes.len()) as u64 {
            return Err(ProtocolError::size());
        }
        if head.length == 0 && !head.is_last {
            message.empty += 1;
            if message.empty > EMPTY_FRAGMENTS {
                return Err(ProtocolError {
                    code: CloseCode::POLICY,
                    reason: "a message has too many empty fragments",
                });
            }
        }
        Ok(())
    }

    fn whole(&self, message: Fragments, inflater: &mut Inflater) -> Result<Message, ProtocolError> {
        let bytes = if message.is_compressed {
            inflater.inflate(&message.bytes, self.max_message).map_err(|error| match error {
                InflateError::TooLarge => ProtocolError::size(),
                InflateError::Malformed => {
                    ProtocolError { code: CloseCode::INVALID_DATA, reason: "a message cannot be inflated" }
                }
            })?
        } else {
            message.bytes
        };
        if message.is_text {
            String::from_utf8(bytes).map(Message::Text).map_err(|_| ProtocolError::text())
        } else {
            Ok(Message::Binary(bytes))
        }
    }
}

/// A control frame that is whole (§5.5).
fn control(opcode: Opcode, payload: Vec<u8>) -> Result<Message, ProtocolError> {
    match opcode {
        Opcode::Ping => return Ok(Message::Ping(payload)),
        Opcode::Pong => return Ok(Message::Pong(payload)),
        _ => {}
    }
    match *payload {
        [] => Ok(Message::Close { code: None, reason: String::new() }),
        [_] => Err(ProtocolError::protocol("half a close code")),
        [first, second, ref reason @ ..] => {
            let code = CloseCode(u16::from_be_bytes([first, second]));
            if !code.may_be_sent() {
                return Err(ProtocolError::protocol("a close code that no frame may have"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::text())?;
            Ok(Message::Close { code: Some(code), reason: reason.to_owned() })
        }
    }
}

// === impl Partial ===

impl Partial {
    fn is_nothing(&self) -> bool {
        self.head.length == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// The head of the next frame, once it is whole.
    fn take_head(&mut self, input: &mut &[u8]) -> Result<Option<FrameHead>, ProtocolError> {
        let before = self.head.length;
        let kept = self.head.extend(input);
        let Some((head, length)) = FrameHead::parse(self.head.as_slice())? else {
            *input = &input[kept..];
            return Ok(None);
        };
        *input = &input[length - before..];
        self.head.length = 0;
        Ok(Some(head))
    }

    /// Memory is taken for what has come, not for what is announced.
    fn append(&mut self, frame: &Frame, piece: &[u8]) {
        let bytes = match &mut self.message {
            Some(message) if !frame.head.opcode.is_control() => &mut message.bytes,
            _ => &mut self.control,
        };
        let start = bytes.len();
        bytes.extend_from_slice(piece);
        if let Some(key) = frame.head.mask {
            // The place in the mask repeats every four bytes.
            mask(&mut bytes[start..], key, (frame.taken % 4) as usize);
        }
    }
}

// === impl Fragments ===

impl Fragments {
    /// Text that cannot become UTF-8 is told before it has ended (§8.1).
    fn check(&mut self) -> Result<(), ProtocolError> {
        if !self.is_text || self.is_compressed {
            return Ok(());
        }
        self.utf8.grown(&self.bytes).map_err(|_| ProtocolError::text())
    }
}

// === impl Bytes ===

impl<const N: usize> Bytes<N> {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Appends what there is room for, and says how much that is.
    fn extend(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(N - self.length);
        self.bytes[self.length..self.length + taken].copy_from_slice(&input[..taken]);
        self.length += taken;
        taken
    }
}

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self { bytes: [0; N], length: 0 }
    }
}
