//! RFC 6455 §5: framing.

use tidings_websocket::{CloseCode, Decoder, Message, Opcode, encode, encode_masked, head};

use crate::support::{MAX_MESSAGE, frame, receive, said, text};

fn told(bytes: &[u8]) -> (CloseCode, &'static str) {
    let error = said(bytes).unwrap_err();
    (error.code, error.reason)
}

/// §5.7: the examples, as a client reads those of a server, and a server those of a client.
#[test]
fn the_examples_of_the_rfc_are_read() {
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(said(masked), Ok(vec![text("Hello")]));
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(said(pong), Ok(vec![Message::Pong(b"Hello".to_vec())]));
    let long = [0x5a; 65_536];
    for (bytes, expected) in [
        (b"\x81\x05Hello".to_vec(), text("Hello")),
        (b"\x01\x03Hel\x80\x02lo".to_vec(), text("Hello")),
        (b"\x89\x05Hello".to_vec(), Message::Ping(b"Hello".to_vec())),
        ([b"\x82\x7e\x01\x00", &long[..256]].concat(), Message::Binary(long[..256].to_vec())),
        ([b"\x82\x7f\0\0\0\0\0\x01\0\0", &long[..]].concat(), Message::Binary(long.to_vec())),
    ] {
        assert_eq!(receive(&mut Decoder::client(MAX_MESSAGE, false), &bytes), Ok(vec![expected]));
    }
}

#[test]
fn the_examples_of_the_rfc_are_written() {
    let mut out = Vec::new();
    encode(Opcode::Text, b"Hello", &mut out);
    encode(Opcode::Ping, b"Hello", &mut out);
    encode_masked(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d], &mut out);
    assert_eq!(out, b"\x81\x05Hello\x89\x05Hello\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    for (length, expected) in [
        (0, &b"\x82\x00"[..]),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\0\x7e"),
        (256, b"\x82\x7e\x01\x00"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
    ] {
        assert_eq!(*head(Opcode::Binary, false, length), *expected);
    }
    assert_eq!(*head(Opcode::Text, true, 1), *b"\xc1\x01");
}

/// §5.1.
#[test]
fn masks_are_for_clients_alone() {
    assert_eq!(told(b"\x81\x00"), (CloseCode::PROTOCOL, "a client's frame is not masked"));
    let error = receive(&mut Decoder::client(MAX_MESSAGE, false), b"\x81\x80\0\0\0\0").unwrap_err();
    assert_eq!((error.code, error.reason), (CloseCode::PROTOCOL, "a server's frame is masked"));
}

/// §5.2.
#[test]
fn what_is_reserved_is_refused_at_its_second_byte() {
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        assert_eq!(told(&[0x80 | opcode, 0x80]), (CloseCode::PROTOCOL, "a frame has an unknown opcode"));
    }
    for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
        let (code, reason) = told(&[0x81 | bits, 0x80]);
        assert_eq!((code, reason), (CloseCode::PROTOCOL, "a frame has reserved bits set"));
    }
    assert_eq!(told(&frame(0xc1, b"")), (CloseCode::PROTOCOL, "a frame has reserved bits set"));
}

/// §5.2: "the minimal number of bytes MUST be used", "the most significant bit MUST be 0".
#[test]
fn lengths_are_minimal_and_positive() {
    for length in [&b"\xfe\0\x7d"[..], b"\xff\0\0\0\0\0\0\xff\xff"] {
        let bytes = [b"\x82", length, b"\0\0\0\0"].concat();
        assert_eq!(told(&bytes), (CloseCode::PROTOCOL, "a frame's length is not minimal"));
    }
    let negative = b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0";
    assert_eq!(told(negative), (CloseCode::PROTOCOL, "a frame's length is negative"));
}

/// §5.5.
#[test]
fn control_frames_are_short_and_whole() {
    for opcode in [8, 9, 10] {
        assert_eq!(told(&[opcode, 0x80]), (CloseCode::PROTOCOL, "a control frame is fragmented"));
        let (code, reason) = told(&[0x80 | opcode, 0xfe]);
        assert_eq!((code, reason), (CloseCode::PROTOCOL, "a control frame has more than 125 bytes"));
    }
    let most = [0xa5; 125];
    assert_eq!(said(&frame(0x89, &most)), Ok(vec![Message::Ping(most.to_vec())]));
    assert_eq!(said(&frame(0x8a, b"")), Ok(vec![Message::Pong(Vec::new())]));
}

/// The length is looked at, not what comes of it.
#[test]
fn a_frame_that_is_too_large_is_refused_before_it_comes() {
    for length in [MAX_MESSAGE as u64 + 1, u64::MAX >> 1] {
        let bytes = [b"\x82\xff", &length.to_be_bytes()[..], b"\0\0\0\0"].concat();
        assert_eq!(told(&bytes), (CloseCode::TOO_LARGE, "a message is larger than allowed"));
    }
    let most = vec![7; MAX_MESSAGE];
    assert_eq!(said(&frame(0x82, &most)), Ok(vec![Message::Binary(most)]));
}

/// Who announces much and sends little does not make the server set memory aside.
#[test]
fn memory_is_taken_for_what_has_come() {
    let mut decoder = Decoder::server(1 << 40, false);
    assert_eq!(size_of::<Decoder>(), 24);
    assert!(decoder.is_idle() && decoder.memory() == 0);
    let bytes = [b"\x82\xff", &(1_u64 << 39).to_be_bytes()[..], b"\0\0\0\0abc"].concat();
    assert_eq!(receive(&mut decoder, &bytes), Ok(vec![]));
    assert!(!decoder.is_idle() && (1..1_000).contains(&decoder.memory()), "{}", decoder.memory());
}
