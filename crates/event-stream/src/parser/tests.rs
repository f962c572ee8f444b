use super::*;

/// The items of the chunks. Nothing may go wrong.
fn items(chunks: &[&[u8]]) -> Vec<Item> {
    let mut parser = Parser::new();
    let mut items = Vec::new();
    for chunk in chunks {
        parser.feed(chunk, |item| items.push(item)).unwrap();
    }
    items
}

fn event(event: &str, data: &str, id: &str) -> Item {
    Item::Event(Event { event: event.into(), data: data.into(), id: id.into(), fields: vec![] })
}

fn message(data: &str) -> Item {
    event("", data, "")
}

#[test]
fn an_event_has_type_data_and_id() {
    assert_eq!(items(&[b"event: e\ndata: d\nid: i\n\n"]), [event("e", "d", "i")]);
}

#[test]
fn one_leading_bom_is_dropped_also_in_pieces() {
    assert_eq!(items(&[b"\xEF\xBB\xBFdata: d\n\n"]), [message("d")]);
    assert_eq!(items(&[b"\xEF", b"\xBB", b"\xBFdata: d\n\n"]), [message("d")]);
    assert_eq!(items(&[b"\xEF\xBB\xBF\xEF\xBB\xBFdata: d\n\n"]), []);
    assert_eq!(items(&[b"\n\xEF\xBB\xBFdata: d\n\n"]), []);
}

#[test]
fn all_line_ends_count() {
    assert_eq!(items(&[b"data: 1\r\ndata: 2\rdata: 3\ndata: 4\r\n\r\n"]), [message("1\n2\n3\n4")]);
}

#[test]
fn a_cr_at_the_end_of_a_chunk_dispatches_now() {
    let mut parser = Parser::new();
    let mut items = Vec::new();
    parser.feed(b"data: 1\r\n\r", |item| items.push(item)).unwrap();
    assert_eq!(items, [message("1")]);
    parser.feed(b"\ndata: 2\r", |item| items.push(item)).unwrap();
    parser.feed(b"\ndata: 3\r\n", |item| items.push(item)).unwrap();
    assert_eq!(items.len(), 1);
    parser.feed(b"\n", |item| items.push(item)).unwrap();
    assert_eq!(items, [message("1"), message("2\n3")]);
}

#[test]
fn names_are_case_sensitive() {
    let [Item::Event(event)] = &items(&[b"Data: 1\nDATA: 2\ndata: 3\nID: 4\nEvent: 5\nRetry: 6\n\n"])[..]
    else {
        panic!("not one event");
    };
    assert_eq!((event.event.as_str(), event.data.as_str(), event.id.as_str()), ("", "3", ""));
    assert_eq!(event.field("Retry"), Some("6"));
}

#[test]
fn one_space_after_the_colon_is_dropped_and_nothing_else() {
    assert_eq!(
        items(&[b"data:1\ndata: 2\ndata:  3\ndata:\t4\ndata: 5 \n\n"]),
        [message("1\n2\n 3\n\t4\n5 ")]
    );
    assert_eq!(items(&[b"data : 1\n data: 2\n\n"]), []);
}

#[test]
fn the_first_colon_ends_the_name() {
    assert_eq!(items(&[b"data:a:b: c\n\n"]), [message("a:b: c")]);
}

#[test]
fn a_line_without_colon_is_a_name() {
    assert_eq!(items(&[b"id: 1\n\ndata\nid\n\n"]), [Item::Id("1".into()), message("")]);
}

#[test]
fn without_data_nothing_is_dispatched_and_the_type_is_forgotten() {
    assert_eq!(items(&[b"event: e\n\ndata: d\n\n\n\n"]), [message("d")]);
}

#[test]
fn an_empty_data_line_is_data() {
    assert_eq!(items(&[b"data:\n\ndata\n\ndata: \ndata:\n\n"]), [message(""), message(""), message("\n")]);
}

