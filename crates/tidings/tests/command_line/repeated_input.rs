//! With a key, the same input may be published again: what is there already is not doubled.

use crate::support::Hub;

fn publish(hub: &Hub, lines: &str) -> Vec<String> {
    let mut publisher = hub.run(&["publish", "a", "--lines", "--idempotency-key", "import-7"]);
    publisher.write(lines);
    let (code, ids, told) = publisher.end();
    assert_eq!(code, Some(0), "{told:?}");
    ids
}

#[test]
fn an_import_that_broke_off_is_completed() {
    let hub = Hub::start();
    let first = publish(&hub, "one\ntwo\n");
    let again = publish(&hub, "one\ntwo\nthree\n");
    assert_eq!(first, again[..2]);
    let subscriber = hub.run(&["subscribe", "a", "--since", "earliest"]);
    assert_eq!(subscriber.lines(3), ["one", "two", "three"]);
}
