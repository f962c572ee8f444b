use crate::ProtocolError;
use crate::limits::CONTROL_BYTES;

/// What a frame is (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0x0,
    /// Text, or its first fragment.
    Text = 0x1,
    /// Bytes, or their first fragment.
    Binary = 0x2,
    /// The last frame of its side.
    Close = 0x8,
    /// It asks for a pong.
    Ping = 0x9,
    /// A ping's answer.
    Pong = 0xa,
}

/// The most bytes that a frame's head has.
pub(crate) const MAX_HEAD_BYTES: usize = 14;

/// What a frame says of itself before its payload (§5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) opcode: Opcode,
    pub(crate) is_last: bool,
    /// RSV1: the message that begins here is compressed (RFC 7692 §6).
    pub(crate) is_compressed: bool,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) length: u64,
}

// === impl Opcode ===

impl Opcode {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is a frame of its own, which may come between the fragments of a message (§5.5).
    pub(crate) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

// === impl FrameHead ===

impl FrameHead {
    /// The head that `bytes` begin with, and its length; `None` where it has not come whole. What cannot be right is
    /// told as soon as it can be seen.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let (is_last, is_masked, length) = (first & 0x80 != 0, second & 0x80 != 0, second & 0x7f);
        let Some(opcode) = Opcode::from_number(first & 0xf) else {
            return Err(ProtocolError::protocol("a frame has an unknown opcode"));
        };
        if first & 0x30 != 0 {
            return Err(ProtocolError::protocol("a frame has reserved bits set"));
        }
        if opcode.is_control() && !is_last {
            return Err(ProtocolError::protocol("a control frame is fragmented"));
        }
        if opcode.is_control() && usize::from(length) > CONTROL_BYTES {
            return Err(ProtocolError::protocol("a control frame has more than 125 bytes"));
        }
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((number, rest)) = rest.split_at_checked(extended) else { return Ok(None) };
        let length = match extended {
            0 => length.into(),
            _ => number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        };
        match extended {
            8 if length >> 63 != 0 => return Err(ProtocolError::protocol("a frame's length is negative")),
            8 if length < 1 << 16 => return Err(ProtocolError::protocol("a frame's length is not minimal")),
            2 if length < 126 => return Err(ProtocolError::protocol("a frame's length is not minimal")),
            _ => {}
        }
        let mask = match (is_masked, rest) {
            (false, _) => None,
            (true, &[a, b, c, d, ..]) => Some([a, b, c, d]),
            (true, _) => return Ok(None),
        };
        let head = Self { opcode, is_last, is_compressed: first & 0x40 != 0, mask, length };
        Ok(Some((head, 2 + extended + if is_masked { 4 } else { 0 })))
    }
}
