//! Lines into items.

use std::borrow::Cow;
use std::mem;

use memchr::memchr;

use crate::lines::Lines;
use crate::{Error, Event, FIELD_COST, Item, Limits};

/// An incremental parser, one for each response.
///
/// It does what the standard's [algorithm] says: one leading BOM is dropped; LF, CR and CRLF end a line;
/// invalid UTF-8 becomes U+FFFD; one space after the colon is dropped; field names are case-sensitive; an id
/// with NUL and a `retry` that is not all ASCII digits are ignored. Beyond it, it reports comments, ids that
/// moved without an event, and [unknown fields](Event::fields), and it has [`Limits`].
///
/// Where the response ends, drop the parser: what was not yet closed by a blank line is discarded, as the
/// standard wants it.
///
/// The cost is linear in the bytes, however they are cut into chunks; a line that lies within one chunk is
/// read where it is.
///
/// ```
/// use tidings_event_stream::{Item, Parser};
///
/// let mut parser = Parser::new();
/// let mut data = Vec::new();
/// for chunk in [&b"data: one\n\nda"[..], b"ta: two\r", b"\n\r", b"\ndata: unfini"] {
///     parser.feed(chunk, |item| match item {
///         Item::Event(event) => data.push(event.data),
///         Item::Id(_) | Item::Retry(_) | Item::Comment => {}
///     })?;
/// }
/// assert_eq!(data, ["one", "two"]);
/// # Ok::<(), tidings_event_stream::Error>(())
/// ```
///
/// [algorithm]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
#[derive(Debug)]
pub struct Parser {
    lines: Lines,
    blocks: Blocks,
    failed: Option<Error>,
}

impl Parser {
    /// A parser with the default [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A parser with these limits.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self { lines: Lines::new(limits.line), blocks: Blocks::new(limits.event), failed: None }
    }

    /// Begins with this last event id instead of the empty one.
    ///
    /// For a client that reconnects: events before the first `id` of the new response then carry the id that
    /// it resumed from. (By the letter of the standard they would reset it.)
    #[must_use]
    pub fn with_last_event_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.blocks.id);
        id.clone_into(&mut self.blocks.last_event_id);
        self
    }

    /// Takes the next bytes of the stream, and calls `sink` for each item that they complete, in order.
    ///
    /// A CR at the end of a chunk ends its line at once; an LF at the beginning of the next is part of it.
    ///
    /// # Errors
    ///
    /// The limit that the stream went over, after the items before that point. From then on, every call
    /// returns that error and does nothing else.
    pub fn feed(&mut self, chunk: &[u8], sink: impl FnMut(Item)) -> Result<(), Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.run(chunk, sink);
        if let Err(error) = result {
            self.failed = Some(error);
        }
        result
    }

    /// The last event id: that of the last complete block that had one. Empty if none has, or if it was
    /// reset.
    ///
    /// It outlives an error, since it stands for what was dispatched.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.blocks.last_event_id
    }

    fn run(&mut self, mut chunk: &[u8], mut sink: impl FnMut(Item)) -> Result<(), Error> {
        while let Some(line) = self.lines.next(&mut chunk)? {
            if let Some(item) = self.blocks.line(line)? {
                sink(item);
            }
        }
        Ok(())
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

/// The buffers of the standard's algorithm.
#[derive(Debug)]
struct Blocks {
    limit: usize,
    /// `None` is the standard's empty buffer. The LF of each line is put before the next one instead of
    /// being taken off at the end.
    data: Option<String>,
    event: String,
    fields: Vec<(String, String)>,
    /// What `fields` counts towards the limit.
    fields_size: usize,
    /// Unlike the other buffers this outlives the block.
    id: String,
    last_event_id: String,
}

impl Blocks {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            data: None,
            event: String::new(),
            fields: Vec::new(),
            fields_size: 0,
            id: String::new(),
            last_event_id: String::new(),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Item>, Error> {
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        // Cutting before decoding is the same as decoding first: no byte of an ASCII character is ever part
        // of another character, or of what one U+FFFD replaces.
        let (name, value) = match memchr(b':', line) {
            Some(0) => return Ok(Some(Item::Comment)),
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match name {
            b"data" => self.push_data(String::from_utf8_lossy(value))?,
            b"event" => self.set_event(&String::from_utf8_lossy(value))?,
            b"id" => self.set_id(value),
            b"retry" => return Ok(millis(value).map(Item::Retry)),
            _ => self.push_field(String::from_utf8_lossy(name), String::from_utf8_lossy(value))?,
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Item> {
        let moved = self.last_event_id != self.id;
        if moved {
            self.last_event_id.clone_from(&self.id);
        }
        let event = mem::take(&mut self.event);
        let fields = mem::take(&mut self.fields);
        self.fields_size = 0;
        match self.data.take() {
            Some(data) => Some(Item::Event(Event { event, data, id: self.id.clone(), fields })),
            None => moved.then(|| Item::Id(self.id.clone())),
        }
    }

    fn push_data(&mut self, value: Cow<'_, str>) -> Result<(), Error> {
        self.make_room(value.len() + usize::from(self.data.is_some()))?;
        match &mut self.data {
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
            None => self.data = Some(value.into_owned()),
        }
        Ok(())
    }

    fn set_event(&mut self, value: &str) -> Result<(), Error> {
        self.event.clear();
        self.make_room(value.len())?;
        self.event.push_str(value);
        Ok(())
    }

    fn set_id(&mut self, value: &[u8]) {
        if memchr(0, value).is_none() {
            self.id.clear();
            self.id.push_str(&String::from_utf8_lossy(value));
        }
    }

    fn push_field(&mut self, name: Cow<'_, str>, value: Cow<'_, str>) -> Result<(), Error> {
        let size = name.len() + value.len() + FIELD_COST;
        self.make_room(size)?;
        self.fields_size += size;
        self.fields.push((name.into_owned(), value.into_owned()));
        Ok(())
    }

    fn make_room(&self, more: usize) -> Result<(), Error> {
        let size = self.data.as_ref().map_or(0, String::len) + self.event.len() + self.fields_size;
        if more > self.limit.saturating_sub(size) {
            return Err(Error::EventTooLarge { limit: self.limit });
        }
        Ok(())
    }
}

fn millis(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| value.iter().fold(0, |n: u64, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0'))))
}

#[cfg(test)]
mod tests;
