//! Lines out of chunks.
//!
//! Linear over any chunking by its structure: line ends are only ever searched for in the chunk at hand,
//! each byte of which is passed over once; what is held back of an unfinished line is only appended to, and
//! not looked at until the line is over.

use memchr::memchr2;

use crate::Error;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Cuts a stream of chunks at CR, LF and CRLF.
#[derive(Debug)]
pub(crate) struct Lines {
    limit: usize,
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    /// The line in `held` has been handed out, and goes at the next call.
    spent: bool,
    /// The last line ended in CR: an LF that comes next belongs to that end.
    after_cr: bool,
    /// No line is complete yet, so the current one may begin with the BOM.
    first: bool,
}

impl Lines {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), spent: false, after_cr: false, first: true }
    }

    /// Takes the next line off `chunk`, without its end. `None` if the chunk holds no further line end; its
    /// rest is then held back for the next chunk.
    pub(crate) fn next<'s, 'c: 's>(&'s mut self, chunk: &mut &'c [u8]) -> Result<Option<&'s [u8]>, Error> {
        if self.spent {
            self.held.clear();
            self.spent = false;
        }
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            *chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        let end = memchr2(b'\r', b'\n', chunk);
        let (head, tail) = chunk.split_at(end.unwrap_or(chunk.len()));
        let Some((end, rest)) = tail.split_first() else {
            *chunk = tail;
            self.hold(head)?;
            return Ok(None);
        };
        *chunk = rest;
        // An end in CR is not held open to see whether an LF follows: the event it ends would be late by as
        // long as the stream is silent.
        self.after_cr = *end == b'\r';

        let first = std::mem::replace(&mut self.first, false);
        let mut line: &[u8] = head;
        if !self.held.is_empty() {
            self.held.extend_from_slice(head);
            self.spent = true;
            line = &self.held;
        }
        if first {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.len() > self.limit {
            return Err(Error::LineTooLong { limit: self.limit });
        }
        Ok(Some(line))
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), Error> {
        // Whether the first line has a BOM may not be known yet; whole, it is measured without it.
        let limit = if self.first { self.limit.saturating_add(BOM.len()) } else { self.limit };
        if part.len() > limit.saturating_sub(self.held.len()) {
            return Err(Error::LineTooLong { limit: self.limit });
        }
        self.held.extend_from_slice(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(limit: usize, chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, Error> {
        let mut lines = Lines::new(limit);
        let mut all = Vec::new();
        for mut chunk in chunks.iter().copied() {
            while let Some(line) = lines.next(&mut chunk)? {
                all.push(line.to_vec());
            }
            assert!(chunk.is_empty());
        }
        Ok(all)
    }

    #[test]
    fn cr_lf_and_crlf_each_end_a_line() {
        assert_eq!(
            lines(9, &[b"a\nb\rc\r\nd\n\re\r\r\n"]).unwrap(),
            [&b"a"[..], b"b", b"c", b"d", b"", b"e", b""]
        );
    }

    #[test]
    fn crlf_is_one_end_across_chunks() {
        assert_eq!(lines(9, &[b"a\r", b"\nb\r", b"", b"\n", b"c\n"]).unwrap(), [b"a", b"b", b"c"]);
    }

    #[test]
    fn only_one_lf_belongs_to_a_cr() {
        assert_eq!(lines(9, &[b"a\r", b"\n", b"\n"]).unwrap(), [&b"a"[..], b""]);
    }

    #[test]
    fn a_line_inside_a_chunk_is_not_copied() {
        let mut lines = Lines::new(9);
        let whole = b"abc\r\ndef\n";
        let mut chunk = &whole[..];
        assert!(std::ptr::eq(lines.next(&mut chunk).unwrap().unwrap(), &raw const whole[..3]));
        assert!(std::ptr::eq(lines.next(&mut chunk).unwrap().unwrap(), &raw const whole[5..8]));
        assert_eq!(lines.held.capacity(), 0);
    }

    #[test]
    fn each_call_passes_over_the_bytes_up_to_its_line_end_and_no_others() {
        let mut lines = Lines::new(9);
        let mut chunk = &b"ab\r\ncd\nef"[..];
        let mut left = Vec::new();
        while lines.next(&mut chunk).unwrap().is_some() {
            left.push(chunk.len());
        }
        assert_eq!((left, chunk.len()), (vec![6, 2], 0));
        assert_eq!(lines.held, b"ef");
    }

    #[test]
    fn one_bom_is_stripped_from_the_first_line_only() {
        assert_eq!(lines(9, &[b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb\n"]).unwrap(), [&b"a"[..], b"\xEF\xBB\xBFb"]);
        assert_eq!(lines(9, &[b"\xEF", b"\xBB", b"\xBF", b"a\n"]).unwrap(), [b"a"]);
        assert_eq!(lines(9, &[b"\xEF\xBB", b"\xBF\xEF\xBB\xBFa\n"]).unwrap(), [b"\xEF\xBB\xBFa"]);
        assert_eq!(lines(9, &[b"\xEF\xBB", b"a\n"]).unwrap(), [b"\xEF\xBBa"]);
        assert_eq!(lines(9, &[b"\n\xEF\xBB\xBF\n"]).unwrap(), [&b""[..], b"\xEF\xBB\xBF"]);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit() {
        let error = Err(Error::LineTooLong { limit: 3 });
        assert_eq!(lines(3, &[b"abc\r\nabc\n"]).unwrap(), [b"abc", b"abc"]);
        assert_eq!(lines(3, &[b"a\nabc", b"", b"\n"]).unwrap(), [&b"a"[..], b"abc"]);
        assert_eq!(lines(3, &[b"abcd\n"]), error);
        assert_eq!(lines(3, &[b"a\nab", b"cd"]), error);
        assert_eq!(lines(3, &[b"ab", b"cd\n"]), error);
    }

    #[test]
    fn the_bom_does_not_count_towards_the_limit() {
        assert_eq!(lines(1, &[b"\xEF\xBB\xBFa\n"]).unwrap(), [b"a"]);
        assert_eq!(lines(1, &[b"\xEF\xBB", b"\xBFa", b"\n"]).unwrap(), [b"a"]);
        assert_eq!(lines(1, &[b"\xEF\xBB\xBFab\n"]), Err(Error::LineTooLong { limit: 1 }));
    }

    #[test]
    fn an_endless_line_is_given_up_before_it_is_held() {
        let mut lines = Lines::new(3);
        assert!(lines.next(&mut &[b'a'; 1000][..]).is_err());
        assert_eq!(lines.held.capacity(), 0);
    }
}
