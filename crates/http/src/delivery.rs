//! How events reach readers: the shards that own whoever waits, what a reader has not taken yet, and the memory for it.
//! It knows no routes and no tokens.

pub(crate) mod encoding;
pub(crate) mod frames;
pub(crate) mod lately;
pub(crate) mod memory;
pub(crate) mod mounted;
pub(crate) mod parking;
pub(crate) mod pieces;
pub(crate) mod remainder;
