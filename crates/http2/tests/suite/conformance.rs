use std::cell::RefCell;

use tidings_http2::Settings;
use tidings_http2::conformance::{self, Received, Server, Transport};

use crate::support::Answering;

struct Memory;

struct Link(RefCell<Answering>);

impl Server for Memory {
    fn connect(&self) -> Box<dyn Transport> {
        Box::new(Link(RefCell::new(Answering::new(Settings::default()))))
    }

    fn scheme(&self) -> &'static str {
        "http"
    }

    fn authority(&self) -> &'static str {
        "localhost:8080"
    }

    fn path(&self) -> &'static str {
        "/"
    }
}

impl Transport for Link {
    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().take(bytes);
    }

    fn receive(&mut self) -> Received {
        let server = self.0.get_mut();
        match std::mem::take(&mut server.out) {
            bytes if !bytes.is_empty() => Received::Bytes(bytes),
            _ if server.is_closed => Received::End,
            _ => Received::Nothing,
        }
    }
}

#[test]
fn every_case_of_h2spec() {
    // Those of its last release, and one that came after it.
    assert_eq!(conformance::cases().count(), 148);
    let failures = conformance::run(&Memory);
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_server_that_does_nothing_fails() {
    struct Dead;
    impl Server for Dead {
        fn connect(&self) -> Box<dyn Transport> {
            Box::new(Self)
        }
        fn scheme(&self) -> &'static str {
            "http"
        }
        fn authority(&self) -> &'static str {
            "localhost"
        }
        fn path(&self) -> &'static str {
            "/"
        }
    }
    impl Transport for Dead {
        fn send(&mut self, _bytes: &[u8]) {}
        fn receive(&mut self) -> Received {
            Received::Nothing
        }
    }
    assert_eq!(conformance::run(&Dead).len(), conformance::cases().count());
}
