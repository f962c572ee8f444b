//! A topic that ends, ends its subscriptions.

use crate::support::Hub;

#[test]
fn the_subscriber_ends_after_the_last_event() {
    let hub = Hub::start();
    let subscriber = hub.run(&["subscribe", "a", "--since", "earliest", "--json"]);
    let mut publisher = hub.run(&["publish", "a", "--close"]);
    publisher.write("all of\nstandard input");
    let (code, ids, _) = publisher.end();
    assert_eq!((code, ids.len()), (Some(0), 1));

    let (code, lines, told) = subscriber.end();
    assert_eq!((code, told), (Some(0), vec![]));
    let lines: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["data"], "all of\nstandard input");
    assert_eq!(lines[1]["end"]["id"].as_str(), Some(&*ids[0]));
    assert_eq!(lines.len(), 2);
}

#[test]
fn without_data_there_is_only_the_end() {
    let hub = Hub::start();
    assert_eq!(hub.run(&["publish", "a", "--close"]).end().0, Some(0));
    let (code, lines, _) = hub.run(&["subscribe", "a", "--since", "earliest"]).end();
    assert_eq!((code, lines), (Some(0), vec![]));
}

#[test]
fn an_end_for_a_reason_has_an_exit_code_of_its_own() {
    let hub = Hub::start();
    let subscriber = hub.run(&["subscribe", "a", "--since", "earliest", "--json"]);
    assert_eq!(hub.run(&["publish", "a", "last", "--close", "--reason", "stopped"]).end().0, Some(0));
    let (code, lines, told) = subscriber.end();
    assert_eq!(code, Some(4));
    let lines: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["data"], &lines[1]["end"]["reason"]), (&"last".into(), &"stopped".into()));
    assert!(told.iter().any(|line| line.contains("stopped")), "{told:?}");
    let (code, ..) = hub.run(&["publish", "b", "--close", "--reason", "Why?"]).end();
    assert_eq!(code, Some(2));
}
