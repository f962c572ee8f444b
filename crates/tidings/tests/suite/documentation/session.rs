use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tidings_engine_servers::quiet_port;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Duration, sleep};

use super::markdown::Block;
use crate::support::hub::room;
use crate::support::{Connection, Version, within};

/// Somebody who follows a page, command by command, in a folder of its own. Ports are others than the page's, and so are
/// epochs and times.
pub(super) struct Session {
    page: &'static str,
    room: TempDir,
    /// Each port of the page, and the one that is used.
    ports: [(&'static str, u16); 2],
    /// Each epoch of the page, and that of the hub.
    epochs: Vec<(String, String)>,
    servers: Vec<Process>,
}

/// A command of a page, and what it shows of its output.
#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

/// A shell and what it started. They end with this.
struct Process {
    child: Child,
    group: Pid,
    out: BufReader<ChildStdout>,
}

/// In the place of cargo, which builds the program from the folder that the README is in.
const CARGO: &str = "#!/bin/sh\n\
    [ \"$1 $2 $3\" = 'run --release --' ] || { echo \"this is not tried: cargo $*\" >&2; exit 64; }\n\
    shift 3\nexec tidings \"$@\"\n";

// === impl Session ===

impl Session {
    pub(super) fn new(page: &'static str, repository: &Path) -> Self {
        let room = room();
        let ports = [("8080", quiet_port()), ("8443", quiet_port())];
        let programs = room.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tidings"), programs.join("tidings")).unwrap();
        script(&programs.join("cargo"), CARGO);
        let curl = crate::support::tools::program(&["curl"]).unwrap();
        let elsewhere = format!("--connect-to hub.example:{0}:127.0.0.1:{0}", ports[1].1);
        script(
            &programs.join("curl"),
            &format!("#!/bin/sh\nexec {} -sS {elsewhere} \"$@\"\n", curl.display()),
        );
        // It runs this test as well.
        let test = repository.canonicalize().unwrap().join("test");
        script(&room.path().join("test"), &format!("#!/bin/sh\nexec test -x {}\n", test.display()));
        Self { page, room, ports, epochs: Vec::new(), servers: Vec::new() }
    }

    /// Does what a block says, and sees what it shows.
    pub(super) async fn run(&mut self, block: &Block<'_>) {
        let mut meanwhile = block.meanwhile;
        for step in steps(block) {
            let place = format!("{}, line {}: {}", self.page, block.line, step.command);
            let mut process = self.spawn(&step.command);
            if let Some(command) = meanwhile.take() {
                self.somebody_waits().await;
                let mut other = self.spawn(command);
                while other.line().await.is_some() {}
                other.ends(&place).await;
            }
            for expected in &step.expected {
                let line =
                    within(&place, process.line()).await.unwrap_or_else(|| panic!("{place}: it has ended"));
                let seen = self.as_in_the_page(&line, expected);
                assert!(is_like(&seen, expected), "{place}:\nexpected {expected}\ngot      {seen}");
            }
            if is_server(&step.command) {
                assert!(!step.expected.is_empty(), "{place}: nothing says that it is ready");
                self.servers.push(process);
            } else if !is_endless(&step.command) {
                let more = within(&place, process.line()).await;
                assert_eq!(more, None, "{place}: it says more than the page shows");
                process.ends(&place).await;
            }
        }
    }

    /// What a page shows is run in one shell after the other, which keep their variables.
    fn spawn(&self, command: &str) -> Process {
        let mut command = command.to_owned();
        for (page, port) in self.ports {
            command = command.replace(&format!(":{page}"), &format!(":{port}"));
        }
        for (page, own) in &self.epochs {
            command = command.replace(&format!("{page}-"), &format!("{own}-"));
        }
        let script = format!(
            "set -o pipefail\n. ./variables\n{command}\ncode=$?\ndeclare -p TOKEN >variables 2>/dev/null\nexit $code"
        );
        let mut shell = Command::new("bash");
        let folder = self.room.path();
        std::fs::OpenOptions::new().create(true).append(true).open(folder.join("variables")).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        shell.args(["-c", &script]).env_clear().current_dir(folder);
        shell.env("PATH", format!("{}:{path}", folder.join("programs").display())).env("HOME", folder);
        shell.env("TIDINGS_LISTEN", format!("127.0.0.1:{}", self.ports[0].1));
        shell.env("TIDINGS_URL", format!("http://127.0.0.1:{}", self.ports[0].1));
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = shell.spawn().unwrap();
        let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Process { child, group, out }
    }

    /// A line of output, with what the page has in the place of what differs each time. The first id of a hub tells its epoch.
    fn as_in_the_page(&mut self, line: &str, expected: &str) -> String {
        if let (Some(page), Some(own)) = (epoch(expected), epoch(line))
            && !self.epochs.iter().any(|(known, _)| known == page)
        {
            self.epochs.push((page.to_owned(), own.to_owned()));
        }
        let mut line = line.to_owned();
        for (page, own) in &self.epochs {
            line = line.replace(&format!("{own}-"), &format!("{page}-"));
        }
        for (page, port) in self.ports {
            line = line.replace(&format!(":{port}"), &format!(":{page}"));
        }
        line
    }

    /// Waits until a long poll is held.
    async fn somebody_waits(&self) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[0].1));
        let waiting = async {
            let mut connection = Connection::open(address, Version::Http1).await.unwrap();
            loop {
                let request = Request::get("/metrics").body(Full::default()).unwrap();
                let metrics = connection.ask(request).await.unwrap().text();
                if metrics.contains("tidings_subscribers{transport=\"long-poll\"} 1") {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        within("a poll to be held", waiting).await;
    }
}

fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn steps(block: &Block<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_continued = false;
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), expected: Vec::new() });
            is_continued = line.ends_with('\\');
            continue;
        }
        let Some(step) = steps.last_mut() else { panic!("line {}: a block begins with `$ `", block.line) };
        if is_continued {
            step.command.push('\n');
            step.command.push_str(line);
            is_continued = line.ends_with('\\');
        } else {
            step.expected.push(line.to_owned());
        }
    }
    for step in &mut steps {
        // What divides two commands is no output.
        while step.expected.last().is_some_and(String::is_empty) {
            step.expected.pop();
        }
    }
    steps
}

