//! Blocks into bytes.

use memchr::{memchr2, memchr3};

/// Appends lines of an event stream to a buffer; [`end`](Self::end) makes what came before it a block.
///
/// ```
/// use tidings_event_stream::Encoder;
///
/// let mut bytes = Vec::new();
/// Encoder::new(&mut bytes).id("7").event("note").field("topic", "orders").data(b"two\nlines").end();
/// assert_eq!(bytes, b"id: 7\nevent: note\ntopic: orders\ndata: two\ndata: lines\n\n");
///
/// // A heartbeat that moves the cursor.
/// bytes.clear();
/// Encoder::new(&mut bytes).comment("").id("8").end();
/// assert_eq!(bytes, b":\nid: 8\n\n");
/// ```
///
/// # What the format cannot carry
///
/// No value can begin a line of its own. Data and comments may have several lines. Every other field is one
/// line, and one that would not arrive as it was given **is not written at all**: an id with a CR, LF or NUL,
/// an event type or field value with a CR or LF, a field name that is empty or has a colon, CR or LF. Cut
/// short or mended it would be another, valid value: a reader with half an id would resume in the wrong
/// place, one without it merely in an earlier one. A caller that must know checks before.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// The time after which a reader shall reconnect, in milliseconds. It applies at once, block or not.
    pub fn retry(&mut self, millis: u64) -> &mut Self {
        self.line(b"retry", millis.to_string().as_bytes());
        self
    }

    /// The last event id from this block on; empty, it resets the id. With a CR, LF or NUL: nothing.
    pub fn id(&mut self, id: &str) -> &mut Self {
        if memchr3(b'\r', b'\n', 0, id.as_bytes()).is_none() {
            self.line(b"id", id.as_bytes());
        }
        self
    }

    /// The type of the event; empty, it is `message`. With a CR or LF: nothing.
    pub fn event(&mut self, event: &str) -> &mut Self {
        self.field("event", event)
    }

    /// A field of any name; readers ignore those they do not know. With a name that is empty or has a colon,
    /// CR or LF, or a value with a CR or LF: nothing.
    pub fn field(&mut self, name: &str, value: &str) -> &mut Self {
        let fits = !name.is_empty()
            && memchr3(b':', b'\r', b'\n', name.as_bytes()).is_none()
            && memchr2(b'\r', b'\n', value.as_bytes()).is_none();
        if fits {
            self.line(name.as_bytes(), value.as_bytes());
        }
        self
    }

    /// The data, as one `data:` line for each of its lines: LF, CR and CRLF each separate two, and a reader
    /// gets them all as LF. Empty data is one empty line. Called again, it adds lines.
    ///
    /// Bytes that are not UTF-8 are written as they are; a reader takes them for U+FFFD.
    pub fn data(&mut self, data: &[u8]) -> &mut Self {
        self.lines(b"data", data)
    }

    /// A comment line, which readers ignore, for each line of the text; an empty one is a lone colon.
    pub fn comment(&mut self, text: &str) -> &mut Self {
        self.lines(b"", text.as_bytes())
    }

    /// The blank line that ends a block.
    pub fn end(&mut self) -> &mut Self {
        self.out.push(b'\n');
        self
    }

    fn lines(&mut self, name: &[u8], mut text: &[u8]) -> &mut Self {
        while let Some(end) = memchr2(b'\r', b'\n', text) {
            let (line, rest) = text.split_at(end);
            self.line(name, line);
            text = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
        }
        self.line(name, text);
        self
    }

    fn line(&mut self, name: &[u8], value: &[u8]) {
        self.out.reserve(name.len() + value.len() + 3);
        self.out.extend_from_slice(name);
        self.out.push(b':');
        if !value.is_empty() {
            // Always, since a reader strips one space: a value's own first space would be lost without it.
            self.out.push(b' ');
            self.out.extend_from_slice(value);
        }
        self.out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(write: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Encoder::new(&mut bytes));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_first_block_as_a_server_sends_it() {
        assert_eq!(encoded(|e| _ = e.retry(2000).id("q-1").end()), "retry: 2000\nid: q-1\n\n");
        assert_eq!(encoded(|e| _ = e.retry(u64::MAX)), "retry: 18446744073709551615\n");
    }

    #[test]
    fn appends_and_leaves_what_was_there() {
        let mut bytes = b"before\n".to_vec();
        Encoder::new(&mut bytes).data(b"x").end();
        assert_eq!(bytes, b"before\ndata: x\n\n");
    }

    #[test]
    fn data_has_one_line_for_each_of_its_lines() {
        assert_eq!(encoded(|e| _ = e.data(b"a\nb\rc\r\nd")), "data: a\ndata: b\ndata: c\ndata: d\n");
        assert_eq!(encoded(|e| _ = e.data(b"a\n\r\n\r")), "data: a\ndata:\ndata:\ndata:\n");
        assert_eq!(encoded(|e| _ = e.data(b"a\n")), "data: a\ndata:\n");
    }

    #[test]
    fn empty_data_is_one_line() {
        assert_eq!(encoded(|e| _ = e.data(b"").end()), "data:\n\n");
    }

    #[test]
    fn a_leading_space_is_kept() {
        assert_eq!(encoded(|e| _ = e.data(b" a")), "data:  a\n");
    }

    #[test]
    fn data_need_not_be_utf8() {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).data(b"\xFF");
        assert_eq!(bytes, b"data: \xFF\n");
    }

    #[test]
    fn comments_may_have_several_lines() {
        assert_eq!(encoded(|e| _ = e.comment("")), ":\n");
        assert_eq!(encoded(|e| _ = e.comment("a\r\ndata: b")), ": a\n: data: b\n");
    }

    #[test]
    fn empty_values_are_written() {
        assert_eq!(encoded(|e| _ = e.id("").event("").field("topic", "")), "id:\nevent:\ntopic:\n");
    }

    #[test]
    fn no_value_begins_a_line_of_its_own() {
        for end in ["\n", "\r", "\r\n"] {
            let evil = format!("x{end}data: y");
            assert_eq!(encoded(|e| _ = e.id(&evil).event(&evil).field("topic", &evil).field(&evil, "x")), "");
        }
        assert_eq!(encoded(|e| _ = e.id("x\n").event("\n").field("topic", "\r").field("\n", "")), "");
    }

    #[test]
    fn an_id_with_nul_is_not_written() {
        assert_eq!(encoded(|e| _ = e.id("a\0b")), "");
        assert_eq!(encoded(|e| _ = e.event("a\0b")), "event: a\0b\n");
    }

    #[test]
    fn a_name_that_would_be_read_as_another_is_not_written() {
        assert_eq!(encoded(|e| _ = e.field("", "comment").field("data: x", "y").field("a:", "")), "");
    }
}
