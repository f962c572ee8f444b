//! However messages are put into fragments, compressed, masked and cut into reads, they are what was said.

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use tidings_websocket::{CloseCode, Decoder, Deflater, Inflater, Message, Opcode, encode_masked};

/// What is said, how many fragments it is in, and whether it is compressed.
#[derive(Debug, Clone)]
struct Saying {
    message: Message,
    fragments: usize,
    is_compressed: bool,
}

fn sayings() -> impl Strategy<Value = Vec<Saying>> {
    let control = prop::collection::vec(any::<u8>(), 0..=125);
    let message = prop_oneof![
        4 => "\\PC{0,300}".prop_map(Message::Text),
        2 => prop::collection::vec(any::<u8>(), 0..70_000).prop_map(Message::Binary),
        1 => control.clone().prop_map(Message::Ping),
        1 => control.prop_map(Message::Pong),
    ];
    let saying = (message, 1_usize..5, any::<bool>())
        .prop_map(|(message, fragments, is_compressed)| Saying { message, fragments, is_compressed });
    prop::collection::vec(saying, 0..8)
}

/// A saying as frames. `ping` comes between two fragments.
fn frames(saying: &Saying, key: [u8; 4], deflater: &mut Deflater) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let (opcode, bytes) = match &saying.message {
        Message::Text(text) => (Opcode::Text, text.as_bytes()),
        Message::Binary(bytes) => (Opcode::Binary, &bytes[..]),
        Message::Ping(bytes) => (Opcode::Ping, &bytes[..]),
        Message::Pong(bytes) => (Opcode::Pong, &bytes[..]),
        Message::Close { .. } => (Opcode::Close, &b""[..]),
    };
    if matches!(opcode, Opcode::Ping | Opcode::Pong) {
        encode_masked(opcode, bytes, key, &mut out);
        return (out, 0);
    }
    let compressed = if saying.is_compressed { deflater.compress(bytes) } else { None };
    let bytes = compressed.as_deref().unwrap_or(bytes);
    let pieces: Vec<_> = bytes.chunks(bytes.len().div_ceil(saying.fragments).max(1)).collect();
    let pieces = if pieces.is_empty() { vec![&b""[..]] } else { pieces };
    for (index, piece) in pieces.iter().enumerate() {
        let start = out.len();
        encode_masked(if index == 0 { opcode } else { Opcode::Continuation }, piece, key, &mut out);
        if index == 0 && compressed.is_some() {
            out[start] |= 0x40;
        }
        if index + 1 < pieces.len() {
            out[start] &= 0x7f;
            encode_masked(Opcode::Ping, b"between", key, &mut out);
        }
    }
    (out, pieces.len() - 1)
}

proptest! {
    #[test]
    fn what_was_said_is_heard(sayings in sayings(), key: [u8; 4], cuts in prop::collection::vec(1_usize..3_000, 1..10)) {
        let (mut bytes, mut expected, mut deflater) = (Vec::new(), Vec::new(), Deflater::new());
        for saying in &sayings {
            let (frames, between) = frames(saying, key, &mut deflater);
            bytes.extend(frames);
            expected.extend(vec![Message::Ping(b"between".to_vec()); between]);
            expected.push(saying.message.clone());
        }
        let (mut decoder, mut inflater, mut heard) = (Decoder::server(70_000, true), Inflater::default(), Vec::new());
        let (mut left, mut cuts) = (&bytes[..], cuts.iter().cycle());
        while !left.is_empty() {
            let (mut piece, rest) = left.split_at((*cuts.next().unwrap()).min(left.len()));
            left = rest;
            while let Some(message) = decoder.receive(&mut piece, &mut inflater).unwrap() {
                heard.push(message);
            }
        }
        prop_assert_eq!(heard, expected);
        prop_assert!(decoder.is_idle());
    }

    #[test]
    fn nothing_that_comes_is_too_much(
        bytes in prop::collection::vec(any::<u8>(), 0..300), first in 0_usize..16, deflate: bool,
    ) {
        // Beginnings that let the rest matter.
        let beginnings: [&[u8]; 16] = [
            b"", b"\x81\x85", b"\x01\x83", b"\xc1\x90", b"\x82\xfe\0\x80", b"\x88\x82", b"\x89\x84", b"\xc2\xfe\x01\0",
            b"\x01\x80\0\0\0\0\x00\x81", b"\x81\xff\0\0\0\0\0\x01\0\0", b"\x8a\x80\0\0\0\0", b"\x41\x88", b"\x02\xfd",
            b"\x81", b"\x80\x80", b"\x83",
        ];
        let input = [beginnings[first], &bytes].concat();
        let (mut decoder, mut inflater) = (Decoder::server(1_000, deflate), Inflater::default());
        let mut left = &input[..];
        loop {
            match decoder.receive(&mut left, &mut inflater) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    prop_assert!(error.code.may_be_sent() && error.code < CloseCode(3000));
                    break;
                }
            }
        }
        prop_assert!(left.is_empty());
        prop_assert!(decoder.memory() <= 4_000);
    }
}
