//! A token in the environment is not shown.

use std::process::Command;

#[test]
fn the_help_does_not_tell_the_token() {
    for command in ["publish", "subscribe"] {
        let help = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args([command, "--help"])
            .env("TIDINGS_TOKEN", "s3cret")
            .output()
            .unwrap();
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(text.contains("TIDINGS_TOKEN") && !text.contains("s3cret"), "{text}");
    }
}