#[test]
fn the_last_type_counts() {
    assert_eq!(items(&[b"event: a\nevent: bc\ndata\n\n"]), [event("bc", "", "")]);
    assert_eq!(items(&[b"event: a\nevent\ndata\n\n"]), [message("")]);
}

#[test]
fn the_id_stays_until_another_comes() {
    assert_eq!(
        items(&[b"data: 1\nid: a\n\ndata: 2\n\nid: b\ndata: 3\n\nid:\ndata: 4\n\n"]),
        [event("", "1", "a"), event("", "2", "a"), event("", "3", "b"), event("", "4", "")]
    );
}

#[test]
fn the_id_counts_from_the_blank_line_on_even_without_data() {
    let mut parser = Parser::new();
    let mut items = Vec::new();
    parser.feed(b":\nid: a\n", |item| items.push(item)).unwrap();
    assert_eq!(parser.last_event_id(), "");
    parser.feed(b"\n", |item| items.push(item)).unwrap();
    assert_eq!(parser.last_event_id(), "a");
    assert_eq!(items, [Item::Comment, Item::Id("a".into())]);
}

#[test]
fn an_id_that_did_not_move_is_not_told() {
    assert_eq!(items(&[b"id: a\n\nid: a\n\n\nid: b\nid: a\n\n"]), [Item::Id("a".into())]);
    assert_eq!(items(&[b"id: a\n\nid\n\n"]), [Item::Id("a".into()), Item::Id(String::new())]);
}

#[test]
fn an_id_with_nul_is_ignored() {
    assert_eq!(items(&[b"id: a\nid: b\0\nid: \0\ndata\n\n"]), [event("", "", "a")]);
}

#[test]
fn a_resumed_stream_begins_with_its_id() {
    let mut parser = Parser::new().with_last_event_id("a");
    let mut items = Vec::new();
    assert_eq!(parser.last_event_id(), "a");
    parser.feed(b"id: a\n\ndata: 1\n\nid: b\ndata: 2\n\n", |item| items.push(item)).unwrap();
    assert_eq!(items, [event("", "1", "a"), event("", "2", "b")]);
}

#[test]
fn retry_is_ascii_digits_only() {
    assert_eq!(items(&[b"retry: 2000\n"]), [Item::Retry(2000)]);
    assert_eq!(items(&[b"retry:0\nretry: 007\n"]), [Item::Retry(0), Item::Retry(7)]);
    for no in ["", " ", "  1", "1 ", "+1", "-1", "1.5", "1e3", "0x1", "1\0", "\u{0661}"] {
        assert_eq!(items(&[format!("retry:{no}\n\n").as_bytes()]), [], "{no:?}");
    }
    assert_eq!(items(&[b"retry\n"]), []);
}

#[test]
fn a_retry_that_does_not_fit_is_the_largest() {
    assert_eq!(items(&[b"retry: 18446744073709551615\n"]), [Item::Retry(u64::MAX)]);
    assert_eq!(items(&[b"retry: 99999999999999999999999\n"]), [Item::Retry(u64::MAX)]);
}

#[test]
fn comments_are_told_at_once_and_break_no_event() {
    assert_eq!(items(&[b":\n: x\n:data: y\n"]), [Item::Comment, Item::Comment, Item::Comment]);
    assert_eq!(items(&[b"data: 1\n:\ndata: 2\n\n"]), [Item::Comment, message("1\n2")]);
}

#[test]
fn invalid_utf8_becomes_the_replacement_character() {
    assert_eq!(items(&[b"data: a\xFFb\n\n"]), [message("a\u{FFFD}b")]);
    assert_eq!(items(&[b"data: \xF0\x9F\ndata: \xC3\xA4\n\n"]), [message("\u{FFFD}\nä")]);
    assert_eq!(items(&[b"id: \xFF\nevent: \xFF\ndata\n\n"]), [event("\u{FFFD}", "", "\u{FFFD}")]);
}

