use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::heard::Heard;
use crate::server::socket::{Patience, Progress, is_end};

/// A connection of HTTP/1.1 whose requests are followed as they are read, so that none is understood whose end is in
/// doubt. The library takes some of those as it may (a `Content-Length` beside a `Transfer-Encoding`, lines that end
/// with a bare LF); but where somebody on the way takes them otherwise, a part of one client's request becomes another
/// request, of somebody else (RFC 9112 §11.2).
///
/// A connection that goes on with another protocol has to leave it first.
///
/// What is in doubt gets a byte that no head may have, so that the library refuses it, and nothing after it is read.
#[derive(Debug)]
pub(crate) struct Strict<T> {
    inner: T,
    requests: Requests,
    patience: Patience,
}

/// Which of a connection's requests have a raw `#` in their target. The library cuts the target there, so that the
/// request would be one for another topic; such a request is refused when its turn comes.
#[derive(Debug, Default)]
pub(crate) struct Fragments(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    read: u64,
    answered: u64,
    /// The numbers of those that have one, as they were read. The library reads only so far ahead of its answers.
    having: VecDeque<u64>,
}

/// Where in its requests a connection is.
#[derive(Debug, Default)]
struct Requests {
    fragments: Arc<Fragments>,
    /// Whether there was a `#` in the first line of the request so far.
    has_fragment: bool,
    place: ParseState,
    /// What has come of a line, where it did not come at once; no more of it than [`LINE_BYTES`].
    line: Vec<u8>,
    /// Whether the line is longer than that.
    cut: bool,
    /// What is still to be read where something is in doubt.
    end: &'static [u8],
    heard: Heard,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ParseState {
    /// Before the first line of a request.
    #[default]
    Between,
    /// In the fields of a head, with what they say of the body so far.
    Head(Option<Length>),
    /// In a body of which so many bytes are to come.
    Body(u64),
    /// Before the line that says how long a chunk is.
    Size,
    /// In a chunk of which so many bytes are to come, and the end of its line.
    Chunk(u64),
    /// Behind the last chunk.
    Trailer,
    /// Something was in doubt.
    Doubt,
}

/// How long a body is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunked,
}

/// Something is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Doubt;

/// What is kept of a line: more than any that says how long a body is has a use for.
const LINE_BYTES: usize = 128;
/// The longest chunk that anybody could mean.
const CHUNK_BYTES: u64 = 1 << 32;
/// A byte that no head may have.
const POISON: u8 = 0;
/// What a head ends with.
const HEAD_END: &[u8] = b"\r\n\r\n";

// === impl Strict ===

impl<T> Strict<T> {
    /// A connection before a request.
    pub(crate) fn new(inner: T, fragments: Arc<Fragments>, progress: Arc<Progress>) -> Self {
        Self {
            inner,
            requests: Requests { fragments, ..Requests::default() },
            patience: Patience::new(progress),
        }
    }

    /// The connection, and the head of the last request, where it was a short one and nothing was read after it.
    pub(crate) fn into_parts(self) -> (T, Option<Vec<u8>>) {
        (self.inner, self.requests.heard.into_head())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Strict<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.requests.place == ParseState::Doubt {
            // The library looks at a head only when it is whole.
            buf.put_slice(std::mem::take(&mut self.requests.end));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        let is_end = is_end(&read, buf.filled().len() - before);
        if is_end && self.requests.are_whole() && self.patience.puts_off_end(cx) {
            return Poll::Pending;
        }
        read?;
        if let Some(at) = self.requests.follow(&buf.filled()[before..]) {
            tracing::debug!("refused a request whose end is in doubt");
            buf.filled_mut()[before + at] = POISON;
            buf.set_filled(before + at + 1);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Strict<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.requests.heard.answered();
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.requests.heard.answered();
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

// === impl Fragments ===

impl Fragments {
    /// A request was read.
    fn note(&self, has_one: bool) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if has_one {
            let number = counts.read;
            counts.having.push_back(number);
        }
        counts.read += 1;
    }

    /// Whether the next request that is answered has one.
    pub(crate) fn next_has_one(&self) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = counts.answered;
        counts.answered += 1;
        let has_one = counts.having.front() == Some(&number);
        if has_one {
            counts.having.pop_front();
        }
        has_one
    }
}

// === impl Requests ===

impl Requests {
    /// Whether no request has come in part.
    fn are_whole(&self) -> bool {
        matches!(self.place, ParseState::Between | ParseState::Body(0)) && self.line.is_empty()
    }

    /// Follows what comes next, and gives the place from which on it is in doubt.
    fn follow(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let before = self.place;
            let count = match &mut self.place {
                ParseState::Body(left) | ParseState::Chunk(left) if *left > 0 => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= count as u64;
                    count
                }
                ParseState::Body(_) => {
                    self.place = ParseState::Between;
                    0
                }
                ParseState::Doubt => return Some(at),
                _ => match memchr(b'\n', rest) {
                    None => {
                        self.has_fragment |=
                            self.place == ParseState::Between && memchr(b'#', rest).is_some();
                        self.keep(rest);
                        rest.len()
                    }
                    Some(end) => {
                        if self.place == ParseState::Between {
                            self.has_fragment |= memchr(b'#', &rest[..end]).is_some();
                        }
                        if self.end_line(&rest[..end]).is_err() {
                            let in_head = matches!(self.place, ParseState::Between | ParseState::Head(_));
                            self.end = if in_head { HEAD_END } else { b"" };
                            self.place = ParseState::Doubt;
                            return Some(at + end);
                        }
                        end + 1
                    }
                },
            };
            self.hear(before, &rest[..count]);
            at += count;
        }
        None
    }

