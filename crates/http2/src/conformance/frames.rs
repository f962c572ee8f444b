//! What each frame may say: sections 6.1 to 6.8 of h2spec's group `http2`.

use super::Case;
use super::peer::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PADDED, PING, PRIORITY, Peer,
    RST_STREAM, SETTINGS, SETTINGS_ENABLE_PUSH, SETTINGS_INITIAL_WINDOW_SIZE,
    SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_MAX_FRAME_SIZE, Seen,
};
use crate::ErrorCode;

const PROTOCOL_ERROR: &[ErrorCode] = &[ErrorCode::PROTOCOL_ERROR];
const FRAME_SIZE_ERROR: &[ErrorCode] = &[ErrorCode::FRAME_SIZE_ERROR];
const FLOW_CONTROL_ERROR: &[ErrorCode] = &[ErrorCode::FLOW_CONTROL_ERROR];

/// A setting that no server may take.
macro_rules! refuses_setting {
    ($name:literal, $id:expr, $value:expr, $codes:expr) => {
        Case {
            section: "http2/6.5.2",
            name: $name,
            run: |peer| {
                peer.handshake()?;
                peer.settings(&[($id, $value)]);
                peer.connection_error($codes)
            },
        }
    };
}

pub(super) static CASES: &[Case] = &[
    Case {
        section: "http2/6.1",
        name: "sends a DATA frame with 0x0 stream identifier",
        run: |peer| {
            peer.handshake()?;
            peer.data(0, END_STREAM, b"test");
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.1",
        name: "sends a DATA frame on a stream that is neither open nor half-closed (local)",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
            let block = peer.fields("POST", &[]);
            peer.headers(1, END_HEADERS | END_STREAM, &block);
            peer.data(1, END_STREAM, b"test");
            peer.stream_error(&[ErrorCode::STREAM_CLOSED])
        },
    },
    Case {
        section: "http2/6.1",
        name: "sends a DATA frame with an invalid pad length",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[("content-length", "4")]);
            peer.frame(DATA, END_STREAM | PADDED, 1, b"\x06Test");
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.2",
        name: "sends a HEADERS frame without the END_HEADERS flag, and a PRIORITY frame",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.headers(1, 0, &block);
            peer.priority(1, 0, 255);
            let dummy = peer.dummy();
            peer.frame(CONTINUATION, END_HEADERS, 1, &dummy);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.2",
        name: "sends a HEADERS frame to another stream while sending a HEADERS frame",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.headers(1, 0, &block);
            peer.get(3);
            let dummy = peer.dummy();
            peer.frame(CONTINUATION, END_HEADERS, 1, &dummy);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.2",
        name: "sends a HEADERS frame with 0x0 stream identifier",
        run: |peer| {
            peer.handshake()?;
            peer.get(0);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.2",
        name: "sends a HEADERS frame with an invalid pad length",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            let padding = u8::try_from(block.len() + 2).unwrap_or(u8::MAX);
            peer.frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[&[padding], &block[..]].concat());
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.3",
        name: "sends a PRIORITY frame with 0x0 stream identifier",
        run: |peer| {
            peer.handshake()?;
            peer.priority(0, 0, 255);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.3",
        name: "sends a PRIORITY frame with a length other than 5 octets",
        run: |peer| {
            open(peer)?;
            peer.frame(PRIORITY, 0, 1, &[0x80, 0, 0, 1]);
            peer.stream_error(FRAME_SIZE_ERROR)
        },
    },
    Case {
        section: "http2/6.4",
        name: "sends a RST_STREAM frame with 0x0 stream identifier",
        run: |peer| {
            peer.handshake()?;
            peer.reset(0, 8);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.4",
        name: "sends a RST_STREAM frame on an idle stream",
        run: |peer| {
            peer.handshake()?;
            peer.reset(1, 8);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.4",
        name: "sends a RST_STREAM frame with a length other than 4 octets",
        run: |peer| {
            open(peer)?;
            peer.frame(RST_STREAM, 0, 1, &[0; 3]);
            peer.connection_error(FRAME_SIZE_ERROR)
        },
    },
    Case {
        section: "http2/6.5",
        name: "sends a SETTINGS frame with ACK flag and payload",
        run: |peer| {
            peer.handshake()?;
            peer.frame(SETTINGS, ACK, 0, &[0]);
            peer.connection_error(FRAME_SIZE_ERROR)
        },
    },
    Case {
        section: "http2/6.5",
        name: "sends a SETTINGS frame with a stream identifier other than 0x0",
        run: |peer| {
            peer.handshake()?;
            peer.frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 0x64]);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.5",
        name: "sends a SETTINGS frame with a length other than a multiple of 6 octets",
        run: |peer| {
            peer.handshake()?;
            // The last byte of it is not sent.
            peer.raw(b"\0\0\x09\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x02");
            peer.connection_error(FRAME_SIZE_ERROR)
        },
    },
    refuses_setting!(
        "SETTINGS_ENABLE_PUSH: sends a value other than 0 or 1",
        SETTINGS_ENABLE_PUSH,
        2,
        PROTOCOL_ERROR
    ),
    refuses_setting!(
        "SETTINGS_INITIAL_WINDOW_SIZE: sends a value above the maximum",
        SETTINGS_INITIAL_WINDOW_SIZE,
        1 << 31,
        FLOW_CONTROL_ERROR
    ),
    refuses_setting!(
        "SETTINGS_MAX_FRAME_SIZE: sends a value below the initial one",
        SETTINGS_MAX_FRAME_SIZE,
        16_383,
        PROTOCOL_ERROR
    ),
    refuses_setting!(
        "SETTINGS_MAX_FRAME_SIZE: sends a value above the maximum",
        SETTINGS_MAX_FRAME_SIZE,
        1 << 24,
        PROTOCOL_ERROR
    ),
    Case {
        section: "http2/6.5.2",
        name: "sends a SETTINGS frame with an unknown identifier",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(0xff, 1)]);
            peer.ping();
            peer.pong()
        },
    },
    Case {
        section: "http2/6.5.3",
        name: "sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 100), (SETTINGS_INITIAL_WINDOW_SIZE, 1)]);
            peer.settings_ack()?;
            peer.get(1);
            peer.data_of(1)
        },
    },
    Case {
        section: "http2/6.5.3",
        name: "sends a SETTINGS frame without ACK flag",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_ENABLE_PUSH, 0), (SETTINGS_MAX_CONCURRENT_STREAMS, 1)]);
            peer.settings_ack()
        },
    },
    Case {
        section: "http2/6.7",
        name: "sends a PING frame",
        run: |peer| {
            peer.handshake()?;
            peer.ping();
            peer.pong()
        },
    },
    Case { section: "http2/6.7", name: "sends a PING frame with ACK", run: acknowledged_ping },
    Case {
        section: "http2/6.7",
        name: "sends a PING frame with a stream identifier other than 0x0",
        run: |peer| {
            peer.handshake()?;
            peer.frame(PING, 0, 1, &[0; 8]);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.7",
        name: "sends a PING frame with a length other than 8",
        run: |peer| {
            peer.handshake()?;
            peer.frame(PING, 0, 0, &[0; 6]);
            peer.connection_error(FRAME_SIZE_ERROR)
        },
    },
    Case {
        section: "http2/6.8",
        name: "sends a GOAWAY frame with a stream identifier other than 0x0",
        run: |peer| {
            peer.handshake()?;
            peer.frame(GOAWAY, 0, 1, &[0; 8]);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
];

/// A request whose body has not come.
pub(super) fn open(peer: &mut Peer) -> Outcome {
    peer.handshake()?;
    peer.post(1, &[]);
    Ok(())
}

/// A ping that is an answer is not answered.
fn acknowledged_ping(peer: &mut Peer) -> Outcome {
    peer.handshake()?;
    peer.frame(PING, ACK, 0, b"invalid\0");
    peer.ping();
    let mut echoed = false;
    let pong = |seen: &Seen| match seen {
        Seen::Frame(frame) if frame.kind == PING => {
            echoed |= frame.payload == b"invalid\0";
            frame.payload == b"h2spec\0\0" && frame.flags & ACK != 0
        }
        _ => false,
    };
    peer.until("the acknowledgement of the ping", pong)?;
    if echoed { Err("an acknowledgement was acknowledged".into()) } else { Ok(()) }
}
