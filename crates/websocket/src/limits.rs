//! What a peer may make a socket hold and do, beside the size of its messages, which its owner chooses.

/// The most that a control frame has (RFC 6455 §5.5).
pub const CONTROL_BYTES: usize = 125;
/// The longest reason of a close frame: what its code leaves.
pub const REASON_BYTES: usize = CONTROL_BYTES - 2;
/// How many fragments of a message may be empty. They bring nothing, and could go on for ever.
pub const EMPTY_FRAGMENTS: u8 = 100;
/// The most extensions that a handshake's offers are looked at.
pub const OFFERS: usize = 16;
/// A message of fewer bytes is not compressed: little or nothing would be gained.
pub const COMPRESS_MIN_BYTES: usize = 64;
/// How hard messages are compressed, from 1 to 9. Each is compressed once for all who get it.
pub const COMPRESSION_LEVEL: u32 = 6;
/// By how much an inflated message grows at a time, at first.
pub(crate) const INFLATE_STEP: usize = 4 << 10;

/// The most bytes that a message of so many may have come as. Compression adds a bit for each byte to what it cannot
/// make smaller, and a few bytes.
pub(crate) const fn compressed_bytes(message: usize) -> usize {
    message.saturating_add(message / 8).saturating_add(64)
}
