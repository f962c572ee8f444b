//! Blocks of fields that cannot be decoded: h2spec's group `hpack`.

use super::Case;
use super::encoder::integer;
use super::peer::{END, Outcome, Peer, SETTINGS_HEADER_TABLE_SIZE};
use crate::ErrorCode;

/// A block with this behind it cannot be decoded.
macro_rules! refuses_end {
    ($section:literal, $name:literal, $end:expr) => {
        Case { section: $section, name: $name, run: |peer| refuses(peer, &[], $end) }
    };
}

pub(super) static CASES: &[Case] = &[
    refuses_end!("hpack/2.3.3", "sends an indexed field with an invalid index", b"\xfe"),
    refuses_end!("hpack/2.3.3", "sends a literal field with an invalid index", b"\x7f\x3f\x02ok"),
    refuses_end!("hpack/4.2", "sends a dynamic table size update at the end of a header block", b"\x21"),
    refuses_end!(
        "hpack/5.2",
        "sends a Huffman-encoded string with padding longer than 7 bits",
        b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"
    ),
    refuses_end!(
        "hpack/5.2",
        "sends a Huffman-encoded string padded by zero",
        b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"
    ),
    refuses_end!(
        "hpack/5.2",
        "sends a Huffman-encoded string that contains the EOS symbol",
        b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\xff\xff\xff\xfd\x25\x42\x7f"
    ),
    refuses_end!("hpack/6.1", "sends an indexed field with index 0", b"\x80"),
    Case {
        section: "hpack/6.3",
        name: "sends a dynamic table size update larger than SETTINGS_HEADER_TABLE_SIZE",
        run: |peer| {
            peer.handshake()?;
            let mut update = Vec::new();
            let most = peer.setting(SETTINGS_HEADER_TABLE_SIZE).unwrap_or(4_096);
            integer(most as usize + 1, 5, 0x20, &mut update);
            refuses_block(peer, &update, &[])
        },
    },
];

fn refuses(peer: &mut Peer, before: &[u8], after: &[u8]) -> Outcome {
    peer.handshake()?;
    refuses_block(peer, before, after)
}

fn refuses_block(peer: &mut Peer, before: &[u8], after: &[u8]) -> Outcome {
    let block = peer.fields("GET", &[]);
    peer.headers(1, END, &[before, &block[..], after].concat());
    peer.connection_error(&[ErrorCode::COMPRESSION_ERROR])
}
