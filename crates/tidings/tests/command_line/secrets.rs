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

#[test]
fn a_password_that_is_written_wrong_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidings.toml");
    let serve = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        // The folder and the port are nobody's, should it begin to serve.
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder.path());
        let output = command.args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
    };
    for (text, place) in [
        ("lgo = \"redis://:hunter2@h/x\"", "line 1"),
        ("listen = \"127.0.0.1:0\"\nlog = redis://:hunter2@h/x", "line 2"),
        ("log = \"redis:hunter2@h/x\"", "an engine's address is like"),
        ("log = \"rabbit://:hunter2@h/x\"", "is no engine of this program"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = serve(&["--config", file.to_str().unwrap()]);
        assert!(said.contains(place) && !said.contains("hunter2"), "{text}: {said}");
    }
    for log in ["redis:hunter2@h", "redis//:hunter2@h", "redis://:hunter2@h:x/x", "rabbit://:hunter2@h/x"] {
        let said = serve(&["--log", log]);
        assert!(said.contains("`log`") && !said.contains("hunter2"), "{log}: {said}");
    }
}
