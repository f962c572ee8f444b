use std::fmt;

use memchr::memmem;
use tidings_protocol::Cursor;

/// A request that differs from one that was answered in nothing but its cursor.
///
/// Whoever polls asks the same again and again. Such a request is known by its bytes, and what it asks for is known
/// with it, so it need not pass through hyper and the routes. Everything else does.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Template {
    before: Box<[u8]>,
    after: Box<[u8]>,
    /// How long it asks to be held, in ticks of the wheel.
    pub(super) wait: u32,
}

/// The longest request that is kept as a template, in bytes.
pub(crate) const REQUEST_BYTES: usize = 1_024;

// === impl Template ===

impl Template {
    /// Keeps a request, which is all of `head`, and went on from `cursor`, the only one that it gives. `None` where it
    /// cannot be said for certain which of its bytes are the cursor.
    pub(crate) fn new(head: &[u8], cursor: Cursor, wait: u32) -> Option<Self> {
        let whole = memmem::find(head, b"\r\n\r\n")? + 4 == head.len() && head.len() <= REQUEST_BYTES;
        let text = cursor.to_string();
        let mut places = memmem::find_iter(head, text.as_bytes());
        let (place, None) = (places.next()?, places.next()) else { return None };
        let (before, rest) = head.split_at(place);
        let after = &rest[text.len()..];
        let named = match memmem::rfind(before, b"\r\n") {
            None => is_parameter(before) && matches!(after.first(), Some(b'&' | b' ')),
            Some(line) => {
                let name = &before[line + 2..];
                let name = name.strip_suffix(b" ").unwrap_or(name);
                name.eq_ignore_ascii_case(b"last-event-id:") && after.first() == Some(&b'\r')
            }
        };
        (whole && named).then(|| Self { before: before.into(), after: after.into(), wait })
    }

    /// The cursor of a request that is the same otherwise.
    pub(crate) fn cursor(&self, request: &[u8]) -> Option<Cursor> {
        let text = request.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        let text = std::str::from_utf8(text).ok()?;
        // Written in the one way that the hub writes it, so that nothing else hides in it.
        text.parse().ok().filter(|cursor: &Cursor| cursor.to_string() == text)
    }
}

impl fmt::Debug for Template {
    /// Without its bytes, which may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.before.len() + self.after.len();
        f.debug_struct("Template").field("bytes", &bytes).field("wait", &self.wait).finish()
    }
}

/// Whether what follows the beginning of a request line is the value of a parameter that gives a cursor.
fn is_parameter(line: &[u8]) -> bool {
    let Some(query) = memchr::memchr(b'?', line).map(|question| &line[question + 1..]) else { return false };
    let name = query.rsplit(|byte| *byte == b'&').next().unwrap_or(query);
    (name == b"since=" || name == b"lastEventId=") && !line.contains(&b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &str) -> Cursor {
        text.parse().unwrap()
    }

    fn template(head: &str) -> Option<Template> {
        Template::new(head.as_bytes(), cursor("q7m2x9-10"), 1)
    }

    #[test]
    fn only_the_cursor_may_differ() {
        let template = template("GET /topics/a?since=q7m2x9-10&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let asked = |head: &str| template.cursor(head.as_bytes());
        assert_eq!(
            asked("GET /topics/a?since=q7m2x9-1234&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n"),
            Some(cursor("q7m2x9-1234"))
        );
        for other in [
            "GET /topics/a?since=q7m2x9-12-x&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/a?since=q7m2x9-012&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/a?since=&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/a?since=q7m2x9-12&limit=1&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/b?since=q7m2x9-12&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/a?since=q7m2x9-12&wait=5 HTTP/1.1\r\nHost: x\r\nCookie: y\r\n\r\n",
            "GET /topics/a?since=q7m2x9-12&wait=5 HTTP/1.1\r\nHost: x\r\n\r\nGET",
            "GET /topics/a?since=q7m2x9-12&wait=5 HTTP/1.1\r\nHost",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
    }

    #[test]
    fn its_bytes_are_not_told() {
        let head =
            "GET /topics/a?since=q7m2x9-10&access_token=s3cret HTTP/1.1\r\nAuthorization: s3cret\r\n\r\n";
        let told = format!("{:?}", template(head).unwrap());
        assert!(told.contains("Template") && !told.contains("s3cret"), "{told}");
        assert!(!told.contains("115"), "the bytes as numbers: {told}");
    }

    #[test]
    fn a_header_may_carry_the_cursor() {
        assert!(template("GET /topics/a?wait=5 HTTP/1.1\r\nLast-Event-Id: q7m2x9-10\r\n\r\n").is_some());
        assert!(template("GET /events?topic=a&lastEventId=q7m2x9-10 HTTP/1.1\r\n\r\n").is_some());
    }

    #[test]
    fn a_cursor_in_doubt_makes_no_template() {
        for head in [
            "GET /topics/a?since=q7m2x9-10 HTTP/1.1\r\nLast-Event-ID: q7m2x9-10\r\n\r\n",
            "GET /topics/a?since=q7m2x9-101 HTTP/1.1\r\n\r\n",
            "GET /topics/a?since=q7m2x9-10-x HTTP/1.1\r\n\r\n",
            "GET /topics/a?since=%717m2x9-10 HTTP/1.1\r\nCookie: a=q7m2x9-10\r\n\r\n",
            "GET /topics/q7m2x9-10?wait=5 HTTP/1.1\r\n\r\n",
            "GET /topics/a?since=q7m2x9-10 HTTP/1.1\r\n\r\nmore",
            "GET /topics/a?since=q7m2x9-10 HTTP/1.1\r\n",
            "GET /topics/a?Since=q7m2x9-10 HTTP/1.1\r\n\r\n",
            "GET /topics/a?xsince=q7m2x9-10 HTTP/1.1\r\n\r\n",
            "GET /topics/a?lasteventid=q7m2x9-10 HTTP/1.1\r\n\r\n",
            "GET /topics/a?x=1?since=q7m2x9-10 HTTP/1.1\r\n\r\n",
            "GET /topics/a&since=q7m2x9-10&x?y HTTP/1.1\r\n\r\n",
            "GET /topics/a?x#&since=q7m2x9-10 HTTP/1.1\r\n\r\n",
            "GET /topics/a HTTP/1.1\r\nReferer: /x?since=q7m2x9-10\r\n\r\n",
            "GET /topics/a HTTP/1.1\r\nX-Last-Event-ID: q7m2x9-10\r\n\r\n",
            "GET /topics/a HTTP/1.1\r\nLast-Event-ID: q7m2x9-10 \r\n\r\n",
        ] {
            assert_eq!(template(head), None, "{head}");
        }
    }
}