fn is_server(command: &str) -> bool {
    command.contains("-- serve") || command.starts_with("tidings serve")
}

/// Whether it goes on until somebody ends it.
fn is_endless(command: &str) -> bool {
    ["curl -N", "tail -F", "tidings subscribe"].iter().any(|endless| command.contains(endless))
}

/// The epoch in the first id of a line of output.
fn epoch(line: &str) -> Option<&str> {
    let id = ["\"id\":\"", "\"first\":\"", "id: "].iter().find_map(|before| line.split_once(before))?.1;
    let (epoch, _) = id.split_once('-')?;
    epoch.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(epoch)
}

/// Whether a line is what the page shows, but for times, and for what comes after `…`.
fn is_like(line: &str, expected: &str) -> bool {
    let (line, expected) = (without_times(line), without_times(expected));
    match expected.split_once('…') {
        Some((beginning, _)) => line.starts_with(beginning),
        None => line == expected,
    }
}

/// The text with one time in the place of every time.
fn without_times(text: &str) -> String {
    const TIME: &str = "2026-11-22T23:59:56.435Z";
    let is_time = |part: &str| {
        let alike =
            |(own, one): (u8, u8)| if one.is_ascii_digit() { own.is_ascii_digit() } else { own == one };
        part.len() == TIME.len() && part.bytes().zip(TIME.bytes()).all(alike)
    };
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        if rest.get(..TIME.len()).is_some_and(is_time) {
            out.push_str(TIME);
            rest = &rest[TIME.len()..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

// === impl Process ===

impl Process {
    /// The next line of output; `None` at its end.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.out.read_line(&mut line).await.unwrap();
        (count > 0).then(|| line.trim_end_matches('\n').to_owned())
    }

    async fn ends(&mut self, place: &str) {
        let status = within(place, self.child.wait()).await.unwrap();
        assert!(status.success(), "{place}: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_process_group(self.group, Signal::KILL).unwrap_or_default();
        }
    }
}
