use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::LazyLock;

use memchr::memmem;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use tidings_protocol::Cursor;

/// A request that differs from one that was answered in nothing but its cursor.
///
/// Whoever polls asks the same again and again. Such a request is known by its bytes, and what it asks for is known
/// with it, so it need not pass through hyper and the routes. Everything else does.
///
/// The heads of browsers are long, and the token in them is another for each reader. So not the bytes are kept but
/// their lengths and hashes, of 128 bits under a secret key: nobody can find another request with the same ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Template {
    before: Part,
    after: Part,
    /// How long it asks to be held, in ticks of the wheel.
    pub(super) wait: u32,
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    bytes: usize,
    hash: u128,
}

/// What a request is, beside a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The same, with this cursor.
    Again(Cursor),
    /// The beginning of one that may be the same.
    Begun,
    /// Another one.
    Other,
}

/// The longest request that is known again, in bytes.
pub(crate) const REQUEST_BYTES: usize = 8 << 10;

/// More than any cursor takes.
const CURSOR_BYTES: usize = 64;
/// What a head ends with.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Drawn anew in each process, so that nobody knows the hashes.
static KEYED: LazyLock<SipHasher13> = LazyLock::new(|| {
    let random = RandomState::new();
    SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1))
});

// === impl Template ===

impl Template {
    /// Keeps a request, which is all of `head`, and went on from `cursor`, the only one that it gives. `None` where it
    /// cannot be said for certain which of its bytes are the cursor.
    pub(crate) fn new(head: &[u8], cursor: Cursor, wait: u32) -> Option<Self> {
        let whole =
            memmem::find(head, HEAD_END)? + HEAD_END.len() == head.len() && head.len() <= REQUEST_BYTES;
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
        (whole && named).then(|| Self { before: Part::of(before), after: Part::of(after), wait })
    }

    /// What a request is that has come as far as this.
    pub(crate) fn know(&self, request: &[u8]) -> Known {
        let Some((before, rest)) = request.split_at_checked(self.before.bytes) else { return Known::Other };
        if !self.before.is(before) {
            return Known::Other;
        }
        if !request.ends_with(HEAD_END) {
            // The kernel may have had only a part of it yet: a long head takes more than one packet.
            let may_go_on = rest.len() < self.after.bytes + CURSOR_BYTES;
            let is_beyond = memmem::find(request, HEAD_END).is_some();
            return if may_go_on && !is_beyond { Known::Begun } else { Known::Other };
        }
        self.cursor(rest).map_or(Known::Other, Known::Again)
    }

    /// The cursor that the rest of a request begins with, if what follows it is the same.
    fn cursor(&self, rest: &[u8]) -> Option<Cursor> {
        let (text, after) = rest.split_at(rest.len().checked_sub(self.after.bytes)?);
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= CURSOR_BYTES)?;
        // Written in the one way that the hub writes it, so that nothing else hides in it.
        let cursor = text.parse().ok().filter(|cursor: &Cursor| cursor.to_string() == text)?;
        self.after.is(after).then_some(cursor)
    }
}

// === impl Part ===

impl Part {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), hash: hash(bytes) }
    }

    fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.bytes && hash(bytes) == self.hash
    }
}

fn hash(bytes: &[u8]) -> u128 {
    let mut hasher = *KEYED;
    hasher.write(bytes);
    hasher.finish128().as_u128()
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
        let asked = |head: &str| template.know(head.as_bytes());
        let again = "GET /topics/a?since=q7m2x9-1234&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(asked(again), Known::Again(cursor("q7m2x9-1234")));
        for other in [
            "GET /topics/a?since=q7m2x9-12-x&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/a?since=q7m2x9-012&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/a?since=&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/a?since=q7m2x9-12&limit=1&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/b?since=q7m2x9-12&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /topics/b?since=q7m2x9-12&wait=5 HTTP/1.1\r\n",
            "GET /topics/a?since=q7m2x9-12&wait=5 HTTP/1.1\r\nHost: x\r\nCookie: y\r\n\r\n",
            "GET /topics/a?since=q7m2x9-12&wait=5 HTTP/1.1\r\nHost: x\r\n\r\nGET",
            "GET /topics/a?since=q7m2x9-12&wait=5 HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
            "",
        ] {
            assert_eq!(asked(other), Known::Other, "{other}");
        }
        let longer = again.replace("Host: x", &format!("Host: {}", "x".repeat(CURSOR_BYTES)));
        assert_eq!(asked(&longer), Known::Other);
        assert_eq!(asked(&longer[..longer.len() - 1]), Known::Other);
    }

    #[test]
    fn what_has_come_in_part_is_waited_for() {
        let again = "GET /topics/a?since=q7m2x9-1234&wait=5 HTTP/1.1\r\nHost: x\r\n\r\n";
        let template = template(&again.replace("1234", "10")).unwrap();
        let certain = again.find("q7m2x9").unwrap();
        for count in certain..again.len() {
            assert_eq!(template.know(&again.as_bytes()[..count]), Known::Begun, "{count}");
        }
    }

    #[test]
    fn its_bytes_are_not_kept() {
        let token = "s3cret".repeat(200);
        let head = format!("GET /topics/a?since=q7m2x9-10 HTTP/1.1\r\nAuthorization: {token}\r\n\r\n");
        let told = format!("{:?}", template(&head).unwrap());
        assert!(told.contains("Template") && !told.contains("s3cret"), "{told}");
        assert!(size_of::<Template>() <= 80);
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
