//! The body of a response, out of its framing.

use memchr::memchr;

use super::head::Length;

/// Takes the bytes after a head, in whatever pieces, and gives out those of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Known { rest: u64 },
    UntilClose,
    Chunked(Chunked),
    Ended,
}

/// Where in the chunked coding (RFC 9112, §7.1) a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// In the line that begins a chunk, before the end of its number.
    Size {
        read: u64,
        digits: u8,
    },
    /// After the number, in extensions.
    Extension {
        size: u64,
    },
    Data {
        rest: u64,
    },
    /// In the line break after a chunk's data.
    Break,
    /// In a line of the trailer; an empty one ends the body.
    Trailer {
        empty: bool,
    },
}

/// The bytes break the rules of the chunked coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer breaks the chunked coding")]
pub(crate) struct InvalidChunk;

const MAX_DIGITS: u8 = 15;

// === impl Body ===

impl Body {
    pub(crate) fn new(length: Length) -> Self {
        match length {
            Length::Known(0) => Self::Ended,
            Length::Known(rest) => Self::Known { rest },
            Length::UntilClose => Self::UntilClose,
            Length::Chunked => Self::Chunked(Chunked::START),
        }
    }

    /// Takes bytes off the front of `input`, and returns the next of the body among them; `None` where all of
    /// the input is taken, or the body has ended.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, InvalidChunk> {
        match self {
            Self::Ended => Ok(None),
            Self::UntilClose => Ok(take(input, u64::MAX)),
            Self::Known { rest } => {
                let piece = take(input, *rest);
                *rest -= piece.map_or(0, |piece| piece.len() as u64);
                if *rest == 0 {
                    *self = Self::Ended;
                }
                Ok(piece)
            }
            Self::Chunked(_) => self.next_of_chunk(input),
        }
    }

    fn next_of_chunk<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, InvalidChunk> {
        while let Self::Chunked(state) = self
            && let Some((&byte, after)) = input.split_first()
        {
            *state = match (*state, byte) {
                (Chunked::Data { rest }, _) => {
                    let piece = take(input, rest);
                    let rest = rest - piece.map_or(0, |piece| piece.len() as u64);
                    *state = if rest == 0 { Chunked::Break } else { Chunked::Data { rest } };
                    return Ok(piece);
                }
                (Chunked::Size { digits: 0, .. }, b'\r' | b'\n' | b';' | b' ') => return Err(InvalidChunk),
                (Chunked::Size { read, .. } | Chunked::Extension { size: read }, b'\n') => match read {
                    0 => Chunked::Trailer { empty: true },
                    rest => Chunked::Data { rest },
                },
                (Chunked::Size { read: size, .. }, b'\r' | b';' | b' ') => Chunked::Extension { size },
                (Chunked::Size { digits: MAX_DIGITS, .. }, _) => return Err(InvalidChunk),
                (Chunked::Size { read, digits }, _) => {
                    let digit = char::from(byte).to_digit(16).ok_or(InvalidChunk)?;
                    Chunked::Size { read: read << 4 | u64::from(digit), digits: digits + 1 }
                }
                (state @ Chunked::Extension { .. }, _) => {
                    // Nobody sends extensions; they are read past all the same.
                    *input = memchr(b'\n', input).map_or(&[], |end| &input[end..]);
                    *self = Self::Chunked(state);
                    continue;
                }
                (Chunked::Break, b'\r') => Chunked::Break,
                (Chunked::Break, b'\n') => Chunked::START,
                (Chunked::Break, _) => return Err(InvalidChunk),
                (Chunked::Trailer { empty: true }, b'\n') => {
                    *input = after;
                    *self = Self::Ended;
                    return Ok(None);
                }
                (Chunked::Trailer { .. }, b'\n') => Chunked::Trailer { empty: true },
                (Chunked::Trailer { empty }, byte) => Chunked::Trailer { empty: empty && byte == b'\r' },
            };
            *input = after;
        }
        Ok(None)
    }
}

// === impl Chunked ===

impl Chunked {
    const START: Self = Self::Size { read: 0, digits: 0 };
}

fn take<'a>(input: &mut &'a [u8], most: u64) -> Option<&'a [u8]> {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    let (piece, after) = input.split_at(length);
    *input = after;
    (!piece.is_empty()).then_some(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the pieces, and returns the body, whether it has ended, and what was left over.
    fn decode(length: Length, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, Vec<u8>), InvalidChunk> {
        let (mut body, mut out, mut left) = (Body::new(length), Vec::new(), Vec::new());
        for piece in pieces {
            let mut input = *piece;
            while let Some(data) = body.next(&mut input)? {
                out.extend_from_slice(data);
            }
            left.extend_from_slice(input);
        }
        Ok((out, body == Body::Ended, left))
    }

    #[test]
    fn chunks_are_put_together_wherever_they_are_cut() {
        let bytes =
            b"5\r\nhello\r\n1;name=value\r\n \r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1";
        let expected = (b"hello 0123456789".to_vec(), true, b"HTTP/1.1".to_vec());
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(decode(Length::Chunked, &pieces).unwrap(), expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn a_known_length_ends_where_it_says() {
        let bytes = b"helloHTTP/1.1";
        for cut in 0..=bytes.len() {
            let decoded = decode(Length::Known(5), &[&bytes[..cut], &bytes[cut..]]).unwrap();
            assert_eq!(decoded, (b"hello".to_vec(), true, b"HTTP/1.1".to_vec()), "{cut}");
        }
        assert!(decode(Length::Known(0), &[]).unwrap().1);
    }

    #[test]
    fn a_body_until_the_close_is_all_that_comes() {
        let decoded = decode(Length::UntilClose, &[b"5\r\n", b"", b"hello"]).unwrap();
        assert_eq!(decoded, (b"5\r\nhello".to_vec(), false, Vec::new()));
    }

    #[test]
    fn what_breaks_the_coding_is_refused() {
        for bytes in [&b"x\r\n"[..], b"\r\n", b"1\r\nab", b"0123456789abcdef\r\n"] {
            assert_eq!(decode(Length::Chunked, &[bytes]), Err(InvalidChunk));
        }
    }
}
