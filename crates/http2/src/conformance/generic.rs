//! What a server takes: h2spec's group `generic`.

use super::Case;
use super::peer::{
    ACK, CONTINUATION, DATA, END, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PADDED, Peer, SETTINGS,
    SETTINGS_ENABLE_PUSH, SETTINGS_HEADER_TABLE_SIZE, SETTINGS_INITIAL_WINDOW_SIZE,
    SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_MAX_FRAME_SIZE, Seen, WITH_PRIORITY,
};

/// A block of fields with another one behind it is answered.
macro_rules! answers_field {
    ($name:literal, $field:expr) => {
        Case {
            section: "generic/5",
            name: $name,
            run: |peer| {
                peer.handshake()?;
                let mut block = peer.fields("GET", &[]);
                block.extend_from_slice($field);
                peer.headers(1, END, &block);
                peer.response(1)
            },
        }
    };
}

pub(super) static CASES: &[Case] = &[
    Case { section: "generic/1", name: "sends a client connection preface", run: first_frame },
    Case {
        section: "generic/2",
        name: "sends a PRIORITY frame on an idle stream",
        run: |peer| {
            peer.handshake()?;
            peer.priority(1, 0, 255);
            peer.ping();
            peer.pong()
        },
    },
    Case {
        section: "generic/2",
        name: "sends a WINDOW_UPDATE frame on a half-closed (remote) stream",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
            peer.get(1);
            peer.window(1, 1);
            peer.data_of(1)
        },
    },
    Case {
        section: "generic/2",
        name: "sends a PRIORITY frame on a half-closed (remote) stream",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
            peer.get(1);
            peer.priority(1, 0, 255);
            peer.window(1, 1);
            peer.data_of(1)
        },
    },
    Case {
        section: "generic/2",
        name: "sends a RST_STREAM frame on a half-closed (remote) stream",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            peer.reset(1, 8);
            peer.ping();
            peer.pong()
        },
    },
    Case {
        section: "generic/2",
        name: "sends a PRIORITY frame on a closed stream",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            peer.response_end()?;
            peer.priority(1, 0, 255);
            peer.ping();
            peer.pong()
        },
    },
    Case {
        section: "generic/3.1",
        name: "sends a DATA frame",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[]);
            peer.data(1, END_STREAM, b"test");
            peer.response(1)
        },
    },
    Case {
        section: "generic/3.1",
        name: "sends multiple DATA frames",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[]);
            peer.data(1, 0, b"test");
            peer.data(1, END_STREAM, b"test");
            peer.response(1)
        },
    },
    Case {
        section: "generic/3.1",
        name: "sends a DATA frame with padding",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[]);
            peer.frame(DATA, END_STREAM | PADDED, 1, b"\x06test\0\0\0\0\0\0");
            peer.response(1)
        },
    },
    Case {
        section: "generic/3.2",
        name: "sends a HEADERS frame",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            peer.response(1)
        },
    },
    Case {
        section: "generic/3.2",
        name: "sends a HEADERS frame with padding",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.frame(HEADERS, END | PADDED, 1, &[&[8], &block[..], &[0; 8]].concat());
            peer.response(1)
        },
    },
    Case {
        section: "generic/3.2",
        name: "sends a HEADERS frame with priority",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.frame(HEADERS, END | WITH_PRIORITY, 1, &[&[0, 0, 0, 0, 255], &block[..]].concat());
            peer.response(1)
        },
    },
    Case {
        section: "generic/3.3",
        name: "sends a PRIORITY frame with priority 1",
        run: |peer| with_priority(peer, 1, 0, 0),
    },
    Case {
        section: "generic/3.3",
        name: "sends a PRIORITY frame with priority 256",
        run: |peer| with_priority(peer, 1, 0, 255),
    },
    Case {
        section: "generic/3.3",
        name: "sends a PRIORITY frame with stream dependency",
        run: |peer| with_priority(peer, 3, 1, 0),
    },
    Case {
        section: "generic/3.3",
        name: "sends a PRIORITY frame with exclusive",
        run: |peer| with_priority(peer, 1, 1 << 31, 0),
    },
    Case {
        section: "generic/3.3",
        name: "sends a PRIORITY frame for an idle stream, then a HEADERS frame for a lower stream ID",
        run: |peer| with_priority(peer, 3, 0, 255),
    },
    Case {
        section: "generic/3.4",
        name: "sends a RST_STREAM frame",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[]);
            peer.reset(1, 8);
            peer.ping();
            peer.pong()
        },
    },
    Case {
        section: "generic/3.5",
        name: "sends a SETTINGS frame",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[
                (SETTINGS_HEADER_TABLE_SIZE, 4_096),
                (SETTINGS_ENABLE_PUSH, 1),
                (SETTINGS_MAX_CONCURRENT_STREAMS, 100),
                (SETTINGS_INITIAL_WINDOW_SIZE, 65_535),
                (SETTINGS_MAX_FRAME_SIZE, 16_384),
                (6, 100),
            ]);
            peer.settings_ack()
        },
    },
    Case {
        section: "generic/3.7",
        name: "sends a PING frame",
        run: |peer| {
            peer.handshake()?;
            peer.ping();
            peer.pong()
        },
    },
    Case {
        section: "generic/3.8",
        name: "sends a GOAWAY frame",
        run: |peer| {
            peer.handshake()?;
            peer.frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0h2spec");
            peer.connection_end()
        },
    },
    Case {
        section: "generic/3.9",
        name: "sends a WINDOW_UPDATE frame with stream ID 0",
        run: |peer| {
            peer.handshake()?;
            peer.window(0, 1);
            peer.ping();
            peer.pong()
        },
    },
    Case {
        section: "generic/3.9",
        name: "sends a WINDOW_UPDATE frame with stream ID 1",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            peer.window(1, 1);
            peer.response(1)
        },
    },
    Case {
        section: "generic/3.10",
        name: "sends a CONTINUATION frame",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.headers(1, END_STREAM, &block[..5]);
            peer.frame(CONTINUATION, END_HEADERS, 1, &block[5..]);
            peer.response(1)
        },
    },
    Case {
        section: "generic/3.10",
        name: "sends multiple CONTINUATION frames",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.headers(1, END_STREAM, &block[..5]);
            peer.frame(CONTINUATION, 0, 1, &block[5..10]);
            peer.frame(CONTINUATION, END_HEADERS, 1, &block[10..]);
            peer.response(1)
        },
    },
    Case {
        section: "generic/4",
        name: "sends a GET request",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            peer.response(1)
        },
    },
    Case {
        section: "generic/4",
        name: "sends a HEAD request",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("HEAD", &[]);
            peer.headers(1, END, &block);
            peer.response(1)
        },
    },
    Case {
        section: "generic/4",
        name: "sends a POST request",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[]);
            peer.data(1, END_STREAM, b"test");
            peer.response(1)
        },
    },
    Case {
        section: "generic/4",
        name: "sends a POST request with trailers",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[("trailer", "x-test")]);
            peer.data(1, 0, b"test");
            let trailers = peer.block(&[("x-test", "ok")]);
            peer.headers(1, END, &trailers);
            peer.response(1)
        },
    },
    answers_field!("sends an indexed header field representation", b"\xba"),
    answers_field!(
        "sends a literal header field with incremental indexing - indexed name",
        b"\x7a\x06h2spec"
    ),
    answers_field!(
        "sends a literal header field with incremental indexing - indexed name (with Huffman coding)",
        b"\x7a\x84\x9c\x48\xac\xa4"
    ),
    answers_field!(
        "sends a literal header field with incremental indexing - new name",
        b"\x40\x06x-test\x06h2spec"
    ),
    answers_field!(
        "sends a literal header field with incremental indexing - new name (with Huffman coding)",
        b"\x40\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4"
    ),
    answers_field!("sends a literal header field without indexing - indexed name", b"\x0f\x2b\x06h2spec"),
    answers_field!(
        "sends a literal header field without indexing - indexed name (with Huffman coding)",
        b"\x0f\x2b\x84\x9c\x48\xac\xa4"
    ),
    answers_field!("sends a literal header field without indexing - new name", b"\x00\x06x-test\x06h2spec"),
    answers_field!(
        "sends a literal header field without indexing - new name (with Huffman coding)",
        b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4"
    ),
    answers_field!("sends a literal header field never indexed - indexed name", b"\x1f\x2b\x06h2spec"),
    answers_field!(
        "sends a literal header field never indexed - indexed name (with Huffman coding)",
        b"\x1f\x2b\x84\x9c\x48\xac\xa4"
    ),
    answers_field!("sends a literal header field never indexed - new name", b"\x10\x06x-test\x06h2spec"),
    answers_field!(
        "sends a literal header field never indexed - new name (with Huffman coding)",
        b"\x10\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4"
    ),
    Case {
        section: "generic/5",
        name: "sends a dynamic table size update",
        run: |peer| with_size_updates(peer, b"\x20"),
    },
    Case {
        section: "generic/5",
        name: "sends multiple dynamic table size updates",
        run: |peer| with_size_updates(peer, b"\x20\x3f\xe1\x1f"),
    },
];

/// The first frame of a server is its settings.
fn first_frame(peer: &mut Peer) -> Outcome {
    peer.raw(crate::PREFACE);
    peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 65_535)]);
    match peer.receive() {
        Seen::Frame(frame) if frame.kind == SETTINGS && frame.flags & ACK == 0 => Ok(()),
        other => Err(format!("settings had to come first, and not {other:?}")),
    }
}

fn with_priority(peer: &mut Peer, stream: u32, on: u32, weight: u8) -> Outcome {
    peer.handshake()?;
    peer.priority(stream, on, weight);
    peer.get(1);
    peer.response(1)
}

fn with_size_updates(peer: &mut Peer, updates: &[u8]) -> Outcome {
    peer.handshake()?;
    let block = peer.fields("GET", &[]);
    peer.headers(1, END, &[updates, &block[..]].concat());
    peer.response(1)
}
