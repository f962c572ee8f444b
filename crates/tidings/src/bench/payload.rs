//! The data of the events that are published, which tells the receiver all that it wants to know: whose event it
//! is, which one, and when it was sent.

use std::ops::Range;

use memchr::memchr;

/// What one event says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) publisher: usize,
    pub(crate) topic: usize,
    /// Counted from 0 for each publisher and topic.
    pub(crate) number: u64,
    /// When it was sent, on the clock of this run.
    pub(crate) sent: u64,
}

/// Finds payloads in the data that a reader gets, in whatever pieces: some servers put several events into one
/// frame, or one into two.
#[derive(Debug, Default)]
pub(crate) struct PayloadScanner {
    /// The beginning of a payload whose end has not come yet.
    begun: Vec<u8>,
}

/// What came of some data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Payload(Payload),
    /// It begins like a payload, and is none.
    Malformed,
}

/// The shortest data that has room for what it says.
pub(crate) const MIN_SIZE: usize = 32;
pub(crate) const MAX_PUBLISHERS: usize = 1 << 12;
pub(crate) const MAX_TOPICS: usize = 1 << 16;

const BEGIN: u8 = b'~';
const END: u8 = b'!';
const FILLER: u8 = b'.';
const PUBLISHER: Range<usize> = 1..4;
const TOPIC: Range<usize> = 4..8;
const NUMBER: Range<usize> = 8..16;
const SENT: Range<usize> = 16..28;

// === impl Payload ===

impl Payload {
    /// Appends the payload in `size` bytes, which is [`MIN_SIZE`] or more. They need no escape in JSON.
    pub(crate) fn write(self, size: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(BEGIN);
        write_hex(self.publisher as u64, PUBLISHER, out);
        write_hex(self.topic as u64, TOPIC, out);
        write_hex(self.number, NUMBER, out);
        write_hex(self.sent, SENT, out);
        out.resize(start + size.max(MIN_SIZE) - 1, FILLER);
        out.push(END);
    }

    /// Reads a whole payload. Its last byte tells one that was cut short.
    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.first() != Some(&BEGIN) || bytes.last() != Some(&END) {
            return None;
        }
        Some(Self {
            publisher: usize::try_from(read_hex(bytes.get(PUBLISHER)?)?).ok()?,
            topic: usize::try_from(read_hex(bytes.get(TOPIC)?)?).ok()?,
            number: read_hex(bytes.get(NUMBER)?)?,
            sent: read_hex(bytes.get(SENT)?)?,
        })
    }
}

// === impl PayloadScanner ===

impl PayloadScanner {
    /// Takes data, and hands out each payload of `size` bytes that it completes.
    pub(crate) fn feed(&mut self, mut data: &[u8], size: usize, mut found: impl FnMut(Found)) {
        let mut read = |bytes: &[u8]| found(Payload::read(bytes).map_or(Found::Malformed, Found::Payload));
        if !self.begun.is_empty() {
            let missing = size - self.begun.len();
            let (rest, after) = data.split_at(missing.min(data.len()));
            self.begun.extend_from_slice(rest);
            if self.begun.len() < size {
                return;
            }
            read(&self.begun);
            self.begun.clear();
            data = after;
        }
        while let Some(start) = memchr(BEGIN, data) {
            data = &data[start..];
            let Some((bytes, after)) = data.split_at_checked(size) else {
                self.begun.extend_from_slice(data);
                return;
            };
            read(bytes);
            data = after;
        }
    }
}

fn write_hex(value: u64, place: Range<usize>, out: &mut Vec<u8>) {
    for digit in (0..place.len()).rev() {
        let nibble = (value >> (4 * digit)) & 0xf;
        out.push(b"0123456789abcdef"[nibble as usize]);
    }
}

fn read_hex(bytes: &[u8]) -> Option<u64> {
    let mut value = 0;
    let mut invalid = 0;
    for &byte in bytes {
        let nibble = NIBBLES[usize::from(byte)];
        invalid |= nibble & 0xf0;
        value = value << 4 | u64::from(nibble);
    }
    (invalid == 0).then_some(value)
}

/// The value of each hexadecimal digit; of every other byte, more than a digit can have.
const NIBBLES: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(number: u64) -> Payload {
        Payload { publisher: 7, topic: 4_000, number, sent: 123_456_789_012 }
    }

    fn scan(pieces: &[&[u8]], size: usize) -> Vec<Found> {
        let (mut scanner, mut found) = (PayloadScanner::default(), Vec::new());
        for piece in pieces {
            scanner.feed(piece, size, |one| found.push(one));
        }
        found
    }

    #[test]
    fn is_read_as_it_was_written() {
        for size in [MIN_SIZE, 33, 100, 10_000] {
            let mut bytes = Vec::new();
            payload(99).write(size, &mut bytes);
            assert_eq!(bytes.len(), size);
            assert_eq!(scan(&[&bytes], size), [Found::Payload(payload(99))]);
            assert!(bytes.iter().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(byte)));
        }
    }

    #[test]
    fn is_found_among_other_bytes_wherever_they_are_cut() {
        let mut bytes = b"{\"data\":\"".to_vec();
        payload(1).write(40, &mut bytes);
        bytes.extend_from_slice(b"\"},");
        payload(2).write(40, &mut bytes);
        payload(3).write(40, &mut bytes);
        let expected = [1, 2, 3].map(|number| Found::Payload(payload(number)));
        for cut in 0..=bytes.len() {
            assert_eq!(scan(&[&bytes[..cut], &bytes[cut..]], 40), expected);
        }
    }

    #[test]
    fn what_was_cut_short_or_changed_is_malformed() {
        let mut bytes = Vec::new();
        payload(1).write(40, &mut bytes);
        bytes.truncate(30);
        payload(2).write(40, &mut bytes);
        assert_eq!(scan(&[&bytes], 40)[0], Found::Malformed);
        bytes.clear();
        payload(1).write(40, &mut bytes);
        bytes[10] = b'g';
        assert_eq!(scan(&[&bytes], 40), [Found::Malformed]);
    }
}
