//! What makes the program pleasant to use: completions, manual pages, lists, probes, formats.

use std::process::Command;

use crate::support::{Hub, nobody};

/// A command that ends by itself: its exit code, what it printed and what it told.
fn run(arguments: &[&str], url: &str) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_tidings")).args(arguments).env("TIDINGS_URL", url).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn prints(arguments: &[&str], url: &str) -> String {
    let (code, printed, told) = run(arguments, url);
    assert_eq!(code, Some(0), "{arguments:?}: {told}");
    printed
}

#[test]
fn each_shell_can_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = prints(&["completions", shell], "");
        for word in ["subscribe", "publish", "retain-age", "completions"] {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
    }
    assert_eq!(run(&["completions", "tcsh"], "").0, Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    prints(&["man", folder.path().to_str().unwrap()], "");
    for (page, word) in [("tidings", "subscribe"), ("tidings-serve", "retain"), ("tidings-publish", "close")]
    {
        let text = std::fs::read_to_string(folder.path().join(format!("{page}.1"))).unwrap();
        assert!(text.starts_with(".ie") && text.contains(".TH") && text.contains(word), "{page}: {text}");
    }
    assert_eq!(run(&["man", "/nowhere/at/all"], "").0, Some(2));
}

#[test]
fn short_help_fits_a_screen_and_long_help_has_groups() {
    let (short, long) = (prints(&["serve", "-h"], ""), prints(&["serve", "--help"], ""));
    assert!(short.lines().count() <= 50, "{short}");
    for flag in ["--listen", "--log", "--retain-age", "--auth-hs256-secret-file", "--tls-certificate"] {
        assert!(short.contains(flag), "{flag}: {short}");
    }
    for group in ["Log and retention:", "Who may do what:", "TLS:", "Limits:", "Logging:"] {
        assert!(long.contains(group), "{group}: {long}");
    }
    assert!(!short.contains("--max-wait") && long.contains("--max-wait"));
}

#[test]
fn health_tells_a_hub_that_is_well_from_one_that_is_away() {
    let hub = Hub::start();
    prints(&["health"], &hub.url());
    prints(&["health", "--live"], &hub.url());
    let (code, _, told) = run(&["health"], &nobody());
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("cannot be reached"), "{told}");
    assert_eq!(run(&["health"], &format!("{}/elsewhere", hub.url())).0, Some(3));
    assert_eq!(run(&["health", "--timeout", "soon"], "").0, Some(2));
}

#[test]
fn topics_are_listed_with_how_they_stand() {
    let hub = Hub::start();
    let url = hub.url();
    let id = prints(&["publish", "orders/42", "shipped", "--close"], &url);
    for topic in ["orders/43", "news"] {
        prints(&["publish", topic, "x"], &url);
    }
    let lines = prints(&["topics"], &url);
    let names: Vec<_> = lines.lines().map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(names, ["news", "orders/42", "orders/43"], "{lines}");
    assert!(lines.lines().nth(1).unwrap().contains(id.trim()) && lines.contains("ended"), "{lines}");
    assert_eq!(prints(&["topics", "orders/*", "--limit", "1"], &url).lines().count(), 1);
    let json = prints(&["topics", "orders/42", "--json"], &url);
    let topic: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&topic["topic"], &topic["closed"]), (&"orders/42".into(), &true.into()));
    assert_eq!(run(&["topics", "**/a"], &url).0, Some(2));
    assert_eq!(run(&["topics"], &nobody()).0, Some(1));
}

#[test]
fn a_file_is_published_as_it_is_and_printed_in_a_format() {
    let hub = Hub::start();
    let url = hub.url();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("order.json");
    std::fs::write(&file, r#"{"n":1}"#).unwrap();
    let id = prints(
        &["publish", "a", "--file", file.to_str().unwrap(), "--json", "--event", "t", "--close"],
        &url,
    );
    let format = r"{topic}\t{type}\t{id} {{{data}}}";
    let printed = prints(&["subscribe", "a", "--since", "earliest", "--format", format], &url);
    assert_eq!(printed, format!("a\tt\t{} {{{{\"n\":1}}}}\n", id.trim()));
    for wrong in ["{what}", "{", "a}"] {
        assert_eq!(run(&["subscribe", "a", "--format", wrong], &url).0, Some(2), "{wrong}");
    }
    let (code, _, told) = run(&["publish", "b", "--file", "/nowhere/at/all"], &url);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("/nowhere/at/all"), "{told}");
}
