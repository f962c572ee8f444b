//! A slow pipe is published line by line, not at its end.

use rustix::process::Signal;

use crate::support::Hub;

#[test]
fn a_line_is_published_once_it_is_complete() {
    let hub = Hub::start();
    let subscriber = hub.run(&["subscribe", "log/*", "--since", "earliest"]);
    let mut publisher = hub.run(&["publish", "log/1", "--lines", "--event", "line"]);
    for line in ["one", "", "three"] {
        publisher.write(&format!("{line}\r\nhalf"));
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

#[test]
fn json_lines_stay_json_and_the_first_bad_one_is_named() {
    let hub = Hub::start();
    let mut publisher = hub.run(&["publish", "a", "--lines", "--json"]);
    publisher.write("{\"n\": 1.0}\n\"text\"\n[1]\nnope\n2\n");
    let (code, ids, told) = publisher.end();
    assert_eq!((code, ids.len()), (Some(1), 3));
    assert!(told[0].starts_with("tidings: failed to publish line 4: the data is not JSON"), "{told:?}");

    let events = hub.run(&["subscribe", "a", "--since", "earliest"]);
    assert_eq!(events.lines(3), ["{\"n\": 1.0}", "text", "[1]"]);
}
