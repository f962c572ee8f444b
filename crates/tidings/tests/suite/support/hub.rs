use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tidings_engine_servers::quiet_port;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Duration, sleep};

use super::{Answer, Authority, Connection, Version, within};

/// A hub as a process of its own, in a folder of its own. Dropping it kills it.
pub(crate) struct Hub {
    arguments: Vec<String>,
    /// What a shell does before it becomes the hub.
    before: Option<String>,
    variables: Vec<(String, String)>,
    scheme: String,
    address: SocketAddr,
    room: TempDir,
    running: Option<Running>,
}

struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

/// The answer to a publication.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) id: String,
}

const ANNOUNCEMENT: &str = "tidings listening on ";

// === impl Hub ===

impl Hub {
    /// A hub that forgets everything with its process, on a port that it picks itself.
    pub(crate) async fn in_memory(arguments: &[&str]) -> Self {
        Self::in_memory_with(arguments, &[]).await
    }

    /// The same, with environment variables; otherwise it gets none.
    pub(crate) async fn in_memory_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start("127.0.0.1:0", "memory:", arguments, variables).await
    }

    /// A hub that can be started again on the same folder and the same port.
    pub(crate) async fn on_disk(arguments: &[&str]) -> Self {
        Self::start(&format!("127.0.0.1:{}", quiet_port()), "disk:data", arguments, &[]).await
    }

    /// The same, where a shell runs a command first that counts for the hub too.
    pub(crate) async fn on_disk_below(before: &str, arguments: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", quiet_port());
        let mut hub = Self::new(room(), &listen, "disk:data", arguments, &[]);
        hub.before = Some(before.to_owned());
        hub.start_again().await;
        hub
    }

    /// The same, with what a file of settings has.
    pub(crate) async fn on_disk_with(settings: &str) -> Self {
        let room = room();
        std::fs::write(room.path().join("tidings.toml"), settings).unwrap();
        let listen = format!("127.0.0.1:{}", quiet_port());
        Self::start_in(room, &listen, "disk:data", &["--config", "tidings.toml"], &[]).await
    }

    /// A hub over an engine, which can be started again on the same port. NATS sets aside on the disk what is kept.
    pub(crate) async fn over(log: &str, arguments: &[&str]) -> Self {
        let arguments = [&["--retain-bytes", "256MiB"], arguments].concat();
        Self::start(&format!("127.0.0.1:{}", quiet_port()), log, &arguments, &[]).await
    }

    /// A hub over an engine that may not be there yet, so that it does not say that it listens.
    pub(crate) async fn starting_over(log: &str) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, quiet_port()));
        let mut hub = Self::new(room(), &address.to_string(), log, &[], &[]);
        (hub.scheme, hub.address) = ("http".into(), address);
        hub.spawn();
        hub
    }

    /// A hub with the certificate `hub.pem` and its key `hub.key` in its folder.
    pub(crate) async fn over_tls(authority: &Authority, arguments: &[&str]) -> Self {
        let room = room();
        authority.issue(room.path(), "first");
        let tls = ["--tls-certificate", "hub.pem", "--tls-key", "hub.key"];
        Self::start_in(room, "127.0.0.1:0", "memory:", &[&tls, arguments].concat(), &[]).await
    }

    async fn start(listen: &str, log: &str, more: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_in(room(), listen, log, more, variables).await
    }

    async fn start_in(
        room: TempDir,
        listen: &str,
        log: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut hub = Self::new(room, listen, log, more, variables);
        hub.start_again().await;
        hub
    }

    fn new(room: TempDir, listen: &str, log: &str, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let fixed = ["serve", "--listen", listen, "--log", log];
        Self {
            arguments: fixed.iter().chain(more).map(ToString::to_string).collect(),
            before: None,
            variables: variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            scheme: String::new(),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            room,
            running: None,
        }
    }

    /// Starts it on the same port and folder as before.
    pub(crate) async fn start_again(&mut self) {
        self.spawn();
        self.announced().await;
    }

    fn spawn(&mut self) {
        assert!(self.running.is_none(), "the hub runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.room.path().join("stderr")).unwrap();
        let mut command = match &self.before {
            None => command(self.room.path()),
            Some(before) => command_after(before, self.room.path()),
        };
        command.args(&self.arguments).envs(self.variables.iter().cloned()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        self.running = Some(Running { child, out });
    }

    /// Waits until it says where it listens.
    pub(crate) async fn announced(&mut self) {
        let mut line = String::new();
        let out = &mut self.running.as_mut().unwrap().out;
        within("the hub to say where it listens", out.read_line(&mut line)).await.unwrap();
        let url = line.strip_prefix(ANNOUNCEMENT).and_then(|rest| rest.strip_suffix('\n'));
        let Some((scheme, address)) = url.and_then(|url| url.split_once("://")) else {
            panic!("the hub said {line:?} instead of where it listens")
        };
        self.scheme = scheme.into();
        self.address = address.parse().unwrap();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder that it runs in; its log is in `data` there.
    pub(crate) fn room(&self) -> &Path {
        self.room.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn process(&self) -> Pid {
        let id = self.running.as_ref().and_then(|running| running.child.id()).unwrap();
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).unwrap();
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Asks it to end, and waits until it has: how it ended, and what else it wrote on standard output.
    pub(crate) async fn terminate(&mut self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.ended().await
    }

    pub(crate) async fn ended(&mut self) -> (ExitStatus, String) {
        let mut running = self.running.take().unwrap();
        let status = within("the hub to end", running.child.wait()).await.unwrap();
        let mut rest = String::new();
        within("standard output to end", running.out.read_to_string(&mut rest)).await.unwrap();
        (status, rest)
    }

    /// What it wrote on standard error so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.room.path().join("stderr")).unwrap_or_default()
    }

    /// What it wrote on standard error, once it has a text in it so often: it writes that aside from what it does.
    pub(crate) async fn logged(&self, text: &str, times: usize) -> String {
        let logged = async {
            loop {
                let log = self.log();
                if log.matches(text).count() >= times {
                    return log;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        within(&format!("the hub to log `{text}`"), logged).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Full::default()).unwrap()).await
    }

    /// One request on a connection of its own, and the whole answer.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>) -> Answer {
        let answered = async {
            let mut connection = Connection::open(self.address, Version::Http1).await?;
            connection.ask(request).await
        };
        within("an answer", answered).await.unwrap()
    }

    /// The number on a line of `GET /metrics`; 0 where there is no such line.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").await.text();
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines.filter(|(own, _)| *own == name).map(|(_, value)| value.parse().unwrap()).next().unwrap_or(0)
    }

    /// Publishes text to `/topics/…`.
    pub(crate) async fn publish(&self, path: &str, data: impl Into<Bytes>) -> Published {
        self.publish_as("text/plain", path, data).await
    }

    pub(crate) async fn publish_as(&self, form: &str, path: &str, data: impl Into<Bytes>) -> Published {
        let request = Request::builder().method(Method::POST).uri(format!("/topics/{path}"));
        let request = request.header("content-type", form).body(Full::new(data.into())).unwrap();
        let answer = self.ask(request).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the hub's own log:\n{}", self.log());
        }
    }
}

/// The same by way of a shell.
fn command_after(before: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_tidings")]);
    command.env_clear().current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The program, which sees nothing of this process's environment.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.env_clear().current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A folder of its own for a test.
pub(crate) fn room() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A file that takes what a program writes on standard error.
pub(crate) fn error_file(folder: &Path) -> File {
    File::create(folder.join("stderr")).unwrap()
}
