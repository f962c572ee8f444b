//! The parser against the standard's algorithm, written down word by word, over a whole stream at once.

mod support;

use proptest::prelude::*;
use support::{parse, stream};
use tidings_event_stream::{Event, Item, Parser};

/// The lines that have an end, of a stream that is decoded and rid of its BOM.
fn lines(stream: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut chars = stream.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                if chars.peek() == Some(&'\n') {
                    chars.next();
                }
                lines.push(std::mem::take(&mut line));
            }
            '\n' => lines.push(std::mem::take(&mut line)),
            c => line.push(c),
        }
    }
    lines
}

fn reference(bytes: &[u8]) -> (Vec<Item>, String) {
    let decoded = String::from_utf8_lossy(bytes).into_owned();
    let stream = decoded.strip_prefix('\u{FEFF}').unwrap_or(&decoded);

    let mut items = Vec::new();
    let mut last_event_id = String::new();
    let mut data_buffer = String::new();
    let mut event_type_buffer = String::new();
    let mut last_event_id_buffer = String::new();
    let mut fields = Vec::new();

    for line in lines(stream) {
        if line.is_empty() {
            let before = std::mem::replace(&mut last_event_id, last_event_id_buffer.clone());
            if data_buffer.is_empty() {
                if before != last_event_id {
                    items.push(Item::Id(last_event_id.clone()));
                }
            } else {
                if data_buffer.ends_with('\n') {
                    data_buffer.pop();
                }
                items.push(Item::Event(Event {
                    event: event_type_buffer.clone(),
                    data: data_buffer.clone(),
                    id: last_event_id.clone(),
                    fields: fields.clone(),
                }));
            }
            data_buffer.clear();
            event_type_buffer.clear();
            fields.clear();
            continue;
        }
        if line.starts_with(':') {
            items.push(Item::Comment);
            continue;
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line.as_str(), ""),
        };
        match field {
            "event" => event_type_buffer = value.to_owned(),
            "data" => {
                data_buffer.push_str(value);
                data_buffer.push('\n');
            }
            "id" => {
                if !value.contains('\0') {
                    last_event_id_buffer = value.to_owned();
                }
            }
            "retry" => {
                if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) {
                    items.push(Item::Retry(value.parse().unwrap_or(u64::MAX)));
                }
            }
            field => fields.push((field.to_owned(), value.to_owned())),
        }
    }
    (items, last_event_id)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn does_as_the_standard_says(stream in stream()) {
        let (items, result, id) = parse(Parser::new(), [&stream[..]]);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!((items, id), reference(&stream));
    }
}
