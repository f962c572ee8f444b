use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::hub::{error_file, room};
use super::within;

/// Another program that writes lines. Dropping it kills it; before that, it is asked to end by the end of its
/// standard input.
pub(crate) struct Script {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    room: TempDir,
    said: Vec<String>,
}

// === impl Script ===

impl Script {
    pub(crate) fn start(mut command: Command) -> Self {
        let room = room();
        command.env("TMPDIR", room.path()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(error_file(room.path()));
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { input: child.stdin.take(), child, lines, room, said: Vec::new() }
    }

    /// The next line; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let line = within("a line from a program", self.lines.next_line()).await.unwrap();
        self.said.extend(line.as_ref().map(|line| line.chars().take(200).collect()));
        line
    }

    /// The next line, which is JSON.
    pub(crate) async fn object(&mut self) -> Value {
        let line = self.line().await.expect("the program ended early");
        serde_json::from_str(&line).unwrap()
    }

    /// Gives the program a line.
    pub(crate) async fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the program was asked to end");
        within("a program to read", input.write_all(format!("{line}\n").as_bytes())).await.unwrap();
    }

    /// Reads on until a line is this.
    pub(crate) async fn until(&mut self, wanted: &str) {
        loop {
            let line = self.line().await;
            let line = line.unwrap_or_else(|| panic!("the program ended without saying {wanted:?}"));
            if line == wanted {
                return;
            }
        }
    }

    /// Asks the program to end, and waits until it has.
    pub(crate) async fn end(mut self) {
        drop(self.input.take());
        let status = within("a program to end", self.child.wait()).await.unwrap();
        assert!(status.success(), "a program ended with {status}");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let errors = std::fs::read_to_string(self.room.path().join("stderr")).unwrap_or_default();
            eprintln!("the program said:\n{}\nand on standard error:\n{errors}", self.said.join("\n"));
        }
    }
}