#[test]
fn a_character_may_be_cut_by_a_chunk() {
    assert_eq!(items(&[b"data: \xC3", b"\xA4\n\n"]), [message("ä")]);
}

#[test]
fn unknown_fields_belong_to_their_event() {
    let expected = vec![("topic".to_owned(), "t".to_owned()), ("x".to_owned(), String::new())];
    let found = items(&[b"gone: 1\n\ntopic: t\ndata: 1\nx\n\ndata: 2\n\n"]);
    assert_eq!(
        found,
        [Item::Event(Event { data: "1".into(), fields: expected, ..Event::default() }), message("2")]
    );
}

#[test]
fn an_unfinished_event_tells_nothing() {
    let mut parser = Parser::new();
    parser.feed(b"id: a\nevent: e\ndata: d\n", |item| panic!("{item:?}")).unwrap();
    parser.feed(b"retry: 1", |item| panic!("{item:?}")).unwrap();
    assert_eq!(parser.last_event_id(), "");
}

/// What came before the error, and the error.
fn failure(limits: Limits, bytes: &[u8]) -> (Vec<Item>, Error) {
    let mut parser = Parser::with_limits(limits);
    let mut items = Vec::new();
    let error = parser.feed(bytes, |item| items.push(item)).unwrap_err();
    let again = parser.feed(b"\n\ndata: late\n\n", |item| panic!("{item:?}")).unwrap_err();
    assert_eq!(error, again);
    (items, error)
}

#[test]
fn a_line_over_the_limit_fails_for_good() {
    let limits = Limits { line: 7, ..Limits::default() };
    let expected = (vec![message("1")], Error::LineTooLong { limit: 7 });
    assert_eq!(failure(limits, b"data: 1\n\ndata: 22\n\n"), expected);
    assert_eq!(failure(limits, b"data: 1\n\ndata: 22"), expected);
    assert_eq!(failure(limits, b"data: 1\n\n:1234567"), expected);
}

#[test]
fn an_event_over_the_limit_fails_for_good() {
    let limits = Limits { event: 5, ..Limits::default() };
    let error = Error::EventTooLarge { limit: 5 };
    let whole = vec![event("e", "1\n34", "")];
    assert_eq!(failure(limits, b"event: e\ndata: 1\ndata: 34\n\ndata: 123456\n"), (whole, error));
    assert_eq!(failure(limits, b"data: 123\ndata: 45\n"), (vec![], error));
    assert_eq!(failure(limits, b"event: 123\ndata: 123\n"), (vec![], error));
    assert_eq!(failure(limits, b"data: 123\nevent: 123\n"), (vec![], error));
    assert_eq!(failure(limits, b"data\ndata\ndata\ndata\ndata\ndata\ndata\n"), (vec![], error));
}

#[test]
fn unknown_fields_count_towards_the_limit() {
    let limits = Limits { event: 2 * FIELD_COST + 4, ..Limits::default() };
    let error = Error::EventTooLarge { limit: limits.event };
    assert_eq!(
        failure(limits, b"a: 1\nb: 2\n\na: 1\nb: 2\n\n:\na: 1\nb: 2\nc\n"),
        (vec![Item::Comment], error)
    );
}

#[test]
fn the_last_event_id_outlives_an_error() {
    let mut parser = Parser::with_limits(Limits { line: 5, event: 5 });
    parser.feed(b"id: a\n\nid: b\ntoo long", drop).unwrap_err();
    assert_eq!(parser.last_event_id(), "a");
}

#[test]
fn a_mebibyte_byte_by_byte_is_linear() {
    // Looking again at what is held with each byte would take 2^39 steps here, and not end.
    let value = "x".repeat(1 << 20);
    let bytes = format!("data: {value}\n\n");
    for size in [1, 3, 16] {
        let chunks: Vec<&[u8]> = bytes.as_bytes().chunks(size).collect();
        assert_eq!(items(&chunks), [message(&value)]);
    }
}
