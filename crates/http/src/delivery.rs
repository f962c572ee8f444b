//! How events reach readers: the shards that own whoever waits, what a reader has not taken yet, and the memory for it.
//! It knows no routes, no problems and no tokens.

pub(crate) mod caching;
pub(crate) mod context;
pub(crate) mod encoding;
pub(crate) mod frames;
pub(crate) mod head;
pub(crate) mod lately;
pub(crate) mod lease;
pub(crate) mod memory;
pub(crate) mod observer;
pub(crate) mod page;
pub(crate) mod parking;
pub(crate) mod pieces;
pub(crate) mod remainder;
