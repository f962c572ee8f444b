use http::{HeaderMap, HeaderValue, StatusCode};
use tidings_http2::{Closed, ErrorCode, Settings, encode_head};

use crate::support::client::{
    CONTINUATION, DATA, END, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, frame, reset,
};
use crate::support::{Client, Frame, Said};

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn a_head_is_written_with_the_static_table_and_shorter_codes() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    let mut headers =
        headers(&[("content-type", "text/plain"), ("connection", "close"), ("keep-alive", "x"), ("x", "")]);
    let mut secret = HeaderValue::from_static("a");
    secret.set_sensitive(true);
    headers.insert("set-cookie", secret);
    client.connection.respond(1, StatusCode::OK, &headers, false, &mut client.out).unwrap();
    let [Frame { kind: HEADERS, flags: END_HEADERS, stream: 1, payload }] = &client.frames()[..] else {
        panic!()
    };
    assert_eq!(payload[0], 0x88);
    // content-type has index 31; "text/plain" takes 7 bytes by Huffman codes.
    assert_eq!(payload[1..4], [0x0f, 31 - 15, 0x80 | 7]);
    let rest = &payload[11..];
    // An empty value of a new name, and a value that is never indexed (set-cookie has index 55).
    assert_eq!(rest, [&[0, 1, b'x', 0][..], &[0x1f, 55 - 15, 1, b'a']].concat());
}

#[test]
fn every_status_is_written() {
    for (status, bytes) in
        [(204, &[0x89][..]), (500, &[0x8e]), (201, b"\x08\x82\x10\x03"), (431, b"\x08\x03431")]
    {
        let mut block = Vec::new();
        encode_head(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &mut block);
        assert_eq!(block, bytes, "{status}");
    }
}

#[test]
fn a_head_may_be_encoded_once_for_many() {
    let mut block = Vec::new();
    let headers = headers(&[("content-type", "text/event-stream")]);
    encode_head(StatusCode::OK, &headers, &mut block);
    let [mut one, mut other] = [(); 2].map(|()| Client::new(Settings::default()));
    one.get(1);
    other.get(1);
    one.connection.respond(1, StatusCode::OK, &headers, false, &mut one.out).unwrap();
    other.connection.respond_encoded(1, &block, false, &mut other.out).unwrap();
    assert_eq!(one.frames(), other.frames());
    assert_eq!(other.send(1, b"x", false), Some(1));
}

#[test]
fn a_client_that_makes_its_table_smaller_is_told_that_none_is_used() {
    let mut client = Client::new(Settings::default());
    for (settings, first) in
        [(&[0, 1, 0, 0, 16, 0][..], 0x88), (&[0, 1, 0, 0, 0, 0], 0x20), (&[0, 1, 0, 0, 0, 9], 0x88)]
    {
        client.say(&frame(SETTINGS, 0, 0, settings));
        client.out.clear();
        let stream = client.connection.streams().last().map_or(1, |(stream, _)| stream + 2);
        client.get(stream);
        client.connection.respond(stream, StatusCode::OK, &HeaderMap::new(), false, &mut client.out).unwrap();
        assert_eq!(client.frames()[0].payload[0], first);
    }
}

#[test]
fn a_large_head_goes_on_in_further_frames() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    let value = "\u{e9}".repeat(10_000);
    let headers = headers(&[("a", &value), ("b", &value)]);
    client.connection.respond(1, StatusCode::OK, &headers, true, &mut client.out).unwrap();
    let frames = client.frames();
    let kinds: Vec<_> = frames.iter().map(|frame| (frame.kind, frame.flags, frame.stream)).collect();
    assert_eq!(kinds, [(HEADERS, END_STREAM, 1), (CONTINUATION, 0, 1), (CONTINUATION, END_HEADERS, 1)]);
    let block: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.clone()).collect();
    let mut whole = Vec::new();
    encode_head(StatusCode::OK, &headers, &mut whole);
    assert_eq!(block, whole);
    assert!(frames.iter().all(|frame| frame.payload.len() <= 16_384));
    assert!(client.connection.is_idle());
}

