//! What whoever embeds a hub has to build.

use std::collections::BTreeSet;
use std::process::Command;

/// The crates that a selection of features leads to.
fn crates(features: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--quiet", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "--package", "tidings"])
        .args(features)
        // How the tests themselves are built says nothing of it.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn embedding_takes_nothing_of_the_command_line() {
    let embedded = crates(&["--no-default-features"]);
    let whole = crates(&[]);
    for own in ["tidings-http", "tidings-hub", "tidings-log", "tidings-protocol", "axum", "tokio"] {
        assert!(embedded.contains(own), "{own}");
    }
    for other in [
        "async-nats",
        "clap",
        "hdrhistogram",
        "listenfd",
        "redis",
        "reqwest",
        "strsim",
        "tidings-client",
        "tidings-console",
        "tokio-postgres",
        "toml",
        "tracing-subscriber",
    ] {
        assert!(whole.contains(other) && !embedded.contains(other), "{other}");
    }
    assert!(embedded.len() <= 135, "{} crates: {embedded:?}", embedded.len());
}
