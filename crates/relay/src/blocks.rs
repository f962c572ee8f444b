//! The answer of an endpoint, cut into what its caller gets and what the log gets.
//!
//! A caller gets the lines of the endpoint as they are. What is added is one line for each event, its id, right before the
//! blank line that ends it; what is left out are blank lines that end no event. Clients of others take a blank line for an
//! event as soon as there ever was an id.

use memchr::{memchr, memchr2};
use tidings_event_stream::{Event, Item, Limits, Parser};

use crate::defaults;

/// How a line ends. What is added to a stream ends its lines as the stream does: some clients look for the end of an event
/// before they look for lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LineEnd {
    #[default]
    Lf,
    CrLf,
    Cr,
}

/// What an answer consists of, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes for the caller.
    Bytes(&'a [u8]),
    /// A sign of life for the caller, which may be left out.
    Sign(&'a [u8]),
    /// Here ends an event. The caller gets its id, and then these bytes.
    End { event: Event, end: LineEnd, rest: &'a [u8] },
}

/// Cuts an event stream (`text/event-stream`).
#[derive(Debug)]
pub(crate) struct Blocks {
    limit: usize,
    parser: Parser,
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    /// The fields of a block that has no data yet: without data they are nobody's.
    fields: Vec<u8>,
    has_data: bool,
    is_first: bool,
    line_end: LineEnd,
    /// The last line ended in a CR at the end of a chunk, and was taken for whole.
    after_cr: bool,
    /// Whether there was a line that event streams have.
    is_known: bool,
    /// The time after which the endpoint wants to be asked again.
    retry: Option<u64>,
}

/// Cuts lines of JSON (`application/x-ndjson`).
#[derive(Debug)]
pub(crate) struct JsonLines {
    limit: usize,
    held: Vec<u8>,
}

/// The answer has more at once than may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its events are larger than the limit of {limit} bytes (`max-event-bytes`)")]
pub(crate) struct TooLarge {
    limit: usize,
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

// === impl LineEnd ===

impl LineEnd {
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
            Self::Cr => b"\r",
        }
    }
}

// === impl Blocks ===

impl Blocks {
    pub(crate) fn new(limit: usize) -> Self {
        let most = limit.saturating_add(defaults::LINE_SLACK);
        Self {
            limit,
            parser: Parser::with_limits(Limits { line: most, event: most }),
            held: Vec::new(),
            fields: Vec::new(),
            has_data: false,
            is_first: true,
            line_end: LineEnd::default(),
            after_cr: false,
            is_known: false,
            retry: None,
        }
    }

    /// Whether anything of it was a line of an event stream.
    pub(crate) fn is_known(&self) -> bool {
        self.is_known
    }

    /// How its lines end.
    pub(crate) fn line_end(&self) -> LineEnd {
        self.line_end
    }

    /// The last id that the endpoint gave, empty where it gave none.
    pub(crate) fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    /// The time in milliseconds after which the endpoint last wanted to be asked again.
    pub(crate) fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Takes the next bytes, and gives what they complete.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut sink: impl FnMut(Piece<'_>)) -> Result<(), TooLarge> {
        let mut held = std::mem::take(&mut self.held);
        let mut chunk = chunk;
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        if !held.is_empty() {
            held.extend_from_slice(chunk);
            // What came before has no line end, but perhaps the half of one at its end.
            if held.len() == chunk.len()
                || memchr2(b'\r', b'\n', &held[held.len() - chunk.len() - 1..]).is_some()
            {
                chunk = &held;
            } else {
                self.held = held;
                return self.check(self.held.len());
            }
        }
        while let Some(at) = memchr2(b'\r', b'\n', chunk) {
            let (end, length) = match (chunk[at], chunk.get(at + 1)) {
                (b'\n', _) => (LineEnd::Lf, 1),
                (_, Some(b'\n')) => (LineEnd::CrLf, 2),
                (_, Some(_)) => (LineEnd::Cr, 1),
                // It is not known yet how the line ends, unless others have ended so.
                (_, None) if self.line_end == LineEnd::Cr => {
                    self.after_cr = true;
                    (LineEnd::Cr, 1)
                }
                (_, None) => break,
            };
            let (line, rest) = chunk.split_at(at + length);
            self.line(line, at, end, &mut sink)?;
            chunk = rest;
        }
        self.held.extend_from_slice(chunk);
        self.check(self.held.len())
    }

    fn check(&self, bytes: usize) -> Result<(), TooLarge> {
        if bytes > self.limit.saturating_add(defaults::LINE_SLACK) {
            return Err(TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// What is left when the answer ends: the bytes of a block without its end, which are no event.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        [std::mem::take(&mut self.fields), std::mem::take(&mut self.held)].concat()
    }

    /// Takes a line, whose content has so many bytes.
    fn line(
        &mut self,
        line: &[u8],
        length: usize,
        end: LineEnd,
        sink: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), TooLarge> {
        let too_large = TooLarge { limit: self.limit };
        let mut dispatched = None;
        let mut retry = None;
        self.parser
            .feed(line, |item| match item {
                Item::Event(event) => dispatched = Some(event),
                Item::Retry(millis) => retry = Some(millis),
                Item::Id(_) | Item::Comment => {}
            })
            .map_err(|_| too_large)?;
        self.retry = retry.or(self.retry);
        let mut content = &line[..length];
        if std::mem::take(&mut self.is_first) {
            content = content.strip_prefix(BOM).unwrap_or(content);
        }
        if content.is_empty() {
            self.fields.clear();
            if let Some(event) = dispatched {
                if event.data.len() > self.limit {
                    return Err(too_large);
                }
                sink(Piece::End { event, end: self.line_end, rest: line });
            }
            self.has_data = false;
            return Ok(());
        }
        self.line_end = end;
        let name = memchr(b':', content).map_or(content, |colon| &content[..colon]);
        self.is_known |= matches!(name, b"" | b"data" | b"event" | b"id" | b"retry");
        match name {
            b"" | b"retry" => sink(Piece::Sign(line)),
            b"data" => {
                if !std::mem::replace(&mut self.has_data, true) && !self.fields.is_empty() {
                    sink(Piece::Bytes(&self.fields));
                    self.fields.clear();
                }
                sink(Piece::Bytes(line));
            }
            _ if self.has_data => sink(Piece::Bytes(line)),
            _ => {
                self.check(self.fields.len() + line.len())?;
                self.fields.extend_from_slice(line);
            }
        }
        Ok(())
    }
}

// === impl JsonLines ===

impl JsonLines {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new() }
    }

    /// Takes the next bytes, and gives the lines that they complete. An event is all of a line but its end.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], mut sink: impl FnMut(Piece<'_>)) -> Result<(), TooLarge> {
        while let Some(at) = memchr(b'\n', chunk) {
            let (line, rest) = chunk.split_at(at + 1);
            let content = &line[..at];
            self.check(content.len())?;
            // The caller has the beginning of the line already.
            sink(Piece::Bytes(content));
            let mut whole = std::mem::take(&mut self.held);
            whole.extend_from_slice(content);
            match json_line(&whole) {
                Some(event) => sink(Piece::End { event, end: LineEnd::Lf, rest: b"\n" }),
                None => sink(Piece::Bytes(b"\n")),
            }
            chunk = rest;
        }
        self.check(chunk.len())?;
        if !chunk.is_empty() {
            sink(Piece::Bytes(chunk));
            self.held.extend_from_slice(chunk);
        }
        Ok(())
    }

    /// What is left when the answer ends: the last line may lack its end.
    pub(crate) fn rest(&mut self) -> Option<Event> {
        json_line(&std::mem::take(&mut self.held))
    }

    fn check(&self, more: usize) -> Result<(), TooLarge> {
        if self.held.len() + more > self.limit {
            return Err(TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

fn json_line(line: &[u8]) -> Option<Event> {
    let content = line.trim_ascii();
    if content.is_empty() {
        return None;
    }
    Some(Event { data: String::from_utf8_lossy(content).into_owned(), ..Event::default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a caller gets, and the events, where each id is `<n>`.
    fn relayed(chunks: &[&[u8]]) -> Result<(String, Vec<(String, String)>), TooLarge> {
        let mut blocks = Blocks::new(100);
        let (mut out, mut events) = (Vec::new(), Vec::new());
        for chunk in chunks {
            blocks.feed(chunk, |piece| match piece {
                Piece::Bytes(bytes) | Piece::Sign(bytes) => out.extend_from_slice(bytes),
                Piece::End { event, end, rest } => {
                    events.push((event.event, event.data));
                    out.extend_from_slice(format!("id: {}", events.len()).as_bytes());
                    out.extend_from_slice(end.bytes());
                    out.extend_from_slice(rest);
                }
            })?;
        }
        out.extend(blocks.rest());
        Ok((String::from_utf8(out).unwrap(), events))
    }

    fn caller(text: &str) -> String {
        relayed(&[text.as_bytes()]).unwrap().0
    }

    #[test]
    fn each_event_gets_an_id_before_its_end_and_nothing_else_changes() {
        assert_eq!(
            relayed(&[b"event: a\ndata:x\ndata: y\n\ndata: [DONE]\n\n"]).unwrap(),
            (
                "event: a\ndata:x\ndata: y\nid: 1\n\ndata: [DONE]\nid: 2\n\n".to_owned(),
                vec![("a".to_owned(), "x\ny".to_owned()), (String::new(), "[DONE]".to_owned())]
            )
        );
    }

    #[test]
    fn ids_end_as_the_lines_of_the_stream_do() {
        assert_eq!(caller("data: x\r\n\r\n"), "data: x\r\nid: 1\r\n\r\n");
        assert_eq!(caller("data: x\r\rdata: y\r\r."), "data: x\rid: 1\r\rdata: y\rid: 2\r\r.");
    }

    #[test]
    fn what_is_no_event_has_no_end() {
        assert_eq!(caller(": working\n\n\n\ndata: x\n\n"), ": working\ndata: x\nid: 1\n\n");
        assert_eq!(caller("retry: 5\n\ndata: x\n\n"), "retry: 5\ndata: x\nid: 1\n\n");
        assert_eq!(caller("event: gone\nid: 7\n\ndata: x\n\n"), "data: x\nid: 1\n\n");
    }

    #[test]
    fn an_id_of_the_endpoint_is_followed_by_that_of_the_hub() {
        assert_eq!(caller("id: 7\ndata: x\n\n"), "id: 7\ndata: x\nid: 1\n\n");
    }

    #[test]
    fn the_first_line_may_have_a_mark() {
        assert_eq!(
            relayed(&["\u{feff}data: x\n\n".as_bytes()]).unwrap().1,
            [(String::new(), "x".to_owned())]
        );
        assert_eq!(caller("\u{feff}\ndata: x\n\n"), "data: x\nid: 1\n\n");
    }

    #[test]
    fn the_bytes_of_a_block_without_its_end_are_given_as_they_are() {
        assert_eq!(relayed(&[b"data: x\n\nevent: a\ndata: y"]).unwrap().1.len(), 1);
        assert_eq!(caller("data: x\n\nevent: a\ndata: y"), "data: x\nid: 1\n\nevent: a\ndata: y");
    }

    #[test]
    fn lines_of_an_event_leave_when_they_are_whole() {
        let mut blocks = Blocks::new(100);
        let mut seen = Vec::new();
        blocks.feed(b"event: a\ndata: x\nda", |piece| seen.push(format!("{piece:?}"))).unwrap();
        assert_eq!(seen.len(), 2, "{seen:?}");
    }

    #[test]
    fn an_end_in_cr_is_not_waited_for_where_the_others_are_such() {
        let mut blocks = Blocks::new(100);
        let mut ends = 0;
        let mut count = |piece: Piece<'_>| ends += usize::from(matches!(piece, Piece::End { .. }));
        blocks.feed(b"data: x\rdata: y\r\r", &mut count).unwrap();
        blocks.feed(b"data: z\r\r", &mut count).unwrap();
        assert_eq!(ends, 2);
    }

    #[test]
    fn what_is_too_large_is_given_up() {
        let endless = [b'x'; 200_000];
        assert!(relayed(&[&endless]).is_err());
        assert!(relayed(&[b"data: ", &[b'x'; 101], b"\n\n"]).is_err());
        assert!(relayed(&[b"data: ", &[b'x'; 100], b"\n\n"]).is_ok());
        let fields: Vec<u8> = b"a: b\n".iter().copied().cycle().take(5_000_000).collect();
        assert!(relayed(&[&fields]).is_err());
        let lines: Vec<u8> = b"data: b\n".iter().copied().cycle().take(5_000_000).collect();
        assert!(relayed(&[&lines]).is_err());
    }

    fn lines(chunks: &[&[u8]]) -> (String, Vec<String>) {
        let mut lines = JsonLines::new(100);
        let (mut out, mut events) = (Vec::new(), Vec::new());
        for chunk in chunks {
            lines
                .feed(chunk, |piece| match piece {
                    Piece::Bytes(bytes) | Piece::Sign(bytes) => out.extend_from_slice(bytes),
                    Piece::End { event, rest, .. } => {
                        events.push(event.data);
                        out.extend_from_slice(rest);
                    }
                })
                .unwrap();
        }
        events.extend(lines.rest().map(|event| event.data));
        (String::from_utf8(out).unwrap(), events)
    }

    #[test]
    fn lines_of_json_are_events_and_the_same_bytes() {
        let text = "{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\":3}";
        let expected = ["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"].map(str::to_owned).to_vec();
        assert_eq!(lines(&[text.as_bytes()]), (text.to_owned(), expected.clone()));
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(lines(&single), (text.to_owned(), expected));
        assert!(JsonLines::new(10).feed(&[b'x'; 11], |_| {}).is_err());
    }

    proptest! {
        /// However it comes, it is cut in the same places; and the events are those that the format knows.
        #[test]
        fn chunks_make_no_difference(
            text in "(data: ?|event: a|id: 7|:|retry: 5|x|\n|\r\n|\u{fc}){0,40}",
            cuts in proptest::collection::vec(0..200_usize, 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let whole = relayed(&[bytes]).unwrap();
            prop_assert_eq!(&relayed(&chunks).unwrap(), &whole);

            let events = |text: &[u8]| {
                let mut events = Vec::new();
                Parser::new().feed(text, |item| if let Item::Event(event) = item { events.push((event.event, event.data)) }).unwrap();
                events
            };
            prop_assert_eq!(&events(bytes), &whole.1);
            prop_assert_eq!(&events(whole.0.as_bytes()), &whole.1);
        }
    }
}
