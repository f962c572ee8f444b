//! What a body that goes on is made of (§2.1): events, lines or pieces of text, as they come.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr;
use tidings_event_stream::{Limits, Parser};
use tidings_protocol::{EventType, Format, NewEvent, Object, Topic};

use super::Item;
use crate::api::body::too_large;
use crate::api::problem::Refusal;
use crate::defaults;

/// What an item of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// An event of `text/event-stream`; its data is JSON where it parses and that is asked for.
    Events { json: bool },
    /// A line with a JSON object, as in a batch.
    Objects,
    /// A line of text.
    Lines,
    /// Whatever text has come.
    Chunks,
}

/// Makes items of what has come of a body.
#[derive(Debug)]
pub(crate) struct Items {
    topic: Topic,
    event_type: Option<EventType>,
    max_event_bytes: usize,
    /// How many there were.
    count: u64,
    decoder: Decoder,
}

#[derive(Debug)]
enum Decoder {
    Events { parser: Box<Parser>, text: Text, json: bool, held: usize },
    Lines { held: Vec<u8>, objects: bool },
    Chunks { text: Text },
}

/// Text that comes in pieces, which may end within a character.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character.
    held: Vec<u8>,
}

// === impl Items ===

impl Items {
    pub(crate) fn new(
        form: Form,
        topic: Topic,
        event_type: Option<EventType>,
        max_event_bytes: usize,
    ) -> Self {
        let decoder = match form {
            Form::Events { json } => {
                let line = max_event_bytes.saturating_add(defaults::STREAM_FIELD_BYTES);
                let event = max_event_bytes.saturating_add(defaults::STREAM_FIELD_BYTES);
                let parser = Box::new(Parser::with_limits(Limits { line, event }));
                Decoder::Events { parser, text: Text::default(), json, held: 0 }
            }
            Form::Objects => Decoder::Lines { held: Vec::new(), objects: true },
            Form::Lines => Decoder::Lines { held: Vec::new(), objects: false },
            Form::Chunks => Decoder::Chunks { text: Text::default() },
        };
        Self { topic, event_type, max_event_bytes, count: 0, decoder }
    }

    /// How many bytes are held of an item that is not whole.
    pub(crate) fn held(&self) -> usize {
        match &self.decoder {
            Decoder::Events { held, .. } => *held,
            Decoder::Lines { held, .. } => held.len(),
            Decoder::Chunks { .. } => 0,
        }
    }

    /// Takes what has come, and gives each item that is whole.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut give: impl FnMut(NewEvent)) -> Result<(), Refusal> {
        let Self { topic, event_type, max_event_bytes, count, decoder } = self;
        let max = *max_event_bytes;
        let mut take = |item: Result<NewEvent, Refusal>| -> Result<(), Refusal> {
            *count += 1;
            let event =
                item.and_then(|event| if event.data().len() > max { Err(too_large(max)) } else { Ok(event) });
            give(event.map_err(|refusal| refusal.about(format_args!("item {count}")))?);
            Ok(())
        };
        match decoder {
            Decoder::Events { parser, text, json, held } => {
                let (whole, rest) = text.split(bytes);
                *held += bytes.len();
                let mut refused = None;
                let parsed = parser.feed(&whole, |item| {
                    *held = 0;
                    if let (tidings_event_stream::Item::Event(event), None) = (item, &refused) {
                        refused = take(of_event(event, topic, event_type.as_ref(), *json)).err();
                    }
                });
                if let Some(refusal) = refused {
                    return Err(refusal);
                }
                if parsed.is_err() {
                    return take(Err(too_large(max)));
                }
                rest
            }
            Decoder::Lines { held, objects } => {
                let longest = if *objects {
                    max.saturating_mul(ESCAPED).saturating_add(defaults::STREAM_FIELD_BYTES)
                } else {
                    max
                };
                let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else {
                    if held.len() + bytes.len() > longest {
                        *count += 1;
                        return Err(too_large(max).about(format_args!("item {count}")));
                    }
                    held.extend_from_slice(bytes);
                    return Ok(());
                };
                // What came are pieces of the connection's buffer, which would live as long as the events do.
                let mut lines = std::mem::take(held);
                let (whole, rest) = bytes.split_at(end + 1);
                if lines.is_empty() {
                    lines = whole.to_vec();
                } else {
                    lines.reserve_exact(whole.len());
                    lines.extend_from_slice(whole);
                }
                let lines = Bytes::from(lines);
                let mut at = 0;
                while let Some(end) = memchr(b'\n', &lines[at..]) {
                    let line = lines.slice(at..at + end);
                    at += end + 1;
                    if let Some(item) = of_line(line, *objects, topic, event_type.as_ref(), max) {
                        take(item)?;
                    }
                }
                held.extend_from_slice(rest);
                Ok(())
            }
            Decoder::Chunks { text } => {
                let (whole, rest) = text.split(bytes);
                let mut left = std::str::from_utf8(&whole).unwrap_or_default();
                while !left.is_empty() {
                    let most = defaults::STREAM_CHUNK_TEXT_BYTES.min(max).max(MOST_OF_CHARACTER);
                    let (piece, after) = left.split_at(boundary(left, most));
                    left = after;
                    take(Ok(NewEvent::new(
                        topic.clone(),
                        event_type.clone(),
                        Format::Text,
                        Bytes::copy_from_slice(piece.as_bytes()),
                    )?))?;
                }
                rest
            }
        }
    }

    /// The body has come to its end: gives the last line, where that has no end. What is missing of an event of
    /// `text/event-stream` is passed over, as its standard says.
    pub(crate) fn finish(&mut self, mut give: impl FnMut(NewEvent)) -> Result<(), Refusal> {
        match &mut self.decoder {
            Decoder::Events { text, .. } | Decoder::Chunks { text } => text.finish(),
            Decoder::Lines { held, .. } if held.is_empty() => Ok(()),
            Decoder::Lines { .. } => self.feed(b"\n", &mut give),
        }
    }
}

