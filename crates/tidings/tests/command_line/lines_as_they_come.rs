//! A slow pipe is published line by line, not at its end.

use rustix::process::Signal;

use crate::support::Hub;

#[test]
fn a_line_is_published_once_it_is_complete() {
    let hub = Hub::start();
    let subscriber = hub.run(&["subscribe", "log/*", "--since", "earliest"]);
    let mut publisher = hub.run(&["publish", "log/1", "--lines", "--event", "line"]);
    for line in ["one", "", "three"] {
        publisher.write(format!("{line}\r\nhalf"));
        assert_eq!(subscriber.line(), if line == "one" { line.into() } else { format!("half{line}") });
        assert!(!publisher.line().is_empty());
    }
    assert_eq!(subscriber.lines_so_far(), Vec::<String>::new());
    // The last line needs no end.
    let (code, ids, told) = publisher.end();
    assert_eq!((code, ids.len(), told), (Some(0), 1, vec![]));
    assert_eq!(subscriber.line(), "half");
}

#[test]
fn an_interrupt_ends_the_wait_for_the_next_line() {
    let hub = Hub::start();
    let mut publisher = hub.run(&["publish", "a", "--lines"]);
    publisher.write("one\n");
    publisher.line();
    publisher.signal(Signal::INT);
    assert_eq!(publisher.wait().code(), Some(130));
}

const JSON: &str = "{\"n\": 1.0}\n\"text\"\n\n[1]\nnope\n2\n";

#[test]
fn json_lines_stay_json_and_bad_ones_are_passed_over() {
    let hub = Hub::start();
    let mut publisher = hub.run(&["publish", "a", "--lines", "--json"]);
    publisher.write(JSON);
    let (code, ids, told) = publisher.end();
    assert_eq!((code, ids.len()), (Some(0), 4), "{told:?}");
    let [blank, bad, count] = told.as_slice() else { panic!("{told:?}") };
    assert!(blank.starts_with("tidings: passed over line 3: it is blank"), "{blank}");
    assert!(bad.starts_with("tidings: passed over line 5: the data is not JSON"), "{bad}");
    assert!(count.contains("published 4 lines") && count.ends_with("passed over 2"), "{count}");

    let events = hub.run(&["subscribe", "a", "--since", "earliest"]);
    assert_eq!(events.lines(4), ["{\"n\": 1.0}", "text", "[1]", "2"]);
}

#[test]
fn a_line_that_is_not_utf_8_or_too_large_does_not_end_the_others() {
    let hub = Hub::start();
    let mut publisher = hub.run(&["publish", "a", "--lines"]);
    let large = "x".repeat((1 << 20) + 1);
    publisher.write(b"one\ncaf\xe9 au lait\n");
    publisher.write(format!("{large}\nlast\n"));
    let (code, ids, told) = publisher.end();
    assert_eq!((code, ids.len()), (Some(0), 3), "{told:?}");
    let [replaced, large, count] = told.as_slice() else { panic!("{told:?}") };
    assert!(replaced.contains("a part of line 2: it is not UTF-8: byte 3"), "{replaced}");
    assert!(large.starts_with("tidings: passed over line 3: ") && large.contains("413"), "{large}");
    assert!(count.contains("published 3 lines, of which 1 had a part replaced; passed over 1"), "{count}");

    let events = hub.run(&["subscribe", "a", "--since", "earliest"]);
    assert_eq!(events.lines(3), ["one", "caf\u{fffd} au lait", "last"]);
}

#[test]
fn many_bad_lines_are_told_of_once() {
    let hub = Hub::start();
    let mut publisher = hub.run(&["publish", "a", "--lines", "--json"]);
    publisher.write("nope\n".repeat(1_000));
    publisher.write("1\n");
    let (code, ids, told) = publisher.end();
    assert_eq!((code, ids.len()), (Some(0), 1));
    assert!(told.len() < 20 && told.last().unwrap().ends_with("passed over 1000"), "{told:?}");
}

#[test]
fn whoever_is_strict_ends_at_the_first_bad_line() {
    let hub = Hub::start();
    let large = [b"x".repeat((1 << 20) + 1), b"\nb\n".to_vec()].concat();
    for (arguments, input, words) in [
        (&["--json"][..], JSON.as_bytes(), "failed to publish line 3: it is blank"),
        (&[], b"one\ncaf\xe9\nthree\n", "failed to publish line 2: it is not UTF-8"),
        (&[], &large, "failed to publish line 1: the hub refused it with 413"),
    ] {
        let mut publisher = hub.run(&[&["publish", "a", "--lines", "--strict"], arguments].concat());
        publisher.write(input);
        let (code, _, told) = publisher.end();
        assert_ne!(code, Some(0));
        assert!(told.last().unwrap().contains(words), "{told:?}");
    }
}
