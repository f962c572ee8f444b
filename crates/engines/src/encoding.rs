//! An entry as bytes, for engines that keep bytes. Its sequence number and time are the engine's matter.
//!
//! | bytes | |
//! |---|---|
//! | 1 | format: 0 text, 1 JSON, 2 binary; plus 4 where the topic ends after it, 8 where it only ends, or 12 where it is deleted; plus 16 where the event has a lifetime |
//! | 2 | length of the topic |
//! | 1 | length of the event type; 0 for none |
//! | 4 | length of the data |
//! | | topic, event type, data |
//! | 8 | the lifetime in milliseconds, where there is one |
//!
//! Numbers are little-endian.

use std::time::Duration;

use bytes::Bytes;
use tidings_protocol::{Closing, EventType, Format, NewEvent, Topic};

const HEAD: usize = 8;
const AFTER: u8 = 4;
const ONLY: u8 = 8;
const DELETED: u8 = 12;
const LASTING: u8 = 16;

/// The bytes are not those of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are not the bytes of an entry: {0}")]
pub struct DamagedEntry(&'static str);

// === impl DamagedEntry ===

impl DamagedEntry {
    /// Says what is wrong.
    #[must_use]
    pub const fn new(reason: &'static str) -> Self {
        Self(reason)
    }
}

/// Appends an entry to `out`.
pub fn encode(event: &NewEvent, closing: Closing, out: &mut Vec<u8>) {
    let event_type = event.event_type.as_ref().map_or("", EventType::as_str);
    let format = match event.format() {
        Format::Text => 0,
        Format::Json => 1,
        Format::Binary => 2,
    };
    let end = match closing {
        Closing::No => 0,
        Closing::After => AFTER,
        Closing::Only => ONLY,
        Closing::Deleted => DELETED,
    };
    let lasting = if event.ttl().is_some() { LASTING } else { 0 };
    out.reserve(HEAD + event.topic.as_str().len() + event_type.len() + event.data().len());
    out.push(format | end | lasting);
    // The limits of the protocol keep each of these far below what its bytes can say.
    out.extend_from_slice(&u16::try_from(event.topic.as_str().len()).unwrap_or(u16::MAX).to_le_bytes());
    out.push(u8::try_from(event_type.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(&u32::try_from(event.data().len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(event.topic.as_str().as_bytes());
    out.extend_from_slice(event_type.as_bytes());
    out.extend_from_slice(event.data());
    if let Some(ttl) = event.ttl() {
        out.extend_from_slice(&u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).to_le_bytes());
    }
}

/// Takes an entry from the front of `bytes`.
///
/// # Errors
/// [`DamagedEntry`] where there is none.
pub fn decode(bytes: &mut &[u8]) -> Result<(NewEvent, Closing), DamagedEntry> {
    let &[head, a, b, types, c, d, e, f] = take(bytes, HEAD)? else {
        return Err(DamagedEntry("it is cut off"));
    };
    let data = usize::try_from(u32::from_le_bytes([c, d, e, f]));
    let data = data.map_err(|_| DamagedEntry("its data is too long"))?;
    let topic = text(take(bytes, usize::from(u16::from_le_bytes([a, b])))?)?;
    let topic = Topic::new(topic).map_err(|_| DamagedEntry("it has no valid topic"))?;
    let event_type = match text(take(bytes, usize::from(types))?)? {
        "" => None,
        text => Some(EventType::new(text).map_err(|_| DamagedEntry("it has no valid event type"))?),
    };
    let data = Bytes::copy_from_slice(take(bytes, data)?);
    let format = match head & 3 {
        0 => Format::Text,
        1 => Format::Json,
        2 => Format::Binary,
        _ => return Err(DamagedEntry("its format is unknown")),
    };
    let closing = match head & DELETED {
        0 => Closing::No,
        AFTER => Closing::After,
        ONLY => Closing::Only,
        _ => Closing::Deleted,
    };
    let ttl = match head & !(3 | DELETED) {
        0 => None,
        LASTING => {
            let mut millis = [0; 8];
            millis.copy_from_slice(take(bytes, 8)?);
            Some(Duration::from_millis(u64::from_le_bytes(millis)))
        }
        _ => return Err(DamagedEntry("it has unknown flags")),
    };
    Ok((NewEvent::restored(topic, event_type, format, data).lasting(ttl), closing))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], DamagedEntry> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or(DamagedEntry("it is cut off"))?;
    *bytes = rest;
    Ok(taken)
}

fn text(bytes: &[u8]) -> Result<&str, DamagedEntry> {
    std::str::from_utf8(bytes).map_err(|_| DamagedEntry("its names are not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        let long = NewEvent::binary(Topic::new(&"x".repeat(512)).unwrap(), vec![0xff; 100_000])
            .typed(EventType::new(&"t".repeat(128)).unwrap());
        let json = NewEvent::json("größe/α".parse().unwrap(), "{}").unwrap();
        let lasting = json.clone().lasting(Some(Duration::from_millis(1_500)));
        let entries = [
            (long, Closing::After),
            (json.clone(), Closing::No),
            (lasting, Closing::No),
            (json.clone(), Closing::Deleted),
            (json, Closing::Only),
        ];
        let mut bytes = Vec::new();
        for (event, closing) in &entries {
            encode(event, *closing, &mut bytes);
        }
        let mut rest = &bytes[..];
        for entry in entries {
            assert_eq!(decode(&mut rest), Ok(entry));
        }
        assert_eq!(decode(&mut rest), Err(DamagedEntry("it is cut off")));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            drop(decode(&mut &bytes[..]));
        }
    }
}
