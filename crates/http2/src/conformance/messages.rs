//! Requests: sections 7 and 8 of h2spec's group `http2`.

use super::Case;
use super::peer::{END, END_HEADERS, END_STREAM, GOAWAY, Outcome, PUSH_PROMISE, Peer};
use crate::ErrorCode;

const PROTOCOL_ERROR: &[ErrorCode] = &[ErrorCode::PROTOCOL_ERROR];

/// A request with other fields behind those that it needs is malformed.
macro_rules! refuses_fields {
    ($section:literal, $name:literal, $fields:expr) => {
        Case {
            section: $section,
            name: $name,
            run: |peer| {
                peer.handshake()?;
                let block = peer.fields("GET", $fields);
                peer.headers(1, END, &block);
                peer.stream_error(PROTOCOL_ERROR)
            },
        }
    };
}

pub(super) static CASES: &[Case] = &[
    Case {
        section: "http2/7",
        name: "sends a GOAWAY frame with an unknown error code",
        run: |peer| {
            peer.handshake()?;
            peer.frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]);
            peer.connection_end()
        },
    },
    Case {
        section: "http2/7",
        name: "sends a RST_STREAM frame with an unknown error code",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[]);
            peer.reset(1, 0xff);
            peer.ping();
            peer.pong()
        },
    },
    Case {
        section: "http2/8.1",
        name: "sends a second HEADERS frame without the END_STREAM flag",
        run: |peer| trailers(peer, END_HEADERS, ("x-test", "ok")),
    },
    refuses_fields!("http2/8.1.2", "sends a field name in uppercase letters", &[("X-TEST", "ok")]),
    refuses_fields!("http2/8.1.2.1", "sends an unknown pseudo-header field", &[(":test", "ok")]),
    refuses_fields!("http2/8.1.2.1", "sends the pseudo-header field of responses", &[(":status", "200")]),
    Case {
        section: "http2/8.1.2.1",
        name: "sends a pseudo-header field as a trailer",
        run: |peer| trailers(peer, END, (":method", "POST")),
    },
    Case {
        section: "http2/8.1.2.1",
        name: "sends a pseudo-header field after a regular field",
        run: |peer| {
            peer.handshake()?;
            let block = [peer.block(&[("x-test", "ok")]), peer.fields("GET", &[])].concat();
            peer.headers(1, END, &block);
            peer.stream_error(PROTOCOL_ERROR)
        },
    },
    refuses_fields!("http2/8.1.2.2", "sends a connection-specific field", &[("connection", "keep-alive")]),
    refuses_fields!(
        "http2/8.1.2.2",
        "sends the field TE with a value other than \"trailers\"",
        &[("trailers", "test"), ("te", "trailers, deflate")]
    ),
    Case {
        section: "http2/8.1.2.3",
        name: "sends an empty :path",
        run: |peer| refuses_field(peer, ":path", Some("")),
    },
    Case {
        section: "http2/8.1.2.3",
        name: "omits :method",
        run: |peer| refuses_field(peer, ":method", None),
    },
    Case {
        section: "http2/8.1.2.3",
        name: "omits :scheme",
        run: |peer| refuses_field(peer, ":scheme", None),
    },
    Case { section: "http2/8.1.2.3", name: "omits :path", run: |peer| refuses_field(peer, ":path", None) },
    refuses_fields!("http2/8.1.2.3", "sends :method twice", &[(":method", "GET")]),
    refuses_fields!("http2/8.1.2.3", "sends :scheme twice", &[(":scheme", "http")]),
    refuses_fields!("http2/8.1.2.3", "sends :path twice", &[(":path", "/")]),
    Case {
        section: "http2/8.1.2.6",
        name: "sends a content-length that does not equal the DATA frame's payload length",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[("content-length", "1")]);
            peer.data(1, END_STREAM, b"test");
            peer.stream_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/8.1.2.6",
        name: "sends a content-length that does not equal the sum of the DATA frames' payload lengths",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[("content-length", "1")]);
            peer.data(1, 0, b"test");
            peer.data(1, END_STREAM, b"test");
            peer.stream_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/8.2",
        name: "sends a PUSH_PROMISE frame",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 3], &block[..]].concat());
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
];

/// A body with a second block of fields that is malformed.
fn trailers(peer: &mut Peer, flags: u8, field: (&str, &str)) -> Outcome {
    peer.handshake()?;
    peer.post(1, &[]);
    peer.data(1, 0, b"test");
    let block = peer.block(&[field]);
    peer.headers(1, flags, &block);
    peer.stream_error(PROTOCOL_ERROR)
}

fn refuses_field(peer: &mut Peer, name: &str, value: Option<&str>) -> Outcome {
    peer.handshake()?;
    let block = peer.fields_but(name, value);
    peer.headers(1, END, &block);
    peer.stream_error(PROTOCOL_ERROR)
}
