//! What the encoder writes, the parser reads, whatever the values are.

use proptest::prelude::*;
use tidings_event_stream::{Encoder, Event, Item, Parser};

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just(" ".to_owned()),
        Just(":".to_owned()),
        Just("\0".to_owned()),
        Just("\u{FEFF}".to_owned()),
        Just("data: x".to_owned()),
        ".{0,4}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn has_line_end(value: &str) -> bool {
    value.contains(['\r', '\n'])
}

proptest! {
    #[test]
    fn an_event_comes_back(
        comment in text(),
        retry in any::<u64>(),
        id in text(),
        event in text(),
        topic in text(),
        data in text(),
    ) {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes)
            .comment(&comment)
            .retry(retry)
            .id(&id)
            .event(&event)
            .field("topic", &topic)
            .data(data.as_bytes())
            .end();
        let mut items = Vec::new();
        Parser::new().feed(&bytes, |item| items.push(item)).unwrap();

        // What the format cannot carry is left out whole, and changes nothing else.
        let kept = |value: String| if has_line_end(&value) { String::new() } else { value };
        let normal = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
        let fields = if has_line_end(&topic) { vec![] } else { vec![("topic".to_owned(), topic)] };
        let mut expected = vec![Item::Comment; normal(&comment).split('\n').count()];
        expected.push(Item::Retry(retry));
        expected.push(Item::Event(Event {
            event: kept(event),
            data: normal(&data),
            id: if id.contains('\0') { String::new() } else { kept(id) },
            fields,
        }));
        prop_assert_eq!(items, expected);
    }

    #[test]
    fn bytes_come_back_decoded(data in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).data(&data).end();
        let mut items = Vec::new();
        Parser::new().feed(&bytes, |item| items.push(item)).unwrap();
        let data = String::from_utf8_lossy(&data).replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(items, [Item::Event(Event { data, ..Event::default() })]);
    }

    #[test]
    fn no_field_makes_a_second_line(name in text(), value in text()) {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes).field(&name, &value);
        let ends = bytes.iter().filter(|b| matches!(b, b'\r' | b'\n')).count();
        prop_assert_eq!(ends, usize::from(!bytes.is_empty()));
    }
}
