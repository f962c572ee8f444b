//! What a client may make a connection hold and do. Who goes beyond it is told `ENHANCE_YOUR_CALM`.
//!
//! What a client may do so and so often is counted anew every [`FLOOD_SECONDS`].

/// The largest payload of a frame that is taken: what every endpoint takes (RFC 9113 §4.2).
pub const FRAME_BYTES: usize = 1 << 14;
/// While more than this is to be sent, nothing more of a connection should be read: what it asks for is answered, and
/// the answers pile up.
pub const OUTPUT_BYTES: usize = 64 << 10;
/// The most frames that a block of fields is spread over.
pub const BLOCK_FRAMES: u16 = 64;
/// A block of fields that takes so many times the bytes that a list of fields may have is not kept, and one that stands
/// for so many times of them is not decoded to its end. What lies between is answered as too large.
pub const LIST_EXCESS: usize = 4;
/// How many streams that this side has reset are remembered: what the client sent on them before it knew is ignored.
pub const REMEMBERED_RESETS: usize = 256;

/// How long those are counted together that follow.
pub const FLOOD_SECONDS: u32 = 10;
/// How many requests may be given up before they are answered (CVE-2023-44487).
pub const RESETS: u16 = 500;
/// How many streams may have to be reset because of what the client did, or refused because it has too many.
pub const STREAM_ERRORS: u16 = 1_000;
/// How often settings may change (CVE-2019-9515).
pub const SETTINGS: u16 = 100;
/// How many frames of data may be empty (CVE-2019-9518).
pub const EMPTY_FRAMES: u16 = 100;
/// How many frames of data may be small, but for those of tunnels.
pub const SMALL_FRAMES: u16 = 10_000;
/// What is small: less than what a frame costs beside its bytes.
pub const SMALL_FRAME_BYTES: usize = 256;
/// How many frames may come that bring nothing: pings, priorities, unknown ones, windows (CVE-2019-9512, CVE-2019-9513).
pub const CONTROL_FRAMES: u16 = 10_000;
/// A frame of data that is sent gives room for so many of those: clients open a stream's window and the connection's.
pub const CONTROL_FRAMES_PER_DATA: u16 = 3;
