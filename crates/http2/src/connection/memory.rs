//! What connections take that wait.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::Connection;
use crate::{ErrorCode, PREFACE, Settings};

/// A request for a stream of events as a browser makes it, with a table.
const REQUEST: &[u8] =
    b"\x82\x87\x44\x09/topics/a\x41\x03hub\x53\x11text/event-stream\x7a\x10Mozilla/5.0 (X11";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0, 0, length, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A connection whose client has opened so many streams at once, which have had the head of their answers.
fn waiting(streams: u32) -> Connection {
    let mut out = Vec::new();
    let mut connection = Connection::new(Arc::new(Settings::default()), &mut out);
    // Its first request comes with the preface, as those of browsers.
    let hello = [&PREFACE[..], &frame(4, 0, 0, &[]), &frame(1, 5, 1, REQUEST), &frame(4, 1, 0, &[])].concat();
    take(&mut connection, &hello);
    for number in 1..streams {
        // From the second on, the client uses no table.
        take(&mut connection, &frame(1, 5, 2 * number + 1, &[b"\x20", REQUEST].concat()));
    }
    for number in 0..streams {
        let stream = 2 * number + 1;
        connection.respond(stream, StatusCode::OK, &HeaderMap::new(), false, &mut out).unwrap();
        connection.send(stream, b"data: x\n\n", false, &mut out).unwrap();
    }
    assert_eq!(connection.open_streams(), streams as usize);
    connection
}

/// Takes it byte by byte, so that whatever is kept of a frame in between is kept.
fn take(connection: &mut Connection, bytes: &[u8]) {
    for mut byte in bytes.chunks(1) {
        while connection.receive(&mut byte, 0, &mut Vec::new()).unwrap().is_some() {}
    }
}

#[test]
fn the_state_itself_is_small() {
    assert!(size_of::<Connection>() <= 250, "{}", size_of::<Connection>());
    assert!(size_of::<crate::stream::Stream>() <= 48, "{}", size_of::<crate::stream::Stream>());
}

#[test]
fn a_connection_takes_little_while_it_waits() {
    // The rest of it is the table of the first request.
    assert!(waiting(1).memory() <= 250 + 50 + 160, "{}", waiting(1).memory());
    let hundred = waiting(100).memory();
    assert!(hundred <= 250 + 100 * 60, "{hundred}");
}

#[test]
fn what_is_under_way_takes_memory_and_what_is_over_takes_none() {
    let mut connection = waiting(100);
    let before = connection.memory();
    let mut out = Vec::new();
    take(&mut connection, &frame(6, 0, 0, &[0; 8])[..10]);
    assert!(connection.memory() > before);
    take(&mut connection, &[0; 7]);
    assert_eq!(connection.memory(), before);
    take(&mut connection, &frame(1, 0, 201, REQUEST));
    assert!(connection.memory() > before + REQUEST.len());
    take(&mut connection, &frame(9, 4, 201, b""));
    for stream in connection.streams().map(|(stream, _)| stream).collect::<Vec<_>>() {
        connection.reset(stream, ErrorCode::CANCEL, &mut out);
    }
    assert!(connection.memory() <= 250 + 4 * 50, "{}", connection.memory());
}