    /// Keeps what came of a head, now that it is known where it led.
    fn hear(&mut self, before: ParseState, part: &[u8]) {
        if !matches!(before, ParseState::Between | ParseState::Head(_)) {
            return;
        }
        self.heard.push(part);
        match (before, self.place) {
            (ParseState::Head(_), ParseState::Between) => self.heard.finish(),
            // The line was empty, and is no part of the request that follows it.
            (ParseState::Between, ParseState::Between) if part.ends_with(b"\n") => self.heard.forget(),
            (_, ParseState::Between | ParseState::Head(_)) => {}
            _ => self.heard.forget(),
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES - self.line.len();
        self.cut |= part.len() > room;
        // The end of a line that is cut tells how it ends.
        let (kept, lost) = part.split_at(part.len().min(room));
        self.line.extend_from_slice(kept);
        if let (Some(last), Some(end)) = (self.line.last_mut(), lost.last()) {
            *last = *end;
        }
    }

    /// A line has come to its end, of which this is the last part, without the LF.
    fn end_line(&mut self, part: &[u8]) -> Result<(), Doubt> {
        let kept = std::mem::take(&mut self.line);
        let place = if kept.is_empty() {
            self.place.after(part, part.len() > LINE_BYTES)
        } else {
            self.line = kept;
            self.keep(part);
            let line = std::mem::take(&mut self.line);
            self.place.after(&line, self.cut)
        };
        self.cut = false;
        let place = place?;
        if self.place == ParseState::Between && place != ParseState::Between {
            self.fragments.note(std::mem::take(&mut self.has_fragment));
        }
        self.place = place;
        Ok(())
    }
}

// === impl ParseState ===

impl ParseState {
    /// Where a connection is after a line.
    fn after(self, line: &[u8], cut: bool) -> Result<Self, Doubt> {
        let line = line.strip_suffix(b"\r").ok_or(Doubt)?;
        match self {
            // An empty line before a request is put up with (RFC 9112 §2.2).
            Self::Between if line.is_empty() => Ok(self),
            Self::Between => Ok(Self::Head(None)),
            Self::Head(length) if line.is_empty() => Ok(match length {
                None => Self::Between,
                Some(Length::Bytes(count)) => Self::Body(count),
                Some(Length::Chunked) => Self::Size,
            }),
            Self::Head(length) => match field(line, cut)? {
                None => Ok(self),
                Some(_) if length.is_some() => Err(Doubt),
                said => Ok(Self::Head(said)),
            },
            Self::Size => match chunk_size(line)? {
                0 => Ok(Self::Trailer),
                size => Ok(Self::Chunk(size)),
            },
            Self::Chunk(_) if line.is_empty() => Ok(Self::Size),
            Self::Trailer if line.is_empty() => Ok(Self::Between),
            Self::Trailer if !line[0].is_ascii_whitespace() && (cut || line.contains(&b':')) => Ok(self),
            Self::Chunk(_) | Self::Trailer | Self::Body(_) | Self::Doubt => Err(Doubt),
        }
    }
}

/// What a field says of the length of the body, if anything.
fn field(line: &[u8], cut: bool) -> Result<Option<Length>, Doubt> {
    let colon = memchr(b':', line);
    let name = &line[..colon.unwrap_or(line.len())];
    let named = |wanted: &[u8]| name.trim_ascii().eq_ignore_ascii_case(wanted);
    let (counts, encodes) = (named(b"content-length"), named(b"transfer-encoding"));
    if !counts && !encodes {
        return Ok(None);
    }
    let plain = name.trim_ascii() == name && !cut;
    let Some(colon) = colon.filter(|_| plain) else { return Err(Doubt) };
    let value = line[colon + 1..].trim_ascii();
    if encodes {
        return if value.eq_ignore_ascii_case(b"chunked") { Ok(Some(Length::Chunked)) } else { Err(Doubt) };
    }
    let digits = value.iter().all(u8::is_ascii_digit) && !value.is_empty();
    let count = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    count.map(|count| Some(Length::Bytes(count))).ok_or(Doubt)
}

/// How long a chunk is, as the line before it says, which may say more behind a semicolon.
fn chunk_size(line: &[u8]) -> Result<u64, Doubt> {
    let size = &line[..memchr(b';', line).unwrap_or(line.len())];
    let digits = size.iter().all(u8::is_ascii_hexdigit) && !size.is_empty();
    let size = std::str::from_utf8(size).ok().filter(|_| digits);
    size.and_then(|text| u64::from_str_radix(text, 16).ok()).filter(|size| *size <= CHUNK_BYTES).ok_or(Doubt)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where what comes is in doubt, however it is cut into pieces.
    fn doubt(text: &str) -> Option<usize> {
        let whole = Requests::default().follow(text.as_bytes());
        for size in [1, 2, 3, 7, 100] {
            let (mut requests, mut at) = (Requests::default(), None);
            for (number, piece) in text.as_bytes().chunks(size).enumerate() {
                at = at.or_else(|| requests.follow(piece).map(|place| number * size + place));
            }
            assert_eq!(at, whole, "in pieces of {size}: {text:?}");
        }
        whole
    }

    #[test]
    fn requests_are_followed_through_their_bodies() {
        let long = format!("x: {}\r\n", "y".repeat(5_000));
        for body in ["a: b", "\n\n\n\n", "GET "] {
            let text = format!(
                "\r\nPOST / HTTP/1.1\r\nContent-Length: 4\r\n{long}\r\n{body}\
                 POST / HTTP/1.1\r\ntransfer-encoding:  CHUNKED \r\n\r\n4;x=y\r\n{body}\r\n00a\r\n0123456789\r\n0\r\n{long}\r\n\
                 GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n\
                 GET / HTTP/1.1\r\n\r\n"
            );
            assert_eq!(doubt(&text), None, "{text:?}");
            assert_eq!(doubt(&format!("{text}x\n")), Some(text.len() + 1));
        }
    }

    #[test]
    fn the_last_head_is_heard_however_it_comes() {
        let head = "GET /b HTTP/1.1\r\nx: GET / HTTP/1.1\r\n\r\n";
        for (before, after, heard) in [
            ("", "", true),
            ("\r\n\r\n", "", true),
            ("GET / HTTP/1.1\r\n\r\n", "", true),
            ("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nGET", "", true),
            ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nGET\r\n0\r\n\r\n", "", true),
            ("", "G", false),
            ("", "\r", false),
            ("", "\r\n", false),
            ("", "POST / HTTP/1.1\r\n\r\n", false),
            ("", "GET / HTTP/1.1\r\ncontent-length: 3\r\n\r\nGET", false),
        ] {
            let text = format!("{before}{head}{after}");
            for size in 1..=text.len() {
                let mut requests = Requests::default();
                for piece in text.as_bytes().chunks(size) {
                    assert_eq!(requests.follow(piece), None);
                }
                let expected = heard.then(|| head.as_bytes().to_vec());
                assert_eq!(requests.heard.into_head(), expected, "in pieces of {size}: {text:?}");
            }
        }
    }

    #[test]
    fn a_line_ends_with_cr_and_lf() {
        for (text, at) in [
            ("GET / HTTP/1.1\n\r\n", 14),
            ("GET / HTTP/1.1\r\nx: y\n\r\n", 20),
            ("GET / HTTP/1.1\r\n\n", 16),
            ("\nGET / HTTP/1.1\r\n\r\n", 0),
        ] {
            assert_eq!(doubt(text), Some(at), "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nx: {}\n", "y".repeat(5_000));
        assert_eq!(doubt(&long), Some(long.len() - 1));
    }

    #[test]
    fn the_length_of_a_body_is_said_once_and_plainly() {
        for fields in [
            "content-length: 1\r\ncontent-length: 1\r\n",
            "transfer-encoding: chunked\r\nx: y\r\ncontent-length: 1\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n",
            "content-length: \r\n",
            "content-length: 1,1\r\n",
            "content-length: +1\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length\r\n",
            " content-length : 1\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding:\r\n",
        ] {
            assert!(doubt(&format!("POST / HTTP/1.1\r\n{fields}\r\n")).is_some(), "{fields}");
        }
        let padded = format!("POST / HTTP/1.1\r\ncontent-length: {}1\r\n\r\n", "0".repeat(500));
        assert!(doubt(&padded).is_some());
        assert_eq!(doubt("POST / HTTP/1.1\r\nx-content-length: x\r\ncontent-lengths: x\r\n\r\n"), None);
    }

    #[test]
    fn chunks_are_plain() {
        let start = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        for body in
            ["0x1\r\n", "\r\n", "1 \r\n", ";\r\n", "1\n", "11111111111111111\r\n", "1\r\nab\r\n", "1\r\na\n"]
        {
            assert!(doubt(&format!("{start}{body}")).is_some(), "{body:?}");
        }
        for trailer in ["x\r\n", " x: y\r\n", "x: y\n"] {
            assert!(doubt(&format!("{start}0\r\n{trailer}")).is_some(), "{trailer:?}");
        }
    }
}
