//! Frames, as RFC 9113 lays them out.

use crate::bench::connection::ConnectionError;

/// A whole frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: &'a [u8],
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITY: u8 = 0x20;

pub(super) const FRAME_HEAD_BYTES: usize = 9;
/// The largest frame, until somebody says otherwise, which nobody does here.
pub(super) const FRAME_BYTES: usize = 16 << 10;

// === impl Frame ===

impl<'a> Frame<'a> {
    /// What is in it beside padding and priorities.
    pub(super) fn without_padding(self) -> Result<&'a [u8], ConnectionError> {
        const WRONG: ConnectionError = ConnectionError::Frame("a frame is shorter than it says");
        let mut payload = self.payload;
        if self.flags & PADDED != 0 {
            let (&padding, rest) = payload.split_first().ok_or(WRONG)?;
            let length = rest.len().checked_sub(padding.into()).ok_or(WRONG)?;
            payload = &rest[..length];
        }
        if self.kind == HEADERS && self.flags & PRIORITY != 0 {
            payload = payload.get(5..).ok_or(WRONG)?;
        }
        Ok(payload)
    }
}

pub(super) fn number(payload: &[u8], place: usize) -> Result<u32, ConnectionError> {
    let bytes = payload.get(place..place + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or(ConnectionError::Frame("a frame is too short"))
}

pub(super) fn write_head(length: usize, kind: u8, flags: u8, stream: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

pub(super) fn write_window_update(stream: u32, count: usize, out: &mut Vec<u8>) {
    write_head(4, WINDOW_UPDATE, 0, stream, out);
    out.extend_from_slice(&(count as u32).to_be_bytes());
}

pub(super) fn code_name(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).map_or_else(|| format!("error {code:#x}"), |name| (*name).to_owned())
}
