//! HTTP/2 as far as it must be: whatever stream is opened and ended at once subscribes, and one with a body publishes. Heads are not
//! looked at, and windows neither: they are larger than what a run brings.

/// The streams of a connection.
#[derive(Default)]
pub(crate) struct Http2 {
    begun: bool,
    pub(crate) subscribers: Vec<u32>,
    body: Vec<u8>,
}

/// What a peer wants.
pub(crate) enum Wish {
    Subscribe,
    Publish { stream: u32, data: Vec<u8> },
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const FRAME_BYTES: usize = 16 << 10;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200`, and `content-type: text/event-stream`
const STREAM_HEAD: &[u8] = b"\x88\x0f\x10\x11text/event-stream";
const RECEIPT: &[u8] = b"\x88";

// === impl Http2 ===

impl Http2 {
    /// Takes the next whole frame off the front of what has come, as far as one is wanted for something.
    pub(crate) fn take(&mut self, asked: &mut Vec<u8>, out: &mut Vec<u8>) -> Option<Wish> {
        if !self.begun {
            if asked.len() < PREFACE.len() {
                return None;
            }
            self.begun = true;
            asked.drain(..PREFACE.len());
            write_frame(SETTINGS, 0, 0, &[], out);
        }
        while let Some(head) = asked.get(..HEAD_BYTES) {
            let end = HEAD_BYTES + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if asked.len() < end {
                return None;
            }
            let payload: Vec<u8> = asked.drain(..end).skip(HEAD_BYTES).collect();
            match kind {
                SETTINGS if flags & ACK == 0 => write_frame(SETTINGS, ACK, 0, &[], out),
                PING if flags & ACK == 0 => write_frame(PING, ACK, 0, &payload, out),
                HEADERS if flags & END_STREAM != 0 => {
                    self.subscribers.push(stream);
                    write_frame(HEADERS, END_HEADERS, stream, STREAM_HEAD, out);
                    return Some(Wish::Subscribe);
                }
                DATA => {
                    self.body.extend(payload);
                    if flags & END_STREAM != 0 {
                        return Some(Wish::Publish { stream, data: std::mem::take(&mut self.body) });
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Adds `bytes` for each subscriber.
    pub(crate) fn deliver(&self, bytes: &[u8], out: &mut Vec<u8>) {
        for stream in &self.subscribers {
            bytes.chunks(FRAME_BYTES).for_each(|piece| write_frame(DATA, 0, *stream, piece, out));
        }
    }
}

pub(crate) fn write_receipt(stream: u32, out: &mut Vec<u8>) {
    write_frame(HEADERS, END_HEADERS | END_STREAM, stream, RECEIPT, out);
}

fn write_frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}
