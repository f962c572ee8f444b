//! A reader that has seen enough ends a subscription without a word.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use crate::support::Hub;

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let hub = Hub::start();
    assert_eq!(hub.run(&["publish", "a", "first"]).end().0, Some(0));
    let mut subscriber = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["subscribe", "a", "--since", "earliest", "--url", &hub.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(subscriber.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    // Nothing more is published: it ends because nobody reads, not because it fails to write.
    drop(reader);
    assert_eq!(subscriber.wait().unwrap().code(), Some(0));
    let mut told = String::new();
    subscriber.stderr.unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
}
