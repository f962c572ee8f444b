//! HPACK, the compression of header fields (RFC 7541).

mod decoder;
mod encoder;
#[cfg(test)]
mod examples;
mod huffman;
mod integer;
mod static_table;
mod table;

pub(crate) use decoder::{DecodeError, Decoder};
pub(crate) use encoder::{encode_field, encode_size_update, encode_status};

/// What an entry counts beside its name and its value (RFC 7541 §4.1); the same for a field in a list (RFC 9113 §6.5.2).
pub(crate) const FIELD_OVERHEAD: usize = 32;
