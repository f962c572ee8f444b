use std::error::Error;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Without its end.
    Whole(Vec<u8>),
    /// It was passed over.
    TooLong,
}

/// The longest line.
const LINE_BYTES: usize = 32 << 20;
/// How many lines, and how many bytes of them, are taken together at most.
const TOGETHER: usize = 500;
const TOGETHER_BYTES: usize = 256 << 10;
/// How much is read ahead.
const BUFFER_BYTES: usize = 64 << 10;

/// Lines as they come: one by one from a slow writer, several at once from a fast one.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    /// A line that could not go with those before it.
    held: Option<Line>,
}

// === impl Lines ===

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn of(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER_BYTES, reader), held: None }
    }

    /// Waits for a line, and takes those that are there already with it, up to `most`; a line for which
    /// `alone` holds comes by itself. None at the end.
    pub(crate) async fn next(
        &mut self,
        most: usize,
        alone: impl Fn(&Line) -> bool,
    ) -> Result<Vec<Line>, Box<dyn Error>> {
        let first = match self.held.take() {
            Some(line) => Some(line),
            None => self.read().await?,
        };
        let Some(first) = first else { return Ok(Vec::new()) };
        let mut bytes = first.bytes();
        let only = alone(&first);
        let mut lines = vec![first];
        while !only && lines.len() < most.min(TOGETHER) && bytes < TOGETHER_BYTES {
            // A line that is here in part may be long in coming.
            if !self.reader.buffer().contains(&b'\n') {
                break;
            }
            let Some(line) = self.read().await? else { break };
            if alone(&line) {
                self.held = Some(line);
                break;
            }
            bytes += line.bytes();
            lines.push(line);
        }
        Ok(lines)
    }

    async fn read(&mut self) -> Result<Option<Line>, Box<dyn Error>> {
        let mut line = Vec::new();
        let limit = LINE_BYTES as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut line).await;
        if read.map_err(unreadable)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        } else if line.len() > LINE_BYTES {
            drop(line);
            self.pass_over().await?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Whole(line)))
    }

    /// Reads on to the end of a line, and keeps nothing of it.
    async fn pass_over(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let buffer = self.reader.fill_buf().await.map_err(unreadable)?;
            let end = memchr::memchr(b'\n', buffer);
            let count = end.map_or(buffer.len(), |at| at + 1);
            self.reader.consume(count);
            if end.is_some() || count == 0 {
                return Ok(());
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what becomes of an error")]
fn unreadable(error: std::io::Error) -> String {
    format!("failed to read standard input: {error}")
}

// === impl Line ===

impl Line {
    fn bytes(&self) -> usize {
        if let Self::Whole(line) = self { line.len() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    fn whole(lines: Vec<Line>) -> Vec<Vec<u8>> {
        let bytes = |line| if let Line::Whole(line) = line { line } else { b"too long".to_vec() };
        lines.into_iter().map(bytes).collect()
    }

    #[tokio::test]
    async fn lines_that_are_there_come_together_and_half_a_line_does_not_hold_them() {
        let (mut writer, reader) = tokio::io::duplex(1 << 10);
        let mut lines = Lines::of(reader);
        writer.write_all(b"a\r\n\nb\nc").await.unwrap();
        assert_eq!(whole(lines.next(9, |_| false).await.unwrap()), [&b"a"[..], b"", b"b"]);
        writer.write_all(b"d\ne").await.unwrap();
        assert_eq!(whole(lines.next(9, |_| false).await.unwrap()), [b"cd"]);
        drop(writer);
        assert_eq!(whole(lines.next(9, |_| false).await.unwrap()), [b"e"]);
        assert!(lines.next(9, |_| false).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_line_may_have_to_go_alone() {
        let mut lines = Lines::of(&b"1\n2\n!3\n!4\n5\n"[..]);
        let mut taken = Vec::new();
        loop {
            let alone = |line: &Line| matches!(line, Line::Whole(line) if line.starts_with(b"!"));
            let next = whole(lines.next(9, alone).await.unwrap());
            if next.is_empty() {
                break;
            }
            taken.push(String::from_utf8(next.join(&b' ')).unwrap());
        }
        assert_eq!(taken, ["1 2", "!3", "!4", "5"]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over() {
        let input = [vec![b'x'; LINE_BYTES + 1], b"yy\nnext\n".to_vec(), vec![b'x'; LINE_BYTES + 2]].concat();
        let mut lines = Lines::of(&*input);
        assert_eq!(lines.next(1, |_| false).await.unwrap(), [Line::TooLong]);
        assert_eq!(lines.next(1, |_| false).await.unwrap(), [Line::Whole(b"next".to_vec())]);
        assert_eq!(lines.next(1, |_| false).await.unwrap(), [Line::TooLong]);
        assert!(lines.next(1, |_| false).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn no_more_are_taken_than_asked_for() {
        let mut lines = Lines::of(&b"1\n2\n3\n"[..]);
        assert_eq!(whole(lines.next(1, |_| false).await.unwrap()), [b"1"]);
        assert_eq!(whole(lines.next(2, |_| false).await.unwrap()), [b"2", b"3"]);
    }
}
