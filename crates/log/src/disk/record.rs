//! One entry of the log as bytes.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | the segment's mark |
//! | 4 | 4 | CRC32C, begun with the segment's seed, of everything that follows |
//! | 8 | 4 | length of the record |
//! | 12 | 2 | flags |
//! | 14 | 2 | length of the topic |
//! | 16 | 8 | sequence number |
//! | 24 | 8 | time in milliseconds since 1970 |
//! | 32 | 2 | length of the event type |
//! | 34 | 2 | zero |
//! | 36 | | idempotency fingerprint (32, where flagged), when the event expires (8, where flagged), topic, event type, data |
//!
//! Records begin at multiples of eight. Mark and seed are drawn for each segment, so that no publisher can
//! write data that looks like a record of the segment it lies in.

use bytes::Bytes;
use tidings_protocol::{Closing, Event, EventType, Format, Sequence, Timestamp, Topic};

use super::bytes::{u16_at, u32_at, u64_at, u128_at};
use crate::idempotency::Fingerprint;

/// The fixed part of a record.
pub(crate) const HEADER: usize = 36;
/// What a record without an event takes up.
pub(crate) const FENCE_BYTES: u64 = padded(HEADER as u64);
/// Records begin at multiples of this.
pub(crate) const ALIGN: u64 = 8;
const FINGERPRINT: usize = 32;
const EXPIRY: usize = 8;

const FORMAT: u16 = 0b11;
const CLOSING: u16 = 0b11 << 2;
const HAS_TYPE: u16 = 1 << 4;
/// The batch goes on with the next record.
const CONTINUES: u16 = 1 << 5;
/// Everything before this record was on disk before it was written.
const FENCE: u16 = 1 << 6;
/// No entry: the record is there for its fence alone, and the next group is written over it.
const BARE: u16 = 1 << 7;
const KEYED: u16 = 1 << 8;
/// Only in segments of the [second format](super::limits::FORMAT_STATE), as is the end of a topic that is deleted.
const EXPIRES: u16 = 1 << 9;
const KNOWN: u16 = FORMAT | CLOSING | HAS_TYPE | CONTINUES | FENCE | BARE | KEYED | EXPIRES;

/// What tells the records of one segment from all other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) mark: u32,
    pub(crate) seed: u32,
}

/// What a record says beside its entry.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Role {
    pub(crate) continues: bool,
    pub(crate) fence: bool,
    pub(crate) fingerprint: Option<Fingerprint>,
}

/// A record, as it lies in a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) sequence: Sequence,
    pub(crate) time: Timestamp,
    pub(crate) topic: &'a str,
    pub(crate) event_type: Option<&'a str>,
    pub(crate) data: &'a [u8],
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) expires: Option<Timestamp>,
    /// Bytes up to where the next record begins.
    pub(crate) length: u64,
    flags: u16,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Zeros: nothing was written here.
    Blank,
    /// More bytes are needed to tell.
    Short { needed: usize },
    /// Something else.
    Bad(&'static str),
}

pub(crate) const fn padded(length: u64) -> u64 {
    length.next_multiple_of(ALIGN)
}

/// How many bytes an entry takes up.
pub(crate) fn size(entry: &Event, keyed: bool) -> u64 {
    let event_type = entry.event_type.as_ref().map_or(0, |name| name.as_str().len());
    let fingerprint = if keyed { FINGERPRINT } else { 0 };
    let expiry = if entry.expires.is_some() { EXPIRY } else { 0 };
    padded(
        (HEADER + fingerprint + expiry + entry.topic.as_str().len() + event_type + entry.data.len()) as u64,
    )
}

/// Appends the record of an entry to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, entry: &Event, role: &Role, stamp: Stamp) {
    let mut flags = match entry.format {
        Format::Text => 0,
        Format::Json => 1,
        Format::Binary => 2,
    };
    flags |= match entry.closing {
        Closing::No => 0,
        Closing::After => 1 << 2,
        Closing::Only => 2 << 2,
        Closing::Deleted => 3 << 2,
    };
    let event_type = entry.event_type.as_ref().map_or("", EventType::as_str);
    for (set, flag) in [
        (entry.event_type.is_some(), HAS_TYPE),
        (role.continues, CONTINUES),
        (role.fence, FENCE),
        (role.fingerprint.is_some(), KEYED),
        (entry.expires.is_some(), EXPIRES),
    ] {
        flags |= if set { flag } else { 0 };
    }
    let topic = entry.topic.as_str();
    write(out, stamp, flags, (entry.sequence, entry.time), (topic.len(), event_type.len()), |out| {
        if let Some(fingerprint) = role.fingerprint {
            out.extend_from_slice(&fingerprint.key.to_le_bytes());
            out.extend_from_slice(&fingerprint.content.to_le_bytes());
        }
        if let Some(expires) = entry.expires {
            out.extend_from_slice(&expires.as_millis().to_le_bytes());
        }
        out.extend_from_slice(topic.as_bytes());
        out.extend_from_slice(event_type.as_bytes());
        out.extend_from_slice(&entry.data);
    });
}

