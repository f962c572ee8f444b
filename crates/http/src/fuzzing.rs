//! What the fuzz targets of this crate do with their input. See `fuzz/README.md`.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Uri};
use tidings_protocol::{Cursor, Epoch, Start, limits};

use crate::accept::Form;
use crate::defaults;
use crate::parking::{REQUEST_BYTES, Template};
use crate::problem::Refusal;
use crate::query::{Query, ReadOptions, path_topic, selector};

/// The first line of the input is the target of a request, the second a `Last-Event-ID`, the third an `Accept`.
/// Whatever they are, what is made of them is within its bounds; and where a poll could be known again by its bytes,
/// what is taken for its cursor is what the routes take for it.
pub fn query(input: &[u8]) {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let (target, id, accept) = (lines.next().unwrap_or_default(), lines.next(), lines.next());
    let Ok(uri) = Uri::try_from(target) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in [("last-event-id", id), (ACCEPT.as_str(), accept)] {
        let Some(value) = value else { continue };
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.insert(name, value);
    }
    drop(Form::negotiate(&headers));
    if let Ok(text) = path_topic(uri.path())
        && let Ok(one) = selector(&text)
    {
        assert_eq!(one.as_str(), text);
    }
    let query = Query::new(uri.query());
    if let Ok(selectors) = query.selectors() {
        assert!((1..=limits::SELECTORS).contains(&selectors.len()));
    }
    drop((query.flag("close"), query.number("limit", defaults::TOPICS, defaults::MAX_TOPICS)));
    let Ok(options) = ReadOptions::new(&query, &headers) else { return };
    assert!((1..=limits::PAGE_EVENTS).contains(&options.limit));
    assert!(options.types.len() <= defaults::EVENT_TYPES);
    let bounds = defaults::MIN_HEARTBEAT..=defaults::MAX_HEARTBEAT;
    assert!(options.heartbeat.is_none_or(|interval| bounds.contains(&interval)));
    if let (Some(Start::Cursor(cursor)), 1) = (&options.start, options.starts) {
        known_again(target, id, *cursor, &options);
    }
}

/// A request that differs from another in its cursor alone asks for the same from another place.
fn known_again(target: &[u8], id: Option<&[u8]>, cursor: Cursor, options: &ReadOptions) {
    let mut head = [b"GET ", target, b" HTTP/1.1\r\n"].concat();
    if let Some(id) = id {
        head.extend_from_slice(&[b"Last-Event-ID: ", id, b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    let Some(template) = Template::new(&head, cursor, 1) else { return };
    assert!(head.len() <= REQUEST_BYTES);
    let other = Cursor::new(Epoch::from_random(7), 4_711);
    let text = cursor.to_string();
    let place = memchr::memmem::find(&head, text.as_bytes()).expect("the cursor that it was made with");
    let head = [&head[..place], other.to_string().as_bytes(), &head[place + text.len()..]].concat();
    assert_eq!(template.cursor(&head), Some(other));
    let end = memchr::memmem::rfind(&head, b" HTTP/1.1\r\n").expect("the line that was written");
    let (line, rest) = (&head[..end], &head[end + b" HTTP/1.1\r\n".len()..]);
    let uri = Uri::try_from(&line[b"GET ".len()..]).expect("a target as before");
    let mut headers = HeaderMap::new();
    if let Some(id) = rest.strip_prefix(b"Last-Event-ID: ") {
        headers.insert("last-event-id", HeaderValue::from_bytes(id.trim_ascii_end()).expect("as before"));
    }
    let found = ReadOptions::new(&Query::new(uri.query()), &headers);
    let expected = ReadOptions { start: Some(Start::Cursor(other)), ..options.clone() };
    assert_eq!(found, Ok::<_, Refusal>(expected));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_fuzzing_found_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/query");
        let inputs: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|file| super::query(&std::fs::read(file).unwrap()));
    }
}
