//! A message of the stream: the entries of a batch, or of several batches of one topic.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version: 1 |
//! | 8 | the stream's sequence number up to which its hub had seen the log, little-endian |
//! | | the entries, one after the other |
//!
//! **Numbers.** A message of `n` events that has the stream's number `s` gives them the sequence numbers from
//! `s × 65536 − (n − 1)` to `s × 65536`. So a batch, which is one message, is whole or not there, and its events are
//! consecutive; and the last event of every message has a number that the stream's own number tells, so that it is known
//! of a cursor whether something was discarded behind it, also when the message itself is gone.

use tidings_engine::{DamagedEntry, decode, encode};
use tidings_protocol::{Closing, NewEvent, Sequence};

use crate::limits::MESSAGE_EVENTS;

const VERSION: u8 = 1;
const HEAD: usize = 9;

/// What a message holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Up to where its hub had seen the log.
    pub(crate) seen: u64,
    pub(crate) entries: Vec<(NewEvent, Closing)>,
}

/// Begins a message.
pub(crate) fn begin(seen: u64) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.extend_from_slice(&seen.to_le_bytes());
    body
}

/// Adds an entry to a message.
pub(crate) fn add(event: &NewEvent, closing: Closing, body: &mut Vec<u8>) {
    encode(event, closing, body);
}

pub(crate) fn read(body: &[u8]) -> Result<Contents, DamagedEntry> {
    let (&[version, ref seen @ ..], mut rest) = body.split_first_chunk::<HEAD>().ok_or(NOT_OURS)?;
    if version != VERSION {
        return Err(NOT_OURS);
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(seen);
    let mut entries = Vec::new();
    while !rest.is_empty() {
        entries.push(decode(&mut rest)?);
    }
    if entries.is_empty() || entries.len() > MESSAGE_EVENTS {
        return Err(NOT_OURS);
    }
    Ok(Contents { seen: u64::from_le_bytes(bytes), entries })
}

/// The number of the message that counts for nothing, where a message says so.
pub(crate) fn void(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body).ok()?.parse().ok()
}

const NOT_OURS: DamagedEntry = DamagedEntry::new("no hub wrote it");

/// The number of the first of `count` events in the stream's message `number`.
pub(crate) fn first(number: u64, count: usize) -> Sequence {
    last(number).saturating_sub(count.saturating_sub(1) as u64)
}

/// The number of the last event in the stream's message `number`.
pub(crate) fn last(number: u64) -> Sequence {
    number.saturating_mul(MESSAGE_EVENTS as u64)
}

/// The first message that has events after a place.
pub(crate) fn after(place: Sequence) -> u64 {
    place / MESSAGE_EVENTS as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let mut body = begin(17);
        let event = NewEvent::text("a".parse().unwrap(), "x");
        add(&event, Closing::No, &mut body);
        add(&event, Closing::After, &mut body);
        let contents = read(&body).unwrap();
        assert_eq!(contents.seen, 17);
        assert_eq!(contents.entries, [(event.clone(), Closing::No), (event, Closing::After)]);
        for wrong in [&b""[..], b"hello", b"hello, world", &body[..HEAD], &body[..body.len() - 1]] {
            assert!(read(wrong).is_err());
        }
    }

    #[test]
    fn places_are_in_the_message_that_their_event_is_in() {
        assert_eq!((first(1, 1), last(1), after(0)), (65_536, 65_536, 1));
        assert_eq!((first(3, 65_536), last(3)), (131_073, 196_608));
        // After the last event of a message comes the next one; within a message, the message itself.
        assert_eq!((after(last(3)), after(first(3, 2)), after(first(3, 65_536) - 1)), (4, 3, 3));
    }
}
