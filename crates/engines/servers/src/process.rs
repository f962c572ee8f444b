use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A server that was started here.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    signal: Signal,
}

/// The file that a server's standard output goes to, and its standard error.
pub(crate) const SAID: &str = "said";
/// How long a server may take to listen, or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether it does, and how many times in a row it has to.
const LOOK: Duration = Duration::from_millis(5);
const LOOKS: u32 = 5;

/// The program of a server, where it is installed.
pub(crate) fn program(name: &str, package: &str, more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    let found =
        folders.chain(more.iter().cloned()).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        let text = format!("{name} is not installed (Debian: apt-get install {package})");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{text}");
        // Not by a macro, whose output is only shown for tests that fail.
        drop(writeln!(std::io::stderr(), "SKIPPED: {text}"));
    }
    found
}

/// Whether it is this process that listens on a port; also where the system does not tell.
fn listens_itself(process: u32, port: u16) -> bool {
    let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else { return true };
    let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return true };
    let address = format!("{:08X}:{port:04X}", u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets()));
    let listening = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields[..] else { return None };
        (local == address).then(|| PathBuf::from(format!("socket:[{inode}]")))
    });
    let listening: Vec<_> = listening.collect();
    files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok()).any(|file| listening.contains(&file))
}

// === impl Process ===

impl Process {
    /// Starts a server and waits until it listens. `signal` is what ends it at once. What it says goes to a file.
    pub(crate) fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        folder: &Path,
        port: u16,
        signal: Signal,
    ) -> Self {
        let said = folder.join(SAID);
        let log = OpenOptions::new().create(true).append(true).open(&said).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut process = Self { child, signal };
        let begun = Instant::now();
        let mut listens = 0;
        // Somebody else may have taken the port, and the server ends only then.
        while listens < LOOKS {
            let takes = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            listens = if takes && listens_itself(process.child.id(), port) { listens + 1 } else { 0 };
            let text = || std::fs::read_to_string(&said).unwrap_or_default();
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", program.display(), text());
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not listen:\n{}", program.display(), text());
            sleep(LOOK);
        }
        process
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        // It may have ended.
        let _ = kill_process(pid, signal);
    }

    /// Ends it as a crash would, and waits until it has.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.signal(self.signal);
        let begun = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if begun.elapsed() > PATIENCE {
                drop(self.child.kill());
            }
            sleep(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A folder of its own, which goes with the server.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tidings-test-").tempdir().unwrap()
}
