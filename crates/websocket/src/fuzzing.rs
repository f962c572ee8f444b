//! What the fuzz targets of this crate do with their input. See `fuzz/README.md`.

use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

use crate::deflate::Deflater;
use crate::extension::extensions;
use crate::limits::compressed_bytes;
use crate::{
    ClientOpening, Decoder, Deflate, Inflater, Message, Opcode, Opening, ProtocolError, encode, encode_close,
    encode_masked, encode_masked_close,
};

const MAX_MESSAGE: usize = 2_000;

/// However what a peer sends is cut into pieces, it means the same; what is kept of it is bounded; and what it means can
/// be said again. The first byte is the length of the pieces, the second one says whose side this is.
pub fn frames(input: &[u8]) {
    let [length, options, bytes @ ..] = input else { return };
    let (is_server, deflate) = (options & 1 == 0, options & 2 == 0);
    let whole = messages(bytes, bytes.len().max(1), is_server, deflate);
    assert_eq!(messages(bytes, usize::from(*length).max(1), is_server, deflate), whole);
    let mut again = Vec::new();
    for message in &whole.0 {
        if is_server {
            say_masked(message, [*length, *options, 1, 2], &mut again);
        } else {
            say(message, &mut again);
        }
    }
    assert_eq!(messages(&again, again.len().max(1), is_server, deflate), (whole.0, Ok(())));
}

type Said = (Vec<Message>, Result<(), ProtocolError>);

fn messages(bytes: &[u8], length: usize, is_server: bool, deflate: bool) -> Said {
    let side = if is_server { Decoder::server } else { Decoder::client };
    let (mut decoder, mut inflater, mut all) = (side(MAX_MESSAGE, deflate), Inflater::default(), Vec::new());
    for piece in bytes.chunks(length) {
        let mut input = piece;
        loop {
            match decoder.receive(&mut input, &mut inflater) {
                Ok(Some(message)) => {
                    assert!(length_of(&message) <= MAX_MESSAGE);
                    all.push(message);
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(decoder.is_closed() && error.code.may_be_sent());
                    assert_eq!(decoder.memory(), 0);
                    assert_eq!(decoder.receive(&mut &b"more"[..], &mut inflater), Ok(None));
                    return (all, Err(error));
                }
            }
        }
        assert!(input.is_empty());
        assert_eq!(decoder.memory() == 0, decoder.is_idle());
        assert!(decoder.memory() <= 2 * compressed_bytes(MAX_MESSAGE) + 500);
    }
    (all, Ok(()))
}

fn length_of(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close { reason, .. } => reason.len(),
    }
}

fn payload(message: &Message) -> (Opcode, &[u8]) {
    match message {
        Message::Text(text) => (Opcode::Text, text.as_bytes()),
        Message::Binary(bytes) => (Opcode::Binary, bytes),
        Message::Ping(bytes) => (Opcode::Ping, bytes),
        Message::Pong(bytes) => (Opcode::Pong, bytes),
        Message::Close { .. } => (Opcode::Close, b""),
    }
}

fn say(message: &Message, out: &mut Vec<u8>) {
    if let Message::Close { code: Some(code), reason } = message {
        return encode_close(*code, reason, out);
    }
    let (opcode, bytes) = payload(message);
    encode(opcode, bytes, out);
}

fn say_masked(message: &Message, key: [u8; 4], out: &mut Vec<u8>) {
    if let Message::Close { code: Some(code), reason } = message {
        return encode_masked_close(*code, reason, key, out);
    }
    let (opcode, bytes) = payload(message);
    encode_masked(opcode, bytes, key, out);
}

/// Whatever a client offers is answered by what a client understands, or not at all; what is compressed inflates to the
/// same, and no further than it may.
pub fn opening(input: &[u8]) {
    compression(input);
    let mut headers = ClientOpening::new([7; 16], "tidings.v1", false).headers();
    for line in input.split(|byte| *byte == b'\n') {
        let (name, line) = match line.split_first() {
            Some((b'p', rest)) => (header::SEC_WEBSOCKET_PROTOCOL, rest),
            Some((b'k', rest)) => (header::SEC_WEBSOCKET_KEY, rest),
            Some((b'c', rest)) => (header::CONNECTION, rest),
            _ => (header::SEC_WEBSOCKET_EXTENSIONS, line),
        };
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    for extended in [false, true] {
        let Ok(opening) = Opening::check(&Method::GET, Version::HTTP_11, &headers, extended) else {
            continue;
        };
        let protocol = opening.protocols().next();
        let (status, answer) = opening.accept(protocol, opening.deflate());
        assert_eq!(status == StatusCode::OK, extended);
        assert_eq!(answer.contains_key(header::SEC_WEBSOCKET_PROTOCOL), protocol.is_some());
        assert_eq!(agreed(&answer).is_some(), opening.deflate().is_some());
    }
}

fn agreed(answer: &HeaderMap) -> Option<Deflate> {
    let value = answer.get(header::SEC_WEBSOCKET_EXTENSIONS)?.to_str().ok()?;
    let chosen = extensions([value]).ok()?;
    chosen.first().and_then(Deflate::agreed)
}

fn compression(message: &[u8]) {
    let compressed = Deflater::new().always(message).unwrap_or_default();
    let mut inflater = Inflater::default();
    assert_eq!(inflater.inflate(&compressed, message.len()).as_deref(), Ok(message));
    if let Some(less) = message.len().checked_sub(1) {
        assert!(inflater.inflate(&compressed, less).is_err());
    }
    // What nobody compressed is no more than it may be, and leaves nothing behind.
    assert!(inflater.inflate(message, MAX_MESSAGE).map_or(0, |bytes| bytes.len()) <= MAX_MESSAGE);
    assert_eq!(inflater.inflate(&compressed, message.len()).as_deref(), Ok(message));
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
        replay("websocket_frames", super::frames);
    }

    #[test]
    fn what_fuzzing_found_of_openings_holds() {
        replay("websocket_opening", super::opening);
    }
}
