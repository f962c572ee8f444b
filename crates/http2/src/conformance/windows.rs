//! Windows and continued heads: sections 6.9 and 6.10 of h2spec's group `http2`.

use super::Case;
use super::frames::open;
use super::peer::{
    CONTINUATION, END_HEADERS, END_STREAM, RST_STREAM, SETTINGS_INITIAL_WINDOW_SIZE, Seen, WINDOW_UPDATE,
};
use crate::ErrorCode;

const PROTOCOL_ERROR: &[ErrorCode] = &[ErrorCode::PROTOCOL_ERROR];
const FRAME_SIZE_ERROR: &[ErrorCode] = &[ErrorCode::FRAME_SIZE_ERROR];
const FLOW_CONTROL_ERROR: &[ErrorCode] = &[ErrorCode::FLOW_CONTROL_ERROR];

pub(super) static CASES: &[Case] = &[
    Case {
        section: "http2/6.9",
        name: "sends a WINDOW_UPDATE frame with an increment of 0",
        run: |peer| {
            peer.handshake()?;
            peer.window(0, 0);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.9",
        name: "sends a WINDOW_UPDATE frame with an increment of 0 on a stream",
        run: |peer| {
            open(peer)?;
            peer.window(1, 0);
            peer.stream_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.9",
        name: "sends a WINDOW_UPDATE frame with a length other than 4 octets",
        run: |peer| {
            peer.handshake()?;
            peer.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]);
            peer.connection_error(FRAME_SIZE_ERROR)
        },
    },
    Case {
        section: "http2/6.9.1",
        name: "sends a SETTINGS frame to set the initial window size to 1, and a HEADERS frame",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 1)]);
            peer.settings_ack()?;
            peer.get(1);
            peer.data_of(1)
        },
    },
    Case {
        section: "http2/6.9.1",
        name: "sends multiple WINDOW_UPDATE frames increasing the window to above 2^31-1",
        run: |peer| {
            peer.handshake()?;
            peer.window(0, (1 << 31) - 1);
            peer.window(0, (1 << 31) - 1);
            peer.connection_error(FLOW_CONTROL_ERROR)
        },
    },
    Case {
        section: "http2/6.9.1",
        name: "sends multiple WINDOW_UPDATE frames increasing the window of a stream to above 2^31-1",
        run: |peer| {
            open(peer)?;
            peer.window(1, (1 << 31) - 1);
            peer.window(1, (1 << 31) - 1);
            let told = |seen: &Seen| matches!(seen, Seen::Frame(frame) if (frame.kind, frame.stream, &frame.payload[..]) == (RST_STREAM, 1, &[0, 0, 0, 3]));
            peer.until("RST_STREAM with FLOW_CONTROL_ERROR", told)
        },
    },
    Case {
        section: "http2/6.9.2",
        name: "changes SETTINGS_INITIAL_WINDOW_SIZE after sending a HEADERS frame",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 0)]);
            peer.settings_ack()?;
            peer.get(1);
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 1)]);
            peer.data_of(1)
        },
    },
    Case {
        section: "http2/6.9.2",
        name: "sends a SETTINGS frame that makes a window negative",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 3)]);
            peer.settings_ack()?;
            peer.get(1);
            peer.data_of(3)?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 2)]);
            peer.settings_ack()?;
            peer.window(1, 2);
            peer.data_of(1)
        },
    },
    Case {
        section: "http2/6.9.2",
        name: "sends SETTINGS_INITIAL_WINDOW_SIZE with a value that exceeds the maximum",
        run: |peer| {
            peer.handshake()?;
            peer.settings(&[(SETTINGS_INITIAL_WINDOW_SIZE, 1 << 31)]);
            peer.connection_error(FLOW_CONTROL_ERROR)
        },
    },
    Case {
        section: "http2/6.10",
        name: "sends multiple CONTINUATION frames preceded by a HEADERS frame",
        run: |peer| {
            peer.handshake()?;
            let (block, dummy, again) = (peer.fields("GET", &[]), peer.dummy(), peer.dummy());
            peer.headers(1, END_STREAM, &block);
            peer.frame(CONTINUATION, 0, 1, &dummy);
            peer.frame(CONTINUATION, END_HEADERS, 1, &again);
            peer.response(1)
        },
    },
    Case {
        section: "http2/6.10",
        name: "sends a CONTINUATION frame followed by any frame other than CONTINUATION",
        run: |peer| {
            peer.handshake()?;
            let (block, dummy) = (peer.fields("POST", &[]), peer.dummy());
            peer.headers(1, 0, &block);
            peer.frame(CONTINUATION, 0, 1, &dummy);
            peer.data(1, END_STREAM, b"test");
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.10",
        name: "sends a CONTINUATION frame with 0x0 stream identifier",
        run: |peer| {
            peer.handshake()?;
            let (block, dummy) = (peer.fields("GET", &[]), peer.dummy());
            peer.headers(1, END_STREAM, &block);
            peer.frame(CONTINUATION, END_HEADERS, 0, &dummy);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.10",
        name: "sends a CONTINUATION frame preceded by a HEADERS frame with END_HEADERS flag",
        run: |peer| {
            peer.handshake()?;
            peer.get(1);
            let dummy = peer.dummy();
            peer.frame(CONTINUATION, END_HEADERS, 1, &dummy);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.10",
        name: "sends a CONTINUATION frame preceded by a CONTINUATION frame with END_HEADERS flag",
        run: |peer| {
            peer.handshake()?;
            let (block, dummy, again) = (peer.fields("GET", &[]), peer.dummy(), peer.dummy());
            peer.headers(1, END_STREAM, &block);
            peer.frame(CONTINUATION, END_HEADERS, 1, &dummy);
            peer.frame(CONTINUATION, END_HEADERS, 1, &again);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
    Case {
        section: "http2/6.10",
        name: "sends a CONTINUATION frame preceded by a DATA frame",
        run: |peer| {
            peer.handshake()?;
            let (block, dummy, again) = (peer.fields("POST", &[]), peer.dummy(), peer.dummy());
            peer.headers(1, 0, &block);
            peer.data(1, END_STREAM, b"test");
            peer.frame(CONTINUATION, 0, 1, &dummy);
            peer.frame(CONTINUATION, END_HEADERS, 0, &again);
            peer.connection_error(PROTOCOL_ERROR)
        },
    },
];