/// How many times as long a line may be as the data in it: each byte may be written as `\u0000`.
const ESCAPED: usize = 6;

/// The last boundary between characters within so many bytes.
fn boundary(text: &str, most: usize) -> usize {
    let most = most.min(text.len());
    (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default()
}

/// The longest character, in bytes.
const MOST_OF_CHARACTER: usize = 4;

fn of_event(
    event: tidings_event_stream::Event,
    topic: &Topic,
    default_type: Option<&EventType>,
    json: bool,
) -> Result<NewEvent, Refusal> {
    let event_type = match event.event.as_str() {
        "" | "message" => default_type.cloned(),
        name => Some(EventType::new(name).map_err(|error| Refusal::data(format!("its type: {error}")))?),
    };
    let format =
        if json && Format::Json.check(event.data.as_bytes()).is_ok() { Format::Json } else { Format::Text };
    Ok(NewEvent::new(topic.clone(), event_type, format, event.data)?)
}

fn of_line(
    mut line: Bytes,
    objects: bool,
    topic: &Topic,
    event_type: Option<&EventType>,
    max_event_bytes: usize,
) -> Option<Result<NewEvent, Refusal>> {
    if line.ends_with(b"\r") {
        line.truncate(line.len() - 1);
    }
    if !objects {
        return Some(
            NewEvent::new(topic.clone(), event_type.cloned(), Format::Text, line).map_err(Refusal::from),
        );
    }
    if line.trim_ascii().is_empty() {
        return None;
    }
    let item = serde_json::from_slice::<Object<Item<'_>>>(&line)
        .map_err(|error| Refusal::data(format!("it is not an event: {error}")));
    Some(
        item.and_then(|Object(item)| item.event(topic.clone(), (event_type.cloned(), None), max_event_bytes)),
    )
}

// === impl Text ===

impl Text {
    /// What is text of what has come, and whether nothing else has. The beginning of a character is held.
    fn split<'a>(&mut self, bytes: &'a [u8]) -> (Cow<'a, [u8]>, Result<(), Refusal>) {
        let mut all = Cow::Borrowed(bytes);
        if !self.held.is_empty() {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(bytes);
            all = Cow::Owned(joined);
        }
        let Err(error) = std::str::from_utf8(&all) else { return (all, Ok(())) };
        let upto = error.valid_up_to();
        let rest = match error.error_len() {
            None => {
                self.held = all[upto..].to_vec();
                Ok(())
            }
            Some(_) => Err(not_text("a byte in it begins no character")),
        };
        match &mut all {
            Cow::Borrowed(bytes) => *bytes = &bytes[..upto],
            Cow::Owned(bytes) => bytes.truncate(upto),
        }
        (all, rest)
    }

    fn finish(&self) -> Result<(), Refusal> {
        if self.held.is_empty() { Ok(()) } else { Err(not_text("the body ends within a character")) }
    }
}

