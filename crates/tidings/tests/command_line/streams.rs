//! A pipe that is published as one stream.

use rustix::process::Signal;

use crate::support::{Hub, Program};

fn subscriber(hub: &Hub) -> Program {
    hub.run(&["subscribe", "chat/42", "--since", "earliest", "--json"])
}

fn data(line: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["data"].clone()
}

#[test]
fn each_kind_of_stream_is_published_as_it_comes() {
    let cases: [(&[&str], [&str; 2], [serde_json::Value; 2]); 4] = [
        (&["--stream", "--lines"], ["one\n", "two\n"], ["one".into(), "two".into()]),
        (
            &["--stream", "--json"],
            ["{\"x\":1}\n", "\"text\"\n"],
            [serde_json::json!({"x": 1}), "text".into()],
        ),
        (&["--chunks"], ["Hel", "lo\n"], ["Hel".into(), "lo\n".into()]),
        (
            &["--sse", "--json"],
            [": hi\nid: 7\ndata: {}\n\n", "data: [DONE]\n\n"],
            [serde_json::json!({}), "[DONE]".into()],
        ),
    ];
    for (arguments, pieces, expected) in cases {
        let hub = Hub::start();
        let reader = subscriber(&hub);
        let mut publisher = hub.run(&[&["publish", "chat/42", "--close"], arguments].concat());
        for (piece, expected) in pieces.iter().zip(&expected) {
            publisher.write(piece);
            assert_eq!(data(&reader.line()), *expected, "{arguments:?}");
        }
        let (code, ids, told) = publisher.end();
        assert_eq!((code, ids.len()), (Some(0), 1), "{arguments:?}: {told:?}");
        let (code, lines, _) = reader.end();
        assert_eq!((code, lines.len()), (Some(0), 1), "a clean end");
    }
}

#[test]
fn restarts_of_the_hub_lose_nothing_and_double_nothing() {
    let mut hub = Hub::start();
    let reader = subscriber(&hub);
    let mut publisher = hub.run(&["publish", "chat/42", "--stream", "--close"]);
    let mut received = Vec::new();
    for (round, signal) in [Signal::KILL, Signal::TERM, Signal::KILL].into_iter().enumerate() {
        let lines: String = (0..40).map(|number| format!("{}\n", round * 80 + number)).collect();
        publisher.write(lines);
        received.push(reader.line());
        hub.restart(signal);
        let lines: String = (40..80).map(|number| format!("{}\n", round * 80 + number)).collect();
        publisher.write(lines);
    }
    let (code, _, told) = publisher.end();
    assert_eq!(code, Some(0), "{told:?}");
    let (code, rest, _) = reader.end();
    assert_eq!(code, Some(0), "the topic ended as it was to");
    received.extend(rest);
    let last = received.pop().unwrap();
    assert!(last.contains("\"end\""), "{last}");
    let numbers: Vec<_> = received.iter().map(|line| data(line).as_str().unwrap().to_owned()).collect();
    assert_eq!(numbers, (0..240).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_publisher_that_is_killed_with_its_hub_leaves_an_end() {
    let mut hub = Hub::start();
    let reader = subscriber(&hub);
    let mut publisher = hub.run(&["publish", "chat/42", "--chunks", "--close", "--grace", "0s"]);
    publisher.write("Hel");
    assert_eq!(data(&reader.line()), "Hel");
    publisher.signal(Signal::KILL);
    hub.restart(Signal::KILL);
    let (code, lines, _) = reader.end();
    assert_eq!(code, Some(4), "{lines:?}");
    assert!(lines[0].contains("\"reason\":\"aborted\""), "{lines:?}");
    drop(publisher);
}

#[test]
fn whoever_ends_the_topic_ends_the_publisher() {
    let hub = Hub::start();
    let reader = subscriber(&hub);
    let mut publisher = hub.run(&["publish", "chat/42", "--chunks", "--close"]);
    publisher.write("Hel");
    assert_eq!(data(&reader.line()), "Hel");
    assert_eq!(hub.run(&["publish", "chat/42", "--close", "--reason", "stopped"]).end().0, Some(0));
    // It needs no further input for that.
    assert_eq!(publisher.wait().code(), Some(3));
    assert!(publisher.told().contains("409"));
    assert_eq!(reader.end().0, Some(4));
}

#[test]
fn a_stream_that_is_cut_off_or_interrupted_is_told_as_aborted() {
    for how in ["cut off", "not text", "interrupted"] {
        let hub = Hub::start();
        let reader = subscriber(&hub);
        let form = if how == "not text" { "--chunks" } else { "--sse" };
        let mut publisher = hub.run(&["publish", "chat/42", form, "--close"]);
        if how == "not text" {
            publisher.write(b"ok");
            assert_eq!(data(&reader.line()), "ok");
            publisher.write(b"\xff");
            assert_eq!(publisher.end().0, Some(1));
        } else {
            publisher.write("data: one\n\n: a comment\ndata: two\n");
            assert_eq!(data(&reader.line()), "one");
            if how == "interrupted" {
                publisher.signal(Signal::INT);
                assert_eq!(publisher.wait().code(), Some(130));
            } else {
                assert_eq!(publisher.end().0, Some(1));
            }
        }
        let (code, lines, _) = reader.end();
        assert_eq!((code, lines.len()), (Some(4), 1), "{how}: {lines:?}");
    }
}

#[test]
fn a_program_of_the_same_key_goes_on_where_the_other_stopped() {
    let hub = Hub::start();
    let reader = subscriber(&hub);
    let arguments = ["publish", "chat/42", "--stream", "--close", "--idempotency-key", "k"];
    let mut first = hub.run(&arguments);
    first.write("1\n2\n");
    assert_eq!((data(&reader.line()), data(&reader.line())), ("1".into(), "2".into()));
    first.signal(Signal::KILL);
    first.wait();
    let mut second = hub.run(&arguments);
    second.write("1\n2\n3\n");
    assert_eq!(data(&reader.line()), "3");
    assert_eq!(second.end().0, Some(0));
    assert_eq!(reader.end().0, Some(0));
}

#[test]
fn whoever_comes_late_gets_what_there_is_in_one_event() {
    let hub = Hub::start();
    let mut publisher = hub.run(&["publish", "chat/42", "--stream", "--close"]);
    publisher.write((0..500).map(|number| format!("{number}\n")).collect::<String>());
    let (code, ..) = publisher.end();
    assert_eq!(code, Some(0));
    let all: String = (0..500).map(|number| number.to_string()).collect();
    for (arguments, expected) in [
        (&["--conflate", "append"][..], all.as_str()),
        (&["--conflate", "latest", "--every", "100ms", "--transport", "poll"], "499"),
    ] {
        let arguments = [&["subscribe", "chat/42", "--since", "earliest", "--json"], arguments].concat();
        let (code, lines, told) = hub.run(&arguments).end();
        assert_eq!((code, lines.len()), (Some(0), 2), "{arguments:?}: {told:?}");
        assert_eq!(data(&lines[0]), expected, "{arguments:?}");
    }
    let (code, ..) = hub.run(&["subscribe", "chat/42", "--every", "61s"]).end();
    assert_eq!(code, Some(2));
}
