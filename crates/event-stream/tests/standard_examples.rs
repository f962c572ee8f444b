//! The examples of the standard's text, and streams of the browsers' shared test suite.

use tidings_event_stream::{Event, Item, Parser};

fn events(stream: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut keep = |item| {
        if let Item::Event(event) = item {
            events.push(event);
        }
    };
    Parser::new().feed(stream.as_bytes(), &mut keep).expect("small streams are within the limits");
    events
}

fn data(stream: &str) -> Vec<String> {
    events(stream).into_iter().map(|event| event.data).collect()
}

#[test]
fn three_messages() {
    let stream = "data: This is the first message.\n\n\
        data: This is the second message, it\ndata: has two lines.\n\n\
        data: This is the third message.\n\n";
    assert_eq!(
        data(stream),
        [
            "This is the first message.",
            "This is the second message, it\nhas two lines.",
            "This is the third message."
        ]
    );
}

#[test]
fn event_types() {
    let stream = "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n";
    let found: Vec<_> = events(stream).into_iter().map(|event| (event.event, event.data)).collect();
    let expected = [("add", "73857293"), ("remove", "2153"), ("add", "113411")];
    assert_eq!(found, expected.map(|(event, data)| (event.to_owned(), data.to_owned())));
}

#[test]
fn a_stock_ticker() {
    assert_eq!(data("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
}

#[test]
fn four_blocks() {
    let stream =
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
    let found: Vec<_> = events(stream).into_iter().map(|event| (event.data, event.id)).collect();
    let expected = [("first event", "1"), ("second event", ""), (" third event", "")];
    assert_eq!(found, expected.map(|(data, id)| (data.to_owned(), id.to_owned())));
}

#[test]
fn four_blocks_without_the_last_blank_line() {
    assert_eq!(data("data: first event\nid: 1\n\ndata:  third event\n"), ["first event"]);
}

#[test]
fn empty_data() {
    assert_eq!(data("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
}

#[test]
fn the_space_after_the_colon_is_optional() {
    assert_eq!(data("data:test\n\ndata: test\n\n"), ["test", "test"]);
}

#[test]
fn suite_field_parsing() {
    let stream = "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n";
    assert_eq!(data(stream), ["\0\n 2\n1\n3\n\n4"]);
}

#[test]
fn suite_newlines() {
    assert_eq!(data("data:test\r\ndata\ndata:test\r\n\r\n"), ["test\n\ntest"]);
}

#[test]
fn suite_two_boms() {
    assert_eq!(data("\u{FEFF}\u{FEFF}data:1\n\ndata:2\n\ndata:3\n\n"), ["2", "3"]);
}

#[test]
fn suite_comments() {
    let long = "x".repeat(2000);
    let stream = format!("data:1\r:\0\n:\r\ndata:2\n:{long}\rdata:3\n:data:fail\r:{long}\ndata:4\n\n");
    assert_eq!(data(&stream), ["1\n2\n3\n4"]);
}

#[test]
fn suite_unknown_fields() {
    assert_eq!(data("data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\n\n"), ["test\n"]);
}
