//! RFC 7692: `permessage-deflate`.

use tidings_websocket::{
    CloseCode, Decoder, Deflater, InflateError, Inflater, Message, Opcode, encode_compressed, limits, store,
};

use crate::support::{MAX_MESSAGE, frame, receive, said_deflated, text};

/// §7.2.3.1, 7.2.3.3, 7.2.3.4, 7.2.3.5: the examples.
#[test]
fn the_examples_of_the_rfc_are_inflated() {
    for payload in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        // A block that is not compressed.
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        // A block with BFINAL set.
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        // Two blocks.
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ] {
        assert_eq!(said_deflated(&frame(0xc1, payload)), Ok(vec![text("Hello")]), "{payload:x?}");
    }
    // §7.2.3.6: an empty message.
    assert_eq!(said_deflated(&frame(0xc1, b"\x00")), Ok(vec![text("")]));
    // §6.1: some may be compressed and others not.
    let bytes = [frame(0x81, b"plain"), frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")].concat();
    assert_eq!(said_deflated(&bytes), Ok(vec![text("plain"), text("Hello")]));
}

/// §6.1: the bit is set on the first fragment alone, and control frames are never compressed.
#[test]
fn a_compressed_message_may_be_in_fragments() {
    let bytes = [frame(0x41, b"\xf2\x48\xcd"), frame(0x89, b"x"), frame(0x80, b"\xc9\xc9\x07\x00")];
    assert_eq!(said_deflated(&bytes.concat()), Ok(vec![Message::Ping(b"x".to_vec()), text("Hello")]));
    for wrong in [
        [frame(0x41, b"\xf2\x48\xcd"), frame(0xc0, b"\xc9\xc9\x07\x00")].concat(),
        frame(0xc9, b"x"),
        frame(0xc8, b""),
    ] {
        assert_eq!(said_deflated(&wrong).unwrap_err().code, CloseCode::PROTOCOL);
    }
}

#[test]
fn what_is_compressed_is_the_same_afterwards() {
    let (mut deflater, mut inflater) = (Deflater::new(), Inflater::default());
    let event = r#"{"id":"q7m2x9-1042","topic":"orders/42","data":{"carrier":"X","carriers":["X","Y","X"]}}"#;
    for message in [event.to_owned(), event.repeat(1_000), "a".repeat(64), event.repeat(3)] {
        let compressed = deflater.compress(message.as_bytes()).unwrap();
        assert!(compressed.len() < message.len());
        assert_eq!(inflater.inflate(&compressed, message.len()), Ok(message.into_bytes()));
    }
    // Each by itself: the second time as the first.
    assert_eq!(deflater.compress(event.as_bytes()), Deflater::new().compress(event.as_bytes()));
}

#[test]
fn what_would_not_become_smaller_is_sent_as_it_is() {
    let mut deflater = Deflater::new();
    assert_eq!(deflater.compress(&[b'a'; limits::COMPRESS_MIN_BYTES - 1]), None);
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    assert_eq!(deflater.compress(&noise.take(5_000).collect::<Vec<_>>()), None);
}

#[test]
fn messages_that_begin_differently_share_the_rest() {
    let rest = "x".repeat(1_000);
    let compressed = Deflater::new().compress(rest.as_bytes()).unwrap();
    for beginning in [String::new(), "{".to_owned(), "y".repeat(70_000)] {
        let mut payload = Vec::new();
        store(beginning.as_bytes(), &mut payload);
        payload.extend_from_slice(&compressed);
        assert_eq!(said_deflated(&frame(0xc1, &payload)), Ok(vec![Message::Text(beginning + &rest)]));
    }
}

#[test]
fn a_bomb_does_not_go_off() {
    let bomb = Deflater::new().compress(&vec![0; 50 << 20]).unwrap();
    assert!(bomb.len() < MAX_MESSAGE);
    let error = said_deflated(&frame(0xc1, &bomb)).unwrap_err();
    assert_eq!((error.code, error.reason), (CloseCode::TOO_LARGE, "a message is larger than allowed"));
    let exact = Deflater::new().compress(&vec![b'a'; MAX_MESSAGE]).unwrap();
    assert_eq!(said_deflated(&frame(0xc1, &exact)), Ok(vec![Message::Text("a".repeat(MAX_MESSAGE))]));
    let more = Deflater::new().compress(&vec![b'a'; MAX_MESSAGE + 1]).unwrap();
    assert_eq!(said_deflated(&frame(0xc1, &more)).unwrap_err().code, CloseCode::TOO_LARGE);
}

/// What is not compressed well may be a little larger as it comes, and no more.
#[test]
fn compressed_bytes_are_bounded_as_they_come() {
    let length = 2 * MAX_MESSAGE as u64;
    let bytes = [b"\xc1\xff", &length.to_be_bytes()[..], b"\0\0\0\0"].concat();
    assert_eq!(said_deflated(&bytes).unwrap_err().code, CloseCode::TOO_LARGE);
}

#[test]
fn what_cannot_be_inflated_is_refused() {
    // A block of the type that there is not.
    let payload = b"\x06";
    let error = said_deflated(&frame(0xc1, payload)).unwrap_err();
    assert_eq!((error.code, error.reason), (CloseCode::INVALID_DATA, "a message cannot be inflated"));
    assert_eq!(Inflater::default().inflate(payload, 100), Err(InflateError::Malformed));
    let not_text = Deflater::new().compress(&[0xff; 100]).unwrap();
    assert_eq!(said_deflated(&frame(0xc1, &not_text)).unwrap_err().code, CloseCode::INVALID_DATA);
    assert_eq!(said_deflated(&frame(0xc2, &not_text)), Ok(vec![Message::Binary(vec![0xff; 100])]));
}

/// One message leaves nothing behind for the next one, of another socket.
#[test]
fn an_inflater_is_for_all_sockets() {
    let mut inflater = Inflater::default();
    let good = Deflater::new().compress(&[b'b'; 1_000]).unwrap();
    for bad in [&b"\x06"[..], &good[..good.len() / 2], b"\x01\x05\x00\xfa\xff\x48"] {
        drop(inflater.inflate(bad, 500));
        assert_eq!(inflater.inflate(&good, 1_000), Ok(vec![b'b'; 1_000]));
    }
}

/// A message may refer to what came before its own beginning, where an inflater has what another client said.
#[test]
fn nobody_sees_what_another_said() {
    let secret = b"what another client said";
    // It was deflated with these as the dictionary, at the same place as in the message of the other.
    let payload = b"\xc2\x75\xa7\x3d\x00";
    let message = [&[0; 300][..], secret].concat();
    let mut inflater = Inflater::default();
    for compressed in [Deflater::new().compress(&message).unwrap(), {
        let mut stored = Vec::new();
        store(&message, &mut stored);
        stored.push(0);
        stored
    }] {
        assert_eq!(inflater.inflate(&compressed, 1_000).as_deref(), Ok(&message[..]));
        let seen = inflater.inflate(payload, 1_000).unwrap_or_default();
        assert!(!seen.windows(4).any(|part| secret.windows(4).any(|other| part == other)), "{seen:?}");
    }
}

#[test]
fn a_client_reads_what_a_server_compressed() {
    let compressed = Deflater::new().compress(&[b'c'; 500]).unwrap();
    let mut out = Vec::new();
    encode_compressed(Opcode::Text, &compressed, &mut out);
    let said = receive(&mut Decoder::client(MAX_MESSAGE, true), &out);
    assert_eq!(said, Ok(vec![Message::Text("c".repeat(500))]));
    assert!(receive(&mut Decoder::client(MAX_MESSAGE, false), &out).is_err());
}
