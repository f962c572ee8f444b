use http::{HeaderMap, StatusCode};
use tidings_http2::{Closed, ErrorCode, PREFACE, Settings};

use crate::support::client::{ACK, END, GOAWAY, HEADERS, PING, SETTINGS, frame, request, reset};
use crate::support::{Client, Frame, Said};

fn go_away(last: u32, code: ErrorCode, debug: &str) -> Frame {
    let payload = [&last.to_be_bytes()[..], &code.0.to_be_bytes(), debug.as_bytes()].concat();
    Frame { kind: GOAWAY, flags: 0, stream: 0, payload }
}

#[test]
fn a_connection_that_goes_away_serves_what_the_client_sent_before_it_knew() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    client.connection.go_away(&mut client.out);
    client.connection.go_away(&mut client.out);
    let frames = client.frames();
    assert_eq!(frames[0], go_away(u32::MAX >> 1, ErrorCode::NO_ERROR, ""));
    assert_eq!((frames.len(), frames[1].kind), (2, PING));
    client.get(3);
    assert!(!client.connection.has_gone_away());
    // The client has read it all: what it sends from here on is late.
    assert_eq!(client.say(&frame(PING, ACK, 0, &frames[1].payload)), []);
    assert_eq!(client.frames(), [go_away(3, ErrorCode::NO_ERROR, "")]);
    assert!(client.connection.has_gone_away() && !client.connection.is_closed());
    assert_eq!(client.say(&frame(HEADERS, END, 5, &request("GET", &[]))), []);
    assert_eq!(client.frames(), [reset(5, ErrorCode::REFUSED_STREAM)]);
    for stream in [1, 3] {
        client.connection.respond(stream, StatusCode::OK, &HeaderMap::new(), true, &mut client.out).unwrap();
    }
    assert!(client.connection.is_idle());
    assert_eq!(client.say(&frame(PING, ACK, 0, &frames[1].payload)), []);
}

#[test]
fn a_mistake_ends_the_connection_and_the_client_is_told() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    client.connection.set_key(1, 9);
    client.get(3);
    client.out.clear();
    let bytes = [frame(PING, 0, 5, &[0; 8]), frame(PING, 0, 0, &[0; 8])].concat();
    assert_eq!(client.say(&bytes), [Said::Failed(ErrorCode::PROTOCOL_ERROR)]);
    assert_eq!(
        client.frames(),
        [go_away(3, ErrorCode::PROTOCOL_ERROR, "a frame is on a stream that it cannot be on")]
    );
    assert!(client.connection.is_closed());
    // Whose streams those were is known until it is dropped; nothing more is said on them, or heard.
    assert_eq!(client.connection.streams().collect::<Vec<_>>(), [(1, 9), (3, 0)]);
    assert_eq!(
        client.connection.respond(1, StatusCode::OK, &HeaderMap::new(), true, &mut client.out),
        Err(Closed)
    );
    assert_eq!(client.connection.window(1), 0);
    client.connection.reset(1, ErrorCode::CANCEL, &mut client.out);
    client.connection.ping([0; 8], &mut client.out);
    client.connection.go_away(&mut client.out);
    client.connection.close(ErrorCode::NO_ERROR, "", &mut client.out);
    client.connection.consumed(1, 5, &mut client.out);
    assert_eq!(client.say(&bytes), [Said::Failed(ErrorCode::PROTOCOL_ERROR)]);
    assert_eq!(client.out, b"");
}

#[test]
fn its_owner_closes_a_connection() {
    let mut client = Client::new(Settings::default());
    client.get(1);
    client.connection.close(ErrorCode::ENHANCE_YOUR_CALM, "too slow", &mut client.out);
    assert_eq!(client.frames(), [go_away(1, ErrorCode::ENHANCE_YOUR_CALM, "too slow")]);
    assert_eq!(client.say(b"anything"), [Said::Failed(ErrorCode::ENHANCE_YOUR_CALM)]);
}

#[test]
fn a_ping_is_answered_and_so_is_ours() {
    let mut client = Client::new(Settings::default());
    assert_eq!(client.say(&frame(PING, 0, 0, b"12345678")), []);
    let pong = Frame { kind: PING, flags: ACK, stream: 0, payload: b"12345678".to_vec() };
    assert_eq!(client.frames(), [pong]);
    client.connection.ping(*b"abcdefgh", &mut client.out);
    assert_eq!(client.frames(), [Frame { kind: PING, flags: 0, stream: 0, payload: b"abcdefgh".to_vec() }]);
    assert_eq!(client.say(&frame(PING, ACK, 0, b"abcdefgh")), [Said::Pong(*b"abcdefgh")]);
}

#[test]
fn a_client_that_goes_away_is_heard() {
    let mut client = Client::new(Settings::default());
    let debug = [&[0; 4][..], &ErrorCode::CANCEL.0.to_be_bytes(), &[b'x'; 5_000]].concat();
    assert_eq!(client.say(&frame(GOAWAY, 0, 0, &debug)), [Said::GoAway(ErrorCode::CANCEL)]);
    assert!(client.connection.is_idle());
}

#[test]
fn it_is_known_whether_a_head_is_being_received_and_which() {
    let mut client = Client::silent(Settings::default());
    let mut known = Vec::new();
    let mut pieces = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[])].concat();
    let block = request("GET", &[]);
    pieces.extend(frame(HEADERS, 0, 1, &block[..2]));
    pieces.extend(frame(9, 0, 1, &block[2..]));
    pieces.extend(frame(9, 4, 1, b""));
    pieces.extend(frame(HEADERS, 4, 3, &block));
    // Data is handed out as it comes.
    pieces.extend(&frame(0, 0, 1, &[0; 300])[..200]);
    for byte in pieces {
        client.say(&[byte]);
        if known.last() != Some(&client.connection.receiving_head()) {
            known.push(client.connection.receiving_head());
        }
    }
    // The preface with the settings; a block in three frames; another; and the front of a frame of data.
    assert_eq!(known, [Some(0), None, Some(1), None, Some(2), None, Some(3), None]);
}

#[test]
fn it_is_known_whether_something_is_being_received() {
    let mut client = Client::silent(Settings::default());
    assert!(client.connection.is_receiving());
    let bytes = [&PREFACE[..], &frame(SETTINGS, 0, 0, &[])].concat();
    let (last, front) = bytes.split_last().unwrap();
    client.say(front);
    assert!(client.connection.is_receiving() && !client.connection.is_idle());
    client.say(&[*last]);
    assert!(!client.connection.is_receiving() && client.connection.is_idle());
    assert!(!client.connection.settings_acknowledged());
    client.say(&frame(HEADERS, 0, 1, &request("GET", &[])));
    assert!(client.connection.is_receiving());
    client.say(&frame(9, 4, 1, b""));
    assert!(!client.connection.is_receiving() && !client.connection.is_idle());
}

#[test]
fn nothing_but_the_preface_and_settings_begins_a_connection() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx",
        &[&PREFACE[..], &frame(PING, 0, 0, &[0; 8])].concat(),
        &[&PREFACE[..], &frame(SETTINGS, ACK, 0, &[])].concat(),
        &[&PREFACE[..], &frame(99, 0, 0, &[])].concat(),
    ] {
        let mut client = Client::silent(Settings::default());
        client.out.clear();
        assert_eq!(client.say(bytes), [Said::Failed(ErrorCode::PROTOCOL_ERROR)], "{bytes:?}");
        assert_eq!(client.frames()[0].kind, GOAWAY);
    }
}