#[test]
fn what_only_informs_comes_before_the_answer() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    let mut respond =
        |status, end| client.connection.respond(1, status, &HeaderMap::new(), end, &mut client.out);
    assert_eq!(respond(StatusCode::EARLY_HINTS, true), Ok(()));
    assert_eq!(respond(StatusCode::OK, true), Ok(()));
    assert_eq!(respond(StatusCode::OK, true), Err(Closed));
    let flags: Vec<_> = client.frames().iter().map(|frame| frame.flags).collect();
    assert_eq!(flags, [END_HEADERS, END]);
}

#[test]
fn nothing_is_sent_before_the_head_or_after_the_end() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    assert_eq!(client.send(1, b"x", false), None);
    assert_eq!(client.connection.trailers(1, &HeaderMap::new(), &mut client.out), Err(Closed));
    client.answer(1);
    assert_eq!(client.send(1, b"x", true), Some(1));
    assert_eq!(client.send(1, b"x", false), None);
    let end =
        |stream, payload: &[u8]| Frame { kind: DATA, flags: END_STREAM, stream, payload: payload.to_vec() };
    assert_eq!(client.frames(), [end(1, b"x")]);
    client.post(3);
    client.answer(3);
    assert_eq!(client.send(3, b"", true), Some(0));
    assert_eq!(client.send(3, b"x", false), None);
    assert_eq!(client.connection.window(5), 0);
    assert_eq!(client.frames(), [end(3, b"")]);
    // Its client has not ended it: it is still there.
    client.connection.reset(3, ErrorCode::NO_ERROR, &mut client.out);
    client.connection.reset(3, ErrorCode::NO_ERROR, &mut client.out);
    assert_eq!(client.frames(), [reset(3, ErrorCode::NO_ERROR)]);
}

#[test]
fn trailers_end_a_body() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    client.answer(1);
    client.send(1, b"x", false);
    client.connection.trailers(1, &headers(&[("x", "y")]), &mut client.out).unwrap();
    let frames = client.frames();
    assert_eq!((frames[1].kind, frames[1].flags), (HEADERS, END));
    assert!(client.connection.is_idle());
}

#[test]
fn a_body_is_cut_into_frames_that_every_client_takes() {
    let mut client = Client::new(Settings::default());
    // The client would take frames of 2^24-1 bytes, and has a large window.
    client.say(&frame(SETTINGS, 0, 0, &[0, 5, 0, 255, 255, 255, 0, 4, 0, 255, 255, 255]));
    client.say(&frame(8, 0, 0, &[0, 255, 0, 0]));
    client.get(1);
    client.answer(1);
    client.out.clear();
    assert_eq!(client.send(1, &[7; 40_000], true), Some(40_000));
    let frames = client.frames();
    let sizes: Vec<_> = frames.iter().map(|frame| (frame.payload.len(), frame.flags)).collect();
    assert_eq!(sizes, [(16_384, 0), (16_384, 0), (7_232, END_STREAM)]);
}

#[test]
fn a_client_that_leaves_a_stream_is_sent_nothing_more() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    client.answer(1);
    client.out.clear();
    let left = client.say(&frame(RST_STREAM, 0, 1, &ErrorCode::CANCEL.0.to_be_bytes()));
    assert_eq!(left, [Said::Reset(1, ErrorCode::CANCEL, false)]);
    assert_eq!(client.send(1, b"x", false), None);
    assert!(client.out.is_empty() && client.connection.is_idle());
    // It says so again, or opens a window: it did not know yet.
    let late = [frame(RST_STREAM, 0, 1, &[0; 4]), frame(8, 0, 1, &[0, 0, 0, 1])].concat();
    assert_eq!(client.say(&late), []);
}
