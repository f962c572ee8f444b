/// Where in its frames a connection is: whether what was sent of them ends with a whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Boundary {
    /// How much of the present frame's payload is still to be sent.
    left: u64,
    /// What was sent of a frame's head, where that is not whole.
    head: [u8; 10],
    have: u8,
}

// === impl Boundary ===

impl Boundary {
    /// Whether the next byte is the first of a frame.
    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && self.have == 0
    }

    /// Follows what was sent.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= count as u64;
                bytes = &bytes[count..];
                continue;
            }
            let have = usize::from(self.have);
            self.head[have] = bytes[0];
            self.have += 1;
            bytes = &bytes[1..];
            let [_, length, extended @ ..] = self.head;
            // Frames of a server are not masked.
            let (need, left) = match length {
                _ if have == 0 => continue,
                126 => (4, u16::from_be_bytes([extended[0], extended[1]]).into()),
                127 => (10, u64::from_be_bytes(extended)),
                length => (2, length.into()),
            };
            if have + 1 == need {
                (self.left, self.have) = (left, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_websocket::{Opcode, encode};

    /// However the bytes of frames are cut, only their ends are ends.
    #[test]
    fn ends_of_frames_are_found_however_they_are_cut() {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for length in [0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000, 0, 5] {
            encode(Opcode::Text, &vec![0x7f; length], &mut bytes);
            ends.push(bytes.len());
        }
        for step in [1, 2, 3, 7, 1_000, 65_537] {
            let (mut boundary, mut at) = (Boundary::default(), 0);
            for part in bytes.chunks(step) {
                boundary.advance(part);
                at += part.len();
                assert_eq!(boundary.is_between(), ends.contains(&at), "{step} {at}");
            }
        }
    }
}
