//! A script can tell from the exit code what happened.

use crate::support::{Hub, Program};

fn ends_with(program: Program, code: i32, words: &str) {
    let (ended, _, told) = program.end();
    assert_eq!(ended, Some(code), "{told:?}");
    assert!(told.join("\n").contains(words), "{told:?}");
}

#[test]
fn each_outcome_has_its_code() {
    let hub = Hub::start();
    ends_with(hub.run(&["publish", "a", "x"]), 0, "");
    ends_with(hub.run(&["publish", "a", "x", "--close"]), 0, "");
    ends_with(hub.run(&["publish", "a", "x"]), 3, "failed to publish: the hub refused it with 409");
    ends_with(hub.run(&["subscribe", "a"]), 0, "");
    ends_with(hub.run(&["subscribe", "**/a"]), 1, "selector");
    ends_with(hub.run(&["subscribe", "a", "--since", "yesterday"]), 2, "--since");
    ends_with(hub.run(&["publish"]), 2, "TOPIC");
    ends_with(hub.run(&["publish", "a", "{", "--json"]), 1, "not JSON");

    let elsewhere = format!("{}/elsewhere", hub.url());
    ends_with(Program::start(&["subscribe", "a"], &elsewhere), 3, "404");
    ends_with(Program::start(&["subscribe", "a"], "gopher://hub"), 1, "http://");
    // Port 9 of this machine: nobody listens.
    let away = ["publish", "a", "x", "--retry-for", "0"];
    ends_with(Program::start(&away, "http://127.0.0.1:9"), 1, "the hub cannot be reached");
}
