//! RFC 6455 §5.5.1, §7: how a socket ends.

use tidings_websocket::{
    CloseCode, Decoder, Inflater, Message, encode_close, encode_close_reply, encode_masked_close, limits,
};

use crate::support::{MAX_MESSAGE, frame, receive, said};

const CLOSE: u8 = 0x88;

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(CLOSE, &[&code.to_be_bytes(), reason].concat())
}

#[test]
fn a_close_frame_may_say_why() {
    let nothing = Message::Close { code: None, reason: String::new() };
    assert_eq!(said(&frame(CLOSE, b"")), Ok(vec![nothing]));
    let why = Message::Close { code: Some(CloseCode::GOING_AWAY), reason: "bye, é".into() };
    assert_eq!(said(&close(1001, "bye, é".as_bytes())), Ok(vec![why]));
}

/// §7.4.
#[test]
fn codes_are_those_that_may_be_sent() {
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    {
        let expected = Message::Close { code: Some(CloseCode(code)), reason: String::new() };
        assert_eq!(said(&close(code, b"")), Ok(vec![expected]));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(said(&close(code, b"")).unwrap_err().code, CloseCode::PROTOCOL, "{code}");
    }
    for code in [CloseCode::UNAUTHORIZED, CloseCode::FORBIDDEN, CloseCode::TIMEOUT, CloseCode::TOO_MANY] {
        assert!(code.may_be_sent());
    }
    assert_eq!(CloseCode::TOO_MANY.to_string(), "4429 (too many requests)");
    assert_eq!(CloseCode(3001).to_string(), "3001");
}

#[test]
fn what_is_no_close_frame_is_refused() {
    assert_eq!(said(&frame(CLOSE, b"\x03")).unwrap_err().code, CloseCode::PROTOCOL);
    assert_eq!(said(&close(1000, b"\xff")).unwrap_err().code, CloseCode::INVALID_DATA);
}

/// §5.5.1: "the application MUST NOT send any more data frames after sending a Close frame"; §7.1.7.
#[test]
fn nothing_follows_the_end() {
    for end in [close(1000, b""), frame(0x83, b"")] {
        let (mut decoder, mut inflater) = (Decoder::server(MAX_MESSAGE, false), Inflater::default());
        let bytes = [end, frame(0x81, b"more"), frame(0x89, b"")].concat();
        let mut input = &bytes[..];
        assert!(!matches!(decoder.receive(&mut input, &mut inflater), Ok(None)));
        assert!(decoder.is_closed() && input.is_empty());
        assert_eq!(receive(&mut decoder, &bytes), Ok(vec![]));
        assert_eq!(decoder.memory(), 0);
    }
}

#[test]
fn close_frames_are_written_whole_and_read_again() {
    let long = "é".repeat(100);
    let reason = Message::Close { code: Some(CloseCode::POLICY), reason: long[..122].into() };
    let mut out = Vec::new();
    encode_close(CloseCode::POLICY, &long, &mut out);
    assert!(out.len() <= 4 + limits::REASON_BYTES);
    assert_eq!(receive(&mut Decoder::client(MAX_MESSAGE, false), &out), Ok(vec![reason.clone()]));
    out.clear();
    encode_masked_close(CloseCode::POLICY, &long, [1, 2, 3, 4], &mut out);
    assert_eq!(said(&out), Ok(vec![reason]));
}

#[test]
fn a_close_frame_is_answered_with_its_code() {
    let mut out = Vec::new();
    encode_close_reply(Some(CloseCode(4000)), &mut out);
    encode_close_reply(None, &mut out);
    assert_eq!(out, b"\x88\x02\x0f\xa0\x88\x00");
}