fn not_text(what: &str) -> Refusal {
    Refusal::data(format!("the data is not UTF-8: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An item's type, format and data.
    type Item = (Option<String>, Format, String);

    /// The items, and why one was refused.
    fn items(form: Form, chunks: &[&[u8]]) -> (Vec<Item>, Option<String>) {
        let mut items = Items::new(form, "a".parse().unwrap(), None, 32);
        let mut got = Vec::new();
        let mut give = |event: NewEvent| {
            let data = String::from_utf8(event.data().to_vec()).unwrap();
            got.push((event.event_type.as_ref().map(|name| name.as_str().to_owned()), event.format(), data));
        };
        let fed = chunks.iter().try_for_each(|chunk| items.feed(chunk, &mut give));
        let ended = fed.and_then(|()| items.finish(&mut give));
        (got, ended.err().map(|refusal| refusal.detail().to_owned()))
    }

    /// However the bytes are cut, the items are the same, but for pieces of text.
    #[test]
    fn items_do_not_depend_on_how_they_arrive() {
        let streams: [(Form, &str, &[&str]); 4] = [
            (Form::Lines, "one\r\n\ntwü\nlast", &["one", "", "twü", "last"]),
            (Form::Objects, "{\"data\":\"ü\"}\n\n {\"data\":[1],\"event\":\"t\"}", &["ü", "[1]"]),
            (
                Form::Events { json: true },
                ": hi\nid: 7\nretry: 5\n\ndata: {}\n\ndata: [DONE]\n\n",
                &["{}", "[DONE]"],
            ),
            (Form::Events { json: false }, "event: t\ndata: a\ndata: ü\n\ndata: cut off\n", &["a\nü"]),
        ];
        for (form, text, expected) in streams {
            for size in 1..=text.len() {
                let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
                let (got, refused) = items(form, &chunks);
                assert_eq!(refused, None, "{form:?} by {size}");
                let datas: Vec<_> = got.iter().map(|(_, _, data)| data.as_str()).collect();
                assert_eq!(datas, expected, "{form:?} by {size}");
            }
        }
    }

    #[test]
    fn data_is_json_where_it_parses_and_that_is_asked_for() {
        let stream: &[&[u8]] = &[b"event: message\ndata: {}\n\nevent: done\ndata: [DONE]\n\n"];
        let (got, _) = items(Form::Events { json: true }, stream);
        assert_eq!(got[0], (None, Format::Json, "{}".into()));
        assert_eq!(got[1], (Some("done".into()), Format::Text, "[DONE]".into()));
        assert_eq!(items(Form::Events { json: false }, stream).0[0].1, Format::Text);
    }

    #[test]
    fn chunks_are_cut_between_characters() {
        let (got, refused) = items(
            Form::Chunks,
            &["a\u{1f4ec}".as_bytes(), &"\u{1f4ec}".as_bytes()[..2], &"\u{1f4ec}".as_bytes()[2..]],
        );
        let datas: Vec<_> = got.iter().map(|(_, _, data)| data.as_str()).collect();
        assert_eq!((datas, refused), (vec!["a\u{1f4ec}", "\u{1f4ec}"], None));
        let long = "ü".repeat(100);
        let (got, _) = items(Form::Chunks, &[long.as_bytes()]);
        assert!(got.iter().all(|(_, _, data)| data.len() <= 32));
        assert_eq!(got.iter().map(|(_, _, data)| data.as_str()).collect::<String>(), long);
        let (got, refused) = items(Form::Chunks, &[b"ok\xf0\x9f"]);
        assert_eq!(got.len(), 1);
        assert!(refused.unwrap().contains("ends within a character"));
    }

    #[test]
    fn what_comes_before_a_wrong_item_is_given() {
        let long = [b'x'; 33];
        let long_event = [&b"data: "[..], &[b'x'; 33][..], b"\n\n"].concat();
        let cases: [(Form, &[&[u8]], usize, &str); 9] = [
            (Form::Lines, &[b"one\n\xff\ntwo\n"], 1, "item 2: the data is not UTF-8"),
            (Form::Lines, &[b"one\n", &long], 1, "item 2: the limit is 32 bytes"),
            (Form::Lines, &[b"one\n", &long, b"\n"], 1, "item 2: the limit is 32 bytes"),
            (Form::Objects, &[b"{\"data\":1}\n[DONE]\n"], 1, "item 2: it is not an event"),
            (Form::Objects, &[b"{\"data\":1,\"event\":\"tidings.end\"}"], 0, "item 1: "),
            (Form::Events { json: false }, &[b"data: 1\n\ndata: \xff\n\n"], 1, "the data is not UTF-8"),
            (
                Form::Events { json: false },
                &[b"data: 1\n\n", &long_event],
                1,
                "item 2: the limit is 32 bytes",
            ),
            (
                Form::Events { json: false },
                &[b"data: 1\n\nevent: tidings.gap\ndata: 2\n\ndata: 3\n\n"],
                1,
                "item 2: its type",
            ),
            (Form::Chunks, &[b"one\xff"], 1, "the data is not UTF-8"),
        ];
        for (form, chunks, count, expected) in cases {
            let (got, refused) = items(form, chunks);
            let refused = refused.unwrap_or_default();
            assert!(got.len() == count && refused.contains(expected), "{form:?}: {got:?}, {refused}");
        }
    }
}
