//! A hub and commands as processes, and ways to wait for what they write.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for anything that is not broken, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A hub over a log on disk, on a port that it keeps when it starts again.
pub(crate) struct Hub {
    folder: TempDir,
    address: String,
    program: Program,
}

/// A running command. It ends with the test.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

// === impl Hub ===

impl Hub {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, program) = serve(&folder, "127.0.0.1:0", &[]);
        Self { folder, address, program }
    }

    /// A hub on an address that is free, with more settings.
    pub(crate) fn start_at(address: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, program) = serve(&folder, address, arguments);
        Self { folder, address, program }
    }

    /// Ends the hub with a signal, and starts it again.
    pub(crate) fn restart(&mut self, signal: Signal) {
        self.program.signal(signal);
        self.program.wait();
        self.program = serve(&self.folder, &self.address, &[]).1;
    }

    pub(crate) fn stop(&mut self) {
        self.program.signal(Signal::TERM);
        self.program.wait();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts a command that talks to this hub.
    pub(crate) fn run(&self, arguments: &[&str]) -> Program {
        Program::start(arguments, &self.url())
    }
}

fn serve(folder: &TempDir, listen: &str, more: &[&str]) -> (String, Program) {
    let log = format!("disk:{}", folder.path().display());
    let program = Program::start(&[&["serve", "--listen", listen, "--log", &log], more].concat(), "");
    let line = program.line();
    let url = line.strip_prefix("tidings listening on ").unwrap_or_else(|| panic!("{line}"));
    (url.split_once("://").unwrap().1.to_owned(), program)
}

// === impl Program ===

impl Program {
    pub(crate) fn start(arguments: &[&str], url: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .args(arguments)
            .env("TIDINGS_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = lines_of(child.stdout.take().unwrap());
        let stderr = lines_of(child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// The next line of standard output, which must come.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let said: Vec<String> = self.stderr.try_iter().collect();
            panic!("{error}; standard error: {said:?}")
        })
    }

    /// The next line of standard error, which must come.
    pub(crate) fn told(&self) -> String {
        self.stderr.recv_timeout(PATIENCE).unwrap()
    }

    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.line()).collect()
    }

    /// What has been written to standard output since the last look.
    pub(crate) fn lines_so_far(&self) -> Vec<String> {
        self.stdout.try_iter().collect()
    }

    pub(crate) fn write(&mut self, text: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_ref()).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end: the exit code, and all that it still wrote to standard output and standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>, Vec<String>) {
        self.close_stdin();
        let status = self.wait();
        (status.code(), rest(&self.stdout), rest(&self.stderr))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    told
}

fn rest(lines: &Receiver<String>) -> Vec<String> {
    let mut rest = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => rest.push(line),
            Err(RecvTimeoutError::Disconnected) => return rest,
            Err(RecvTimeoutError::Timeout) => panic!("the pipe stays open"),
        }
    }
}

/// The URL of a port of this machine where nobody listens.
pub(crate) fn nobody() -> String {
    format!("http://127.0.0.1:{}", tidings_engine_servers::quiet_port())
}
