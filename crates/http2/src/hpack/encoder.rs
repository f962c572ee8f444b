use http::StatusCode;

use super::{huffman, integer, static_table};

/// Literals that may become entries somewhere on the way, and those that may not (RFC 7541 §6.2.2, §6.2.3).
const WITHOUT_INDEXING: u8 = 0x00;
const NEVER_INDEXED: u8 = 0x10;
const INDEXED: u8 = 0x80;
const SIZE_UPDATE: u8 = 0x20;
const HUFFMAN: u8 = 0x80;

/// Says that the encoder uses no dynamic table (RFC 7541 §6.3).
pub(crate) fn encode_size_update(out: &mut Vec<u8>) {
    integer::encode(0, 5, SIZE_UPDATE, out);
}

/// Writes the `:status` of a response.
pub(crate) fn encode_status(status: StatusCode, out: &mut Vec<u8>) {
    let index = match status.as_u16() {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            integer::encode(8, 4, WITHOUT_INDEXING, out);
            return encode_string(status.as_str().as_bytes(), out);
        }
    };
    integer::encode(index, 7, INDEXED, out);
}

/// Writes a field, whose name is in lower case. One that is sensitive has to stay a literal also behind proxies.
pub(crate) fn encode_field(name: &str, value: &[u8], is_sensitive: bool, out: &mut Vec<u8>) {
    let kind = if is_sensitive { NEVER_INDEXED } else { WITHOUT_INDEXING };
    match static_table::index_of(name) {
        Some(index) => integer::encode(index, 4, kind, out),
        None => {
            out.push(kind);
            encode_string(name.as_bytes(), out);
        }
    }
    encode_string(value, out);
}

fn encode_string(text: &[u8], out: &mut Vec<u8>) {
    let length = huffman::encoded_len(text);
    if length < text.len() {
        integer::encode(length, 7, HUFFMAN, out);
        huffman::encode(text, out);
    } else {
        integer::encode(text.len(), 7, 0, out);
        out.extend_from_slice(text);
    }
}
