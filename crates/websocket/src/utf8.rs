/// How far the bytes of a text are known to be UTF-8. What is not is told at the first byte that shows it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Utf8 {
    valid: usize,
}

/// The text is not UTF-8, whatever follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotUtf8;

// === impl Utf8 ===

impl Utf8 {
    /// `text` is what there is of it now: what there was, and more.
    pub(crate) fn grown(&mut self, text: &[u8]) -> Result<(), NotUtf8> {
        match std::str::from_utf8(&text[self.valid..]) {
            Ok(_) => self.valid = text.len(),
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(NotUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{NotUtf8, Utf8};

    #[test]
    fn a_character_may_come_in_parts() {
        let (text, mut utf8) = ("κόσμε €𝄞".as_bytes(), Utf8::default());
        for length in 1..=text.len() {
            assert_eq!(utf8.grown(&text[..length]), Ok(()), "{length}");
        }
        assert_eq!(utf8.valid, text.len());
    }

    #[test]
    fn the_first_byte_that_cannot_follow_is_told() {
        // RFC 3629 §3: nothing beyond U+10FFFF, no surrogates, the shortest form alone.
        for (text, good) in [
            (&b"\xf4\x90\x80\x80"[..], 1),
            (b"\xed\xa0\x80", 1),
            (b"\xc0\xaf", 0),
            (b"\xe0\x80\xaf", 1),
            (b"\xf5", 0),
            (b"a\x80", 1),
            (b"\xe2\x82a", 2),
        ] {
            let mut utf8 = Utf8::default();
            for length in 1..=text.len() {
                let expected = if length <= good { Ok(()) } else { Err(NotUtf8) };
                assert_eq!(utf8.grown(&text[..length]), expected, "{text:x?} {length}");
                if expected.is_err() {
                    break;
                }
            }
        }
    }
}
