use std::ops::Deref;

use crate::CloseCode;
use crate::frame::Opcode;
use crate::limits::REASON_BYTES;
use crate::mask::mask;

/// The head of an unmasked frame, 2 to 10 bytes.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; 10],
    length: u8,
}

/// The head of a whole frame that a server sends: a payload of so many bytes is to follow. `compressed` says that a
/// [`Deflater`](crate::Deflater) made them, for a client that agreed to it.
#[must_use]
pub fn head(opcode: Opcode, compressed: bool, length: usize) -> Head {
    let first = 0x80 | if compressed { 0x40 } else { 0 } | opcode as u8;
    let mut bytes = [first, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let wide = (length as u64).to_be_bytes();
    let length = if length < 126 {
        bytes[1] = wide[7];
        2
    } else if length < 1 << 16 {
        bytes[1] = 126;
        bytes[2..4].copy_from_slice(&wide[6..]);
        4
    } else {
        bytes[1] = 127;
        bytes[2..].copy_from_slice(&wide);
        10
    };
    Head { bytes, length }
}

/// Appends a whole frame of a server.
pub fn encode(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    append(&head(opcode, false, payload.len()), payload, out);
}

/// Appends a whole frame of a server whose payload a [`Deflater`](crate::Deflater) made.
pub fn encode_compressed(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    append(&head(opcode, true, payload.len()), payload, out);
}

/// Appends a server's close frame. The reason is cut between two characters where it is too long.
pub fn encode_close(code: CloseCode, reason: &str, out: &mut Vec<u8>) {
    encode(Opcode::Close, &close_payload(code, reason), out);
}

/// Appends a server's answer to a close frame: its code (RFC 6455 §5.5.1).
pub fn encode_close_reply(received: Option<CloseCode>, out: &mut Vec<u8>) {
    match received {
        Some(code) => encode_close(code, "", out),
        None => encode(Opcode::Close, b"", out),
    }
}

/// Appends a whole frame of a client, whose bytes are masked with a key that nobody can foresee (RFC 6455 §5.3).
pub fn encode_masked(opcode: Opcode, payload: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    let mut head = head(opcode, false, payload.len());
    head.bytes[1] |= 0x80;
    out.reserve(head.len() + key.len() + payload.len());
    out.extend_from_slice(&head);
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], key, 0);
}

/// Appends a client's close frame.
pub fn encode_masked_close(code: CloseCode, reason: &str, key: [u8; 4], out: &mut Vec<u8>) {
    encode_masked(Opcode::Close, &close_payload(code, reason), key, out);
}

fn append(head: &Head, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(head.len() + payload.len());
    out.extend_from_slice(head);
    out.extend_from_slice(payload);
}

fn close_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let end = (0..=REASON_BYTES.min(reason.len())).rev().find(|&end| reason.is_char_boundary(end));
    let reason = &reason[..end.unwrap_or(0)];
    [&code.0.to_be_bytes(), reason.as_bytes()].concat()
}

// === impl Head ===

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length.into()]
    }
}
