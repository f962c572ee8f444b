//! Ctrl-C ends a subscription cleanly, whatever it is doing.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Hub;

#[test]
fn while_it_waits_for_events() {
    for transport in ["sse", "long-poll", "poll"] {
        let hub = Hub::start();
        assert_eq!(hub.run(&["publish", "a", "x"]).end().0, Some(0));
        let subscriber = hub.run(&["subscribe", "a", "--since", "-1", "--transport", transport]);
        assert_eq!(subscriber.line(), "x");
        subscriber.signal(Signal::INT);
        assert_eq!(subscriber.end(), (Some(0), vec![], vec![]), "{transport}");
    }
}

#[test]
fn while_the_hub_is_away() {
    let mut hub = Hub::start();
    assert_eq!(hub.run(&["publish", "a", "x"]).end().0, Some(0));
    let subscriber = hub.run(&["subscribe", "a", "--since", "-1"]);
    assert_eq!(subscriber.line(), "x");
    hub.stop();
    assert!(subscriber.told().contains("connecting again"));
    subscriber.signal(Signal::INT);
    let (code, more, _) = subscriber.end();
    assert_eq!((code, more), (Some(0), vec![]));
}

#[test]
fn while_nobody_takes_the_ids_of_what_is_published() {
    let hub = Hub::start();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    let mut pipe = File::from(writer.try_clone().unwrap());
    while pipe.write(b"\n").is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    drop(pipe);

    let mut publisher = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["publish", "a", "x", "--url", &hub.url()])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let subscriber = hub.run(&["subscribe", "a", "--since", "earliest"]);
    assert_eq!(subscriber.line(), "x");
    kill_process(Pid::from_child(&publisher), Signal::INT).unwrap();
    let status = publisher.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    drop(reader);
}
