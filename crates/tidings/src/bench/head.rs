//! The head of an HTTP/1.1 response, as far as a load generator must understand it.

use memchr::{memchr, memmem};

/// What the head of a response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    pub(crate) length: Length,
    /// The connection ends with this response.
    pub(crate) close: bool,
    /// What some servers give as the place to read on from.
    pub(crate) etag: Option<&'a str>,
    pub(crate) last_modified: Option<&'a str>,
    pub(crate) next_offset: Option<&'a str>,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Known(u64),
    Chunked,
    UntilClose,
}

/// The bytes are not the head of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer is not HTTP/1.1")]
pub(crate) struct InvalidHead;

/// No head is longer.
const MAX_BYTES: usize = 64 << 10;

// === impl Head ===

impl<'a> Head<'a> {
    /// Reads a head from the front of `bytes`, with its length; `None` where its end has not come yet.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, InvalidHead> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            let possible = bytes.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected);
            return if possible && bytes.len() < MAX_BYTES { Ok(None) } else { Err(InvalidHead) };
        };
        let text = str::from_utf8(&bytes[..end]).map_err(|_| InvalidHead)?;
        let mut lines = text.split("\r\n");
        let status_line = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")).ok_or(InvalidHead)?;
        let status: u16 = status_line.get(2..5).and_then(|digits| digits.parse().ok()).ok_or(InvalidHead)?;
        let mut head = Head {
            status,
            length: Length::UntilClose,
            close: false,
            etag: None,
            last_modified: None,
            next_offset: None,
        };
        for line in lines {
            let colon = memchr(b':', line.as_bytes()).ok_or(InvalidHead)?;
            head.take(&line[..colon], line[colon + 1..].trim())?;
        }
        if matches!(status, 100..=199 | 204 | 304) {
            head.length = Length::Known(0);
        }
        head.close |= head.length == Length::UntilClose;
        Ok(Some((head, end + 4)))
    }

    fn take(&mut self, name: &str, value: &'a str) -> Result<(), InvalidHead> {
        if name.eq_ignore_ascii_case("content-length") {
            if self.length != Length::Chunked {
                self.length = Length::Known(value.parse().map_err(|_| InvalidHead)?);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if value.eq_ignore_ascii_case("chunked") {
                self.length = Length::Chunked;
            }
        } else if name.eq_ignore_ascii_case("connection") {
            self.close |= value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("etag") {
            self.etag = Some(value);
        } else if name.eq_ignore_ascii_case("last-modified") {
            self.last_modified = Some(value);
        } else if name.eq_ignore_ascii_case("stream-next-offset") {
            self.next_offset = Some(value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_once_it_is_whole() {
        let bytes =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nrest";
        for end in 0..bytes.len() - 4 {
            assert_eq!(Head::read(&bytes[..end]), Ok(None), "{end}");
        }
        let (head, length) = Head::read(bytes).unwrap().unwrap();
        assert_eq!((head.status, head.length, head.close), (200, Length::Chunked, false));
        assert_eq!(&bytes[length..], b"rest");
    }

    #[test]
    fn says_how_the_body_ends() {
        let read = |text: &str| Head::read(text.as_bytes()).unwrap().unwrap().0.length;
        assert_eq!(read("HTTP/1.1 201 Created\r\ncontent-length: 12\r\n\r\n"), Length::Known(12));
        assert_eq!(read("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"), Length::UntilClose);
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), Length::Known(0));
        let both = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(read(both), Length::Chunked);
    }

    #[test]
    fn says_where_to_read_on() {
        let text = "HTTP/1.1 200 OK\r\nETag: \"0\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:01 GMT\r\n\
            stream-next-offset: 1_2\r\nContent-Length: 0\r\n\r\n";
        let (head, _) = Head::read(text.as_bytes()).unwrap().unwrap();
        assert_eq!((head.etag, head.next_offset), (Some("\"0\""), Some("1_2")));
        assert_eq!(head.last_modified, Some("Thu, 01 Jan 1970 00:00:01 GMT"));
    }

    #[test]
    fn other_bytes_are_none() {
        for text in
            ["SSH-2.0-x\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nx\r\n\r\n"]
        {
            assert_eq!(Head::read(text.as_bytes()), Err(InvalidHead), "{text}");
        }
    }
}
