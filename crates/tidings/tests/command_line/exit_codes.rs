//! A script can tell from the exit code what happened, and it is the one that the help says.

use std::process::Command;

use crate::support::{Hub, Program};

fn ends_with(program: Program, code: i32, words: &str) {
    let (ended, _, told) = program.end();
    assert_eq!(ended, Some(code), "{told:?}");
    assert!(told.join("\n").contains(words), "{told:?}");
}

/// A command that is to end by itself, in a folder of its own.
fn run(arguments: &[&str], code: i32, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    // Should it begin to serve, then on nobody's port.
    command.args(arguments).current_dir(folder.path()).env("TIDINGS_LISTEN", "127.0.0.1:0");
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(told.contains(words), "{arguments:?}: {told}");
}

#[test]
fn publish_and_subscribe_say_how_they_ended() {
    let hub = Hub::start();
    ends_with(hub.run(&["publish", "a", "x"]), 0, "");
    ends_with(hub.run(&["publish", "a", "x", "--close"]), 0, "");
    ends_with(hub.run(&["publish", "a", "x"]), 3, "failed to publish: the hub refused it with 409");
    ends_with(hub.run(&["publish", "b", "{", "--json"]), 1, "not JSON");
    ends_with(hub.run(&["subscribe", "a"]), 0, "");

    let elsewhere = format!("{}/elsewhere", hub.url());
    ends_with(Program::start(&["subscribe", "a"], &elsewhere), 3, "404");
    let away = ["publish", "a", "x", "--retry-for", "0"];
    ends_with(Program::start(&away, &crate::support::nobody()), 1, "the hub cannot be reached");
}

#[test]
fn what_no_hub_would_take_is_a_wrong_argument() {
    let hub = Hub::start();
    for (arguments, words) in [
        (&["publish"][..], "TOPIC"),
        (&["publish", "a/*", "x"], "TOPIC: "),
        (&["publish", "a", "x", "--event", "tidings.end"], "--event: "),
        (&["publish", "a", "x", "--idempotency-key", "two words"], "idempotency key"),
        (&["publish", "a", "x", "--strict"], "--strict"),
        (&["publish", "a", "--strict"], "--lines"),
        (&["publish", "..", "x", "--close"], "cannot be ended"),
        (&["subscribe"], "SELECTOR"),
        (&["subscribe", "**/a"], "SELECTOR: "),
        (&["subscribe", "a", "--since", "yesterday"], "--since"),
    ] {
        ends_with(hub.run(arguments), 2, words);
    }
    for (url, words) in [
        ("gopher://hub", "http://"),
        ("hub:8080", "--url: "),
        (&format!("{}/topics", hub.url()), "`/topics`"),
        (&format!("{}/topics/a", hub.url()), "`/topics`"),
    ] {
        ends_with(Program::start(&["publish", "a", "x"], url), 2, words);
        ends_with(Program::start(&["subscribe", "a"], url), 2, words);
    }
}

#[test]
fn the_other_commands_say_how_they_ended_too() {
    run(&["token", "--publish", "a", "--config", "absent.toml"], 2, "absent.toml");
    run(&["token", "--publish", "a"], 2, "failed to sign");
    run(&["token", "--publish", "a", "--private-key-file", "absent.pem"], 2, "absent.pem");
    run(&["token", "--publish", "a", "--private-key-file", "/dev/null"], 2, "no private key");
    run(&["token", "--publish", "a", "--auth-hs256-secret-file", "/dev/null"], 2, "at least 32");
    run(&["token", "--subject", "s"], 2, "a token without any right is of no use");
    run(&["token", "--publish", "a", "--ttl", "0"], 2, "a token that ends at once is of no use");
    run(&["serve", "--heartbeat", "soon"], 2, "500ms");
    run(&["serve", "--heartbeat", "1ms", "--log", "memory:"], 2, "from 1s to 60s");
    run(&["serve", "--auth-audience", "x", "--log", "memory:"], 2, "there is no key");
    run(&["serve", "--tls-key", "x", "--log", "memory:"], 2, "tls-certificate");
    run(&["serve", "--log-level", "loud", "--log", "memory:"], 2, "is none of off, error");
    run(&["serve", "--log-level", "a=b=c", "--log", "memory:"], 2, "right would be");
    run(&["serve", "--listen", ":8080", "--log", "memory:"], 2, "127.0.0.1:8080");
    run(&["serve", "--listen", "8080", "--log", "memory:"], 2, "127.0.0.1:8080");
    run(&["serve", "--listen", "0.0.0.0:0", "--log", "memory:"], 2, "nothing says who may");
    run(&["serve", "--listen", "nowhere.invalid:1", "--log", "memory:"], 1, "failed to listen");
    run(&["bench", "--subscribers", "many"], 2, "many");
    for command in ["serve", "publish", "subscribe", "topics", "health", "completions", "token", "bench"] {
        let help = Command::new(env!("CARGO_BIN_EXE_tidings")).args([command, "--help"]).output().unwrap();
        assert!(String::from_utf8(help.stdout).unwrap().contains("Exit codes: 0 "), "{command}");
    }
}
