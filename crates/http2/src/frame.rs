use crate::ErrorCode;

/// The bytes before the payload of a frame (RFC 9113 §4.1).
pub(crate) const HEAD_BYTES: usize = 9;

/// The type of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) u8);

/// What stands before the payload of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

pub(crate) mod flags {
    pub(crate) const ACK: u8 = 0x1;
    pub(crate) const END_STREAM: u8 = 0x1;
    pub(crate) const END_HEADERS: u8 = 0x4;
    pub(crate) const PADDED: u8 = 0x8;
    pub(crate) const PRIORITY: u8 = 0x20;
}

// === impl Kind ===

impl Kind {
    pub(crate) const DATA: Self = Self(0);
    pub(crate) const HEADERS: Self = Self(1);
    pub(crate) const PRIORITY: Self = Self(2);
    pub(crate) const RST_STREAM: Self = Self(3);
    pub(crate) const SETTINGS: Self = Self(4);
    pub(crate) const PUSH_PROMISE: Self = Self(5);
    pub(crate) const PING: Self = Self(6);
    pub(crate) const GOAWAY: Self = Self(7);
    pub(crate) const WINDOW_UPDATE: Self = Self(8);
    pub(crate) const CONTINUATION: Self = Self(9);
    /// RFC 9218 §7.1.
    pub(crate) const PRIORITY_UPDATE: Self = Self(16);
}

// === impl Head ===

impl Head {
    /// The head of the frame that begins here; `None`, where it is not all there.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, stream @ ..] = bytes.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, *high, *middle, *low]) as usize,
            kind: Kind(*kind),
            flags: *flags,
            // The first bit is reserved, and ignored.
            stream: u32::from_be_bytes(*stream) & 0x7fff_ffff,
        })
    }

    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Writes what stands before a payload of at most 2^24-1 bytes.
pub(crate) fn write_head(length: usize, kind: Kind, flags: u8, stream: u32, out: &mut Vec<u8>) {
    let [low, middle, high, ..] = length.to_le_bytes();
    let [first, second, third, fourth] = stream.to_be_bytes();
    out.extend_from_slice(&[high, middle, low, kind.0, flags, first, second, third, fourth]);
}

pub(crate) fn write_reset(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    write_head(4, Kind::RST_STREAM, 0, stream, out);
    out.extend_from_slice(&code.0.to_be_bytes());
}

pub(crate) fn write_window_update(stream: u32, increment: u32, out: &mut Vec<u8>) {
    write_head(4, Kind::WINDOW_UPDATE, 0, stream, out);
    out.extend_from_slice(&increment.to_be_bytes());
}

pub(crate) fn write_settings_ack(out: &mut Vec<u8>) {
    write_head(0, Kind::SETTINGS, flags::ACK, 0, out);
}

pub(crate) fn write_ping(payload: &[u8], flags: u8, out: &mut Vec<u8>) {
    write_head(payload.len(), Kind::PING, flags, 0, out);
    out.extend_from_slice(payload);
}

pub(crate) fn write_go_away(last: u32, code: ErrorCode, debug: &str, out: &mut Vec<u8>) {
    write_head(8 + debug.len(), Kind::GOAWAY, 0, 0, out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(debug.as_bytes());
}

/// The number of 31 bits that a payload begins with; the bit before it is reserved, and ignored.
pub(crate) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}

/// The code that a payload begins with.
pub(crate) fn code(payload: &[u8]) -> ErrorCode {
    ErrorCode(payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)))
}

/// A payload without its padding (RFC 9113 §6.1); `None`, where that is longer than the payload.
pub(crate) fn unpadded(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(flags::PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}
