//! Frames and streams: sections 3 to 5 of h2spec's group `http2`.

use super::Case;
use super::peer::{
    CONTINUATION, END, END_HEADERS, END_STREAM, HEADERS, Outcome, PING, Peer, SETTINGS,
    SETTINGS_INITIAL_WINDOW_SIZE, SETTINGS_MAX_CONCURRENT_STREAMS, Seen, WITH_PRIORITY,
};
use crate::ErrorCode;

const PROTOCOL_ERROR: &[ErrorCode] = &[ErrorCode::PROTOCOL_ERROR];
const STREAM_CLOSED: &[ErrorCode] = &[ErrorCode::STREAM_CLOSED];
const CLOSED_OR_PROTOCOL: &[ErrorCode] = &[ErrorCode::STREAM_CLOSED, ErrorCode::PROTOCOL_ERROR];
/// A type that no frame has.
const UNKNOWN: u8 = 0x16;

pub(super) static CASES: &[Case] = &[
    Case {
        section: "http2/3.5",
        name: "sends a client connection preface",
        run: |peer| {
            peer.raw(crate::PREFACE);
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 65_535)]);
            let is_preface = |seen: &Seen| matches!(seen, Seen::Frame(frame) if frame.kind == SETTINGS && frame.flags == 0);
            peer.until("the server's settings", is_preface)
        },
    },
    Case {
        section: "http2/3.5",
        name: "sends an invalid connection preface",
        run: |peer| {
            peer.raw(b"INVALID CONNECTION PREFACE\r\n\r\n");
            peer.connection_end()
        },
    },
    Case { section: "http2/4.1", name: "sends a frame with an unknown type", run: unknown_frame },
    Case {
        section: "http2/4.1",
        name: "sends a frame with an undefined flag",
        run: |peer| {
            peer.handshake()?;
            peer.frame(PING, 0x16, 0, b"h2spec\0\0");
            peer.pong()
        },
    },
    Case {
        section: "http2/4.1",
        name: "sends a frame with the reserved field bit",
        run: |peer| {
            peer.handshake()?;
            peer.frame(PING, 0x16, 1 << 31, b"h2spec\0\0");
            peer.pong()
        },
    },
    Case {
        section: "http2/4.2",
        name: "sends a DATA frame with 2^14 octets in length",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[]);
            peer.data(1, END_STREAM, &[b'x'; 1 << 14]);
            peer.response(1)
        },
    },
    Case {
        section: "http2/4.2",
        name: "sends a DATA frame that exceeds SETTINGS_MAX_FRAME_SIZE",
        run: |peer| {
            peer.handshake()?;
            peer.post(1, &[]);
            peer.data(1, END_STREAM, &[b'x'; (1 << 14) + 1]);
            peer.stream_error(&[ErrorCode::FRAME_SIZE_ERROR])
        },
    },
    Case {
        section: "http2/4.2",
        name: "sends a HEADERS frame that exceeds SETTINGS_MAX_FRAME_SIZE",
        run: |peer| {
            peer.handshake()?;
            let value = "x".repeat(4_000);
            let names = ["x-dummy0", "x-dummy1", "x-dummy2", "x-dummy3", "x-dummy4"];
            let block = peer.fields("GET", &names.map(|name| (name, &*value)));
            peer.headers(1, END, &block);
            peer.connection_error(&[ErrorCode::FRAME_SIZE_ERROR])
        },
    },
    Case {
        section: "http2/4.3",
        name: "sends an invalid header block fragment",
        run: |peer| {
            peer.handshake()?;
            peer.headers(1, END, b"\x40");
            peer.connection_error(&[ErrorCode::COMPRESSION_ERROR])
        },
    },
    Case {
        section: "http2/4.3",
        name: "sends a PRIORITY frame while sending the header blocks",
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
        section: "http2/4.3",
        name: "sends a HEADERS frame to another stream while sending the header blocks",
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
        section: "http2/5.1",
        name: "idle: sends a DATA frame",
        run: |peer| {
            peer.handshake()?;
            peer.data(1, END_STREAM, b"test");
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/5.1",
        name: "idle: sends a RST_STREAM frame",
        run: |peer| {
            peer.handshake()?;
            peer.reset(1, 8);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/5.1",
        name: "idle: sends a WINDOW_UPDATE frame",
        run: |peer| {
            peer.handshake()?;
            peer.window(1, 100);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/5.1",
        name: "idle: sends a CONTINUATION frame",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.frame(CONTINUATION, END_HEADERS, 1, &block);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/5.1",
        name: "half closed (remote): sends a DATA frame",
        run: |peer| {
            half_closed(peer)?;
            peer.data(1, END_STREAM, b"test");
            peer.stream_error(STREAM_CLOSED)
        },
    },
    Case {
        section: "http2/5.1",
        name: "half closed (remote): sends a HEADERS frame",
        run: |peer| {
            half_closed(peer)?;
            peer.get(1);
            peer.stream_error(STREAM_CLOSED)
        },
    },
    Case {
        section: "http2/5.1",
        name: "half closed (remote): sends a CONTINUATION frame",
        run: |peer| {
            half_closed(peer)?;
            let block = peer.fields("GET", &[]);
            peer.frame(CONTINUATION, END_HEADERS, 1, &block);
            peer.stream_error(CLOSED_OR_PROTOCOL)
        },
    },
    Case {
        section: "http2/5.1",
        name: "closed: sends a DATA frame after sending RST_STREAM",
        run: |peer| {
            after_reset(peer)?;
            peer.data(1, END_STREAM, b"test");
            peer.stream_error(STREAM_CLOSED)
        },
    },
    Case {
        section: "http2/5.1",
        name: "closed: sends a HEADERS frame after sending RST_STREAM",
        run: |peer| {
            after_reset(peer)?;
            peer.get(1);
            peer.stream_error(STREAM_CLOSED)
        },
    },
    Case {
        section: "http2/5.1",
        name: "closed: sends a CONTINUATION frame after sending RST_STREAM",
        run: |peer| {
            after_reset(peer)?;
            let dummy = peer.dummy();
            peer.frame(CONTINUATION, END_HEADERS, 1, &dummy);
            peer.stream_error(CLOSED_OR_PROTOCOL)
        },
    },
    Case {
        section: "http2/5.1",
        name: "closed: sends a DATA frame",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            peer.response_end()?;
            peer.data(1, END_STREAM, b"test");
            peer.connection_error(STREAM_CLOSED)
        },
    },
    Case {
        section: "http2/5.1",
        name: "closed: sends a HEADERS frame",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            peer.response_end()?;
            peer.get(1);
            peer.connection_error(STREAM_CLOSED)
        },
    },
    Case {
        section: "http2/5.1",
        name: "closed: sends a CONTINUATION frame",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            peer.response_end()?;
            let dummy = peer.dummy();
            peer.frame(CONTINUATION, END_HEADERS, 1, &dummy);
            peer.connection_error(CLOSED_OR_PROTOCOL)
        },
    },
    Case {
        section: "http2/5.1.1",
        name: "sends an even-numbered stream identifier",
        run: |peer| {
            peer.handshake()?;
            peer.get(2);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/5.1.1",
        name: "sends a stream identifier that is numerically smaller than previous",
        run: |peer| {
            peer.handshake()?;
            peer.get(5);
            peer.get(3);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/5.1.1",
        name: "sends a HEADERS frame on a stream that is half-closed (remote)",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
            peer.get(5);
            peer.get(5);
            peer.stream_error(STREAM_CLOSED)
        },
    },
    Case { section: "http2/5.1.2", name: "exceeds the concurrent stream limit", run: too_many_streams },
    Case {
        section: "http2/5.3.1",
        name: "sends a HEADERS frame that depends on itself",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.frame(HEADERS, END | WITH_PRIORITY, 1, &[&[0, 0, 0, 1, 255], &block[..]].concat());
            peer.stream_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/5.3.1",
        name: "sends a PRIORITY frame that depends on itself",
        run: |peer| {
            peer.handshake()?;
            peer.priority(1, 1, 255);
            peer.stream_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/5.4.1",
        name: "sends an invalid PING frame for connection close",
        run: |peer| {
            peer.handshake()?;
            peer.frame(PING, 0, 3, &[0; 8]);
            peer.connection_end()
        },
    },
    Case {
        section: "http2/5.4.1",
        name: "sends an invalid PING frame to receive a GOAWAY frame",
        run: |peer| {
            peer.handshake()?;
            peer.frame(PING, 0, 3, &[0; 8]);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case { section: "http2/5.5", name: "sends an unknown extension frame", run: unknown_frame },
    Case {
        section: "http2/5.5",
        name: "sends an unknown extension frame in the middle of a header block",
        run: |peer| {
            peer.handshake()?;
            let block = peer.fields("GET", &[]);
            peer.headers(1, END_STREAM, &block);
            peer.frame(UNKNOWN, 0, 0, &[0; 8]);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
];

fn unknown_frame(peer: &mut Peer) -> Outcome {
    peer.handshake()?;
    peer.frame(UNKNOWN, 0, 0, &[0; 8]);
    peer.ping();
    peer.pong()
}

/// A request that was not answered whole, because its window is closed.
fn half_closed(peer: &mut Peer) -> Outcome {
    peer.handshake()?;
    peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
    peer.get(1);
    Ok(())
}

fn after_reset(peer: &mut Peer) -> Outcome {
    peer.handshake()?;
    let block = peer.fields("GET", &[]);
    peer.headers(1, END_HEADERS, &block);
    peer.reset(1, 8);
    Ok(())
}

/// Where the server has no limit, there is nothing to exceed.
fn too_many_streams(peer: &mut Peer) -> Outcome {
    peer.handshake()?;
    let Some(most) = peer.setting(SETTINGS_MAX_CONCURRENT_STREAMS) else { return Ok(()) };
    // With closed windows, no response ends.
    peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
    for number in 0..=most {
        peer.get(2 * number + 1);
    }
    peer.stream_error(&[ErrorCode::PROTOCOL_ERROR, ErrorCode::REFUSED_STREAM])
}
