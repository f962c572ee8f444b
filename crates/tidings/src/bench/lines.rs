//! The lines of an event stream, found without a copy where a read has them whole.

use memchr::memchr;

/// Splits what a stream sends into lines, in whatever pieces it comes.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
}

/// What a line of an event stream is to a load generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Data(&'a [u8]),
    Event(&'a [u8]),
    Id(&'a [u8]),
    /// Comments, heartbeats and the ends of blocks.
    Other,
}

// === impl Lines ===

impl Lines {
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Line<'_>)) {
        if !self.begun.is_empty() {
            let Some(end) = memchr(b'\n', bytes) else {
                self.begun.extend_from_slice(bytes);
                return;
            };
            self.begun.extend_from_slice(&bytes[..end]);
            take(Line::new(&self.begun));
            self.begun.clear();
            bytes = &bytes[end + 1..];
        }
        while let Some(end) = memchr(b'\n', bytes) {
            take(Line::new(&bytes[..end]));
            bytes = &bytes[end + 1..];
        }
        self.begun.extend_from_slice(bytes);
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn new(line: &'a [u8]) -> Self {
        let value = |rest: &'a [u8]| {
            let rest = rest.strip_prefix(b" ").unwrap_or(rest);
            rest.strip_suffix(b"\r").unwrap_or(rest)
        };
        if let Some(rest) = line.strip_prefix(b"data:") {
            Self::Data(value(rest))
        } else if let Some(rest) = line.strip_prefix(b"event:") {
            Self::Event(value(rest))
        } else if let Some(rest) = line.strip_prefix(b"id:") {
            Self::Id(value(rest))
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_and_events(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |line| match line {
                Line::Data(value) => found.push(format!("data {}", String::from_utf8_lossy(value))),
                Line::Event(value) => found.push(format!("event {}", String::from_utf8_lossy(value))),
                Line::Id(_) | Line::Other => {}
            });
        }
        found
    }

    #[test]
    fn are_found_wherever_they_are_cut() {
        let bytes =
            b"retry: 2000\nid: q-1\n\n: comment\nid: q-2\nevent: gap\r\ndata:  a\ndata:b\n\ndata: cut off";
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let found = data_and_events(&[&bytes[..first], &bytes[first..second], &bytes[second..]]);
                assert_eq!(found, ["event gap", "data  a", "data b"], "{first} {second}");
            }
        }
    }
}
