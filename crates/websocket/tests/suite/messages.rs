//! RFC 6455 §5.4, §5.6, §8.1: messages, their fragments, their text.

use tidings_websocket::{CloseCode, Decoder, Inflater, Message, limits};

use crate::support::{MAX_MESSAGE, frame, receive, said, text};

const FIRST: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;

#[test]
fn fragments_are_joined_and_control_frames_come_in_between() {
    let bytes = [
        frame(FIRST, b"a"),
        frame(PING, b"1"),
        frame(MORE, b""),
        frame(0x8a, b"2"),
        frame(MORE, "é".as_bytes()),
        frame(LAST, b"c"),
        frame(0x02, b"x"),
        frame(LAST, b""),
    ];
    let expected = vec![
        Message::Ping(b"1".to_vec()),
        Message::Pong(b"2".to_vec()),
        text("aéc"),
        Message::Binary(b"x".to_vec()),
    ];
    assert_eq!(said(&bytes.concat()), Ok(expected));
}

#[test]
fn fragments_have_an_order() {
    for (bytes, reason) in [
        (frame(LAST, b""), "a continuation continues nothing"),
        (frame(MORE, b"a"), "a continuation continues nothing"),
        (
            [frame(FIRST, b"a"), frame(TEXT, b"b")].concat(),
            "a message begins before the one before it has ended",
        ),
        ([frame(TEXT, b"a"), frame(LAST, b"b")].concat(), "a continuation continues nothing"),
    ] {
        let error = said(&bytes).unwrap_err();
        assert_eq!((error.code, error.reason), (CloseCode::PROTOCOL, reason));
    }
}

#[test]
fn fragments_together_are_no_larger_than_a_message() {
    let half = vec![b'a'; MAX_MESSAGE / 2];
    let whole = [frame(FIRST, &half), frame(MORE, &half), frame(LAST, b"")].concat();
    assert_eq!(said(&whole).map(|messages| messages.len()), Ok(1));
    let more = [frame(FIRST, &half), frame(MORE, &half), frame(LAST, b"a")].concat();
    assert_eq!(said(&more).unwrap_err().code, CloseCode::TOO_LARGE);
}

#[test]
fn empty_fragments_end() {
    let empty = frame(MORE, b"").repeat(limits::EMPTY_FRAGMENTS.into());
    let whole = [frame(FIRST, b"a"), empty.clone(), frame(LAST, b"")].concat();
    assert_eq!(said(&whole.repeat(3)), Ok(vec![text("a"); 3]), "each message may have so many");
    let endless = [frame(FIRST, b"a"), empty, frame(MORE, b"")].concat();
    let error = said(&endless).unwrap_err();
    assert_eq!((error.code, error.reason), (CloseCode::POLICY, "a message has too many empty fragments"));
}

#[test]
fn text_is_utf_8() {
    let whole = "κόσμε \u{0} \u{10ffff} \u{fffd}";
    assert_eq!(said(&frame(TEXT, whole.as_bytes())), Ok(vec![text(whole)]));
    for bad in
        [&b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"[..], b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80", b"\xe2\x82"]
    {
        let error = said(&frame(TEXT, bad)).unwrap_err();
        assert_eq!((error.code, error.reason), (CloseCode::INVALID_DATA, "text is not UTF-8"), "{bad:x?}");
        assert_eq!(said(&frame(0x82, bad)), Ok(vec![Message::Binary(bad.to_vec())]));
    }
}

#[test]
fn a_character_may_be_in_several_fragments() {
    let bytes = "a€𝄞".as_bytes();
    let mut fragments: Vec<_> = bytes.iter().map(|&byte| frame(MORE, &[byte])).collect();
    fragments[0] = frame(FIRST, &bytes[..1]);
    fragments.push(frame(LAST, b""));
    assert_eq!(said(&fragments.concat()), Ok(vec![text("a€𝄞")]));
    fragments[bytes.len() - 1] = frame(LAST, b"");
    assert_eq!(
        said(&fragments.concat()).unwrap_err().code,
        CloseCode::INVALID_DATA,
        "half a character at the end"
    );
}

/// §8.1, and what Autobahn calls failing fast: at the byte that shows it, not at the end of its frame or message.
#[test]
fn text_that_cannot_become_utf_8_is_refused_at_once() {
    let text = b"\xce\xba\xf4\x90\x80\x80 and so on";
    // In the middle of a frame.
    let (mut decoder, mut inflater) = (Decoder::server(MAX_MESSAGE, false), Inflater::default());
    let whole = frame(TEXT, text);
    for byte in &whole[..9] {
        assert_eq!(decoder.receive(&mut &[*byte][..], &mut inflater), Ok(None));
    }
    let error = decoder.receive(&mut &whole[9..10], &mut inflater).unwrap_err();
    assert_eq!(error.code, CloseCode::INVALID_DATA);
    // At the end of a fragment.
    let fragments = [frame(FIRST, &text[..3]), frame(MORE, &text[3..4])].concat();
    assert_eq!(said(&fragments).unwrap_err().code, CloseCode::INVALID_DATA);
}

#[test]
fn nothing_is_kept_between_messages() {
    let mut decoder = Decoder::server(MAX_MESSAGE, false);
    let bytes = [frame(FIRST, b"a"), frame(PING, b"b"), frame(LAST, b"c")].concat();
    assert_eq!(receive(&mut decoder, &bytes).map(|messages| messages.len()), Ok(2));
    assert!(decoder.is_idle() && decoder.memory() == 0);
}
