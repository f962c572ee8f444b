//! What the fuzz targets of this crate do with their input. See `fuzz/README.md`.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::hpack::{DecodeError, Decoder, encode_field};
use crate::{Connection, Event, PREFACE, Settings};

/// The most that a list of fields may have here.
const LIST_BYTES: usize = 2_000;
/// What a table may have, with its lengths.
const TABLE_BYTES: usize = 4_096;

/// However what a client sends is cut into pieces, it means the same; it is answered with whole frames, and with no
/// more than was sent, beside the bodies of answers; and what is kept of it is bounded. The first byte is the length of
/// the pieces, the second one says how much of a body is answered.
pub fn frames(input: &[u8]) {
    let [length, body, frames @ ..] = input else { return };
    let bytes = [&PREFACE[..], b"\0\0\0\x04\0\0\0\0\0", frames].concat();
    let whole = answers(&bytes, bytes.len(), (*body).into());
    assert_eq!(answers(&bytes, usize::from(*length).max(1), (*body).into()), whole);
}

/// What a server says that answers each request at once, with a body of so many bytes, and what it was told.
fn answers(bytes: &[u8], length: usize, body: usize) -> (Vec<u8>, String) {
    let settings = Settings {
        max_concurrent_streams: 4,
        max_header_list_size: u32::try_from(LIST_BYTES).unwrap_or(0),
        initial_window_size: 1_000,
        enable_connect_protocol: true,
        ..Settings::default()
    };
    let (mut out, mut said) = (Vec::new(), Events::default());
    let mut connection = Connection::new(Arc::new(settings), &mut out);
    let body = vec![0; body];
    let mut answered = 0;
    for piece in bytes.chunks(length) {
        let mut input = piece;
        loop {
            let event = match connection.receive(&mut input, 0, &mut out) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    said.text(&format!("{error}"));
                    assert!(connection.is_closed());
                    assert!(connection.receive(&mut &b"more"[..], 0, &mut out).is_err());
                    assert_whole(&out);
                    return (out, said.all);
                }
            };
            let before = out.len();
            match &event {
                Event::Request { stream, head, .. } => {
                    drop(head.uri());
                    connection
                        .respond(*stream, StatusCode::OK, &HeaderMap::new(), false, &mut out)
                        .unwrap_or(());
                    _ = connection.send(*stream, &body, stream % 4 == 1, &mut out);
                }
                Event::HeadTooLarge { stream, .. } => {
                    connection.reset(*stream, crate::ErrorCode::NO_ERROR, &mut out);
                }
                Event::Room { stream, .. } => {
                    let sent = connection.send(*stream, &body, true, &mut out);
                    assert!(sent.is_ok_and(|sent| sent > 0) || body.is_empty());
                }
                Event::Data { .. } if body.len() > 100 => {}
                // Where and how windows are opened again depends on the pieces; so all is used at the end alone.
                Event::Data { stream, end: true, .. } => connection.consumed(*stream, usize::MAX, &mut out),
                _ => {}
            }
            answered += out.len() - before;
            said.event(&event);
        }
        assert!(input.is_empty());
        assert!(connection.open_streams() <= 4);
        assert!(connection.memory() <= 4 * LIST_BYTES + crate::limits::FRAME_BYTES * 4 + TABLE_BYTES + 2_000);
    }
    assert_whole(&out);
    assert!(out.len() <= 2 * bytes.len() + answered + 200);
    (out, said.all)
}

/// Events, with the pieces of data put together.
#[derive(Default)]
struct Events {
    all: String,
    data: Option<u32>,
}

// === impl Events ===

impl Events {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Data { stream, bytes, end, .. } = event {
            if self.data.replace(*stream) != Some(*stream) {
                self.all += &format!("\ndata of {stream}: ");
            }
            self.all += &format!("{}{}", bytes.escape_ascii(), if *end { " end" } else { "" });
        } else {
            self.text(&format!("{event:?}"));
        }
    }

    fn text(&mut self, text: &str) {
        self.data = None;
        self.all += "\n";
        self.all += text;
    }
}

/// What is sent is frames of lengths that every client takes.
fn assert_whole(mut out: &[u8]) {
    while !out.is_empty() {
        let length = crate::frame::Head::parse(out).map_or(usize::MAX, |head| head.length);
        assert!(length <= crate::limits::FRAME_BYTES);
        out = &out[crate::frame::HEAD_BYTES + length..];
    }
}

/// A block of fields that can be decoded stands for the same when it is encoded again, and the table is no larger than
/// it may be. Each block has its length before it, as one byte.
pub fn hpack(mut input: &[u8]) {
    let mut decoder = Decoder::new();
    let mut number = 0;
    while let Some((length, rest)) = input.split_first() {
        let block;
        (block, input) = rest.split_at(rest.len().min(usize::from(*length)));
        let Ok(fields) = decode(&mut decoder, block) else { return };
        assert!(decoder.memory() <= TABLE_BYTES);
        let mut again = Vec::new();
        for (name, value) in &fields {
            let Ok(name) = std::str::from_utf8(name) else { return };
            encode_field(name, value, number % 2 == 1, &mut again);
        }
        assert_eq!(decode(&mut Decoder::new(), &again), Ok(fields));
        number += 1;
        if number == 3 {
            decoder.set_limit(0);
        }
    }
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, DecodeError> {
    let (mut fields, mut size) = (Vec::new(), 0);
    decoder.decode(block, |name, value| {
        fields.push((name.to_vec(), value.to_vec()));
        size += name.len() + value.len();
        if size > 1 << 20 { Err(DecodeError::TooMuch) } else { Ok(()) }
    })?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|file| run(&std::fs::read(file).unwrap()));
    }

    #[test]
    fn what_fuzzing_found_of_frames_holds() {
        replay("http2_frames", super::frames);
    }

    #[test]
    fn what_fuzzing_found_of_hpack_holds() {
        replay("hpack", super::hpack);
    }
}