/// Appends a fence without an entry to `out`. `next` is the sequence number that the next entry will have.
pub(crate) fn encode_fence(out: &mut Vec<u8>, next: Sequence, time: Timestamp, stamp: Stamp) {
    write(out, stamp, FENCE | BARE, (next, time), (0, 0), |_| {});
}

fn write(
    out: &mut Vec<u8>,
    stamp: Stamp,
    flags: u16,
    (sequence, time): (Sequence, Timestamp),
    (topic, event_type): (usize, usize),
    body: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    let mut header = [0; HEADER];
    header[0..4].copy_from_slice(&stamp.mark.to_le_bytes());
    header[12..14].copy_from_slice(&flags.to_le_bytes());
    header[14..16].copy_from_slice(&short(topic));
    header[16..24].copy_from_slice(&sequence.to_le_bytes());
    header[24..32].copy_from_slice(&time.as_millis().to_le_bytes());
    header[32..34].copy_from_slice(&short(event_type));
    out.extend_from_slice(&header);
    body(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start + 8..start + 12].copy_from_slice(&length.to_le_bytes());
    let sum = crc32c::crc32c_append(stamp.seed, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
    // Relative to the start, which is at a multiple already.
    let end = start + usize::try_from(padded(u64::from(length))).unwrap_or(usize::MAX);
    out.resize(end, 0);
}

// === impl Record ===

impl<'a> Record<'a> {
    /// Reads the record that `bytes` begin with.
    pub(crate) fn decode(bytes: &'a [u8], stamp: Stamp) -> Result<Self, Flaw> {
        if bytes.len() < HEADER {
            return Err(Flaw::Short { needed: HEADER });
        }
        if bytes[..HEADER].iter().all(|&byte| byte == 0) {
            return Err(Flaw::Blank);
        }
        if u32_at(bytes, 0) != stamp.mark {
            return Err(Flaw::Bad("no record begins here"));
        }
        let length = usize::try_from(u32_at(bytes, 8)).unwrap_or(usize::MAX);
        if length < HEADER {
            return Err(Flaw::Bad("the record's length is impossible"));
        }
        if bytes.len() < length {
            return Err(Flaw::Short { needed: length });
        }
        if crc32c::crc32c_append(stamp.seed, &bytes[8..length]) != u32_at(bytes, 4) {
            return Err(Flaw::Bad("the record does not match its checksum"));
        }
        let flags = u16_at(bytes, 12);
        let unknown = Flaw::Bad("the record is not of this version");
        let keyed = if flags & KEYED != 0 { FINGERPRINT } else { 0 };
        let (topic, event_type) = (usize::from(u16_at(bytes, 14)), usize::from(u16_at(bytes, 32)));
        let expiry = if flags & EXPIRES != 0 { EXPIRY } else { 0 };
        let name = HEADER + keyed + expiry;
        let (type_at, data_at) = (name + topic, name + topic + event_type);
        if flags & !KNOWN != 0 || data_at > length {
            return Err(unknown);
        }
        let text = |from: usize, to: usize| std::str::from_utf8(&bytes[from..to]).map_err(|_| unknown);
        Ok(Self {
            sequence: u64_at(bytes, 16),
            time: Timestamp::from_millis(u64_at(bytes, 24)),
            topic: text(name, type_at)?,
            event_type: if flags & HAS_TYPE != 0 { Some(text(type_at, data_at)?) } else { None },
            data: &bytes[data_at..length],
            fingerprint: (keyed != 0)
                .then(|| Fingerprint { key: u128_at(bytes, HEADER), content: u128_at(bytes, HEADER + 16) }),
            expires: (expiry != 0).then(|| Timestamp::from_millis(u64_at(bytes, HEADER + keyed))),
            length: padded(length as u64),
            flags,
        })
    }

    pub(crate) fn continues(&self) -> bool {
        self.flags & CONTINUES != 0
    }

    pub(crate) fn is_fence(&self) -> bool {
        self.flags & FENCE != 0
    }

    /// Whether there is no entry in it.
    pub(crate) fn is_bare(&self) -> bool {
        self.flags & BARE != 0
    }

    pub(crate) fn closing(&self) -> Closing {
        match (self.flags & CLOSING) >> 2 {
            0 => Closing::No,
            1 => Closing::After,
            2 => Closing::Only,
            _ => Closing::Deleted,
        }
    }

    pub(crate) fn closes(&self) -> bool {
        self.closing() != Closing::No
    }

    /// Whether its topic is deleted by it.
    pub(crate) fn deletes(&self) -> bool {
        self.closing() == Closing::Deleted
    }

    /// Whether it is an event, rather than an end of a topic alone.
    pub(crate) fn is_visible(&self) -> bool {
        matches!(self.closing(), Closing::No | Closing::After)
    }

    /// The entry, with data of its own, so that it does not keep the buffer alive.
    pub(crate) fn to_event(self, topic: Topic) -> Event {
        Event {
            sequence: self.sequence,
            time: self.time,
            topic,
            event_type: self.event_type.and_then(|name| EventType::new(name).ok()),
            format: match self.flags & FORMAT {
                0 => Format::Text,
                1 => Format::Json,
                _ => Format::Binary,
            },
            data: Bytes::copy_from_slice(self.data),
            closing: self.closing(),
            expires: self.expires,
        }
    }
}
