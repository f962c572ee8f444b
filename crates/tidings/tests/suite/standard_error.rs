//! What the hub writes about itself is never in the way of what it is for, whatever becomes of it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidings_engine_servers::quiet_port;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Duration, sleep};

use crate::support::hub::room;
use crate::support::{Answer, Connection, Version, within};

/// A hub that writes a line for each request, to wherever a test says.
struct Hub {
    child: Child,
    connection: Connection,
    _room: TempDir,
}

impl Hub {
    async fn start(prepare: impl FnOnce(&mut Command)) -> Self {
        let room = room();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.env_clear().current_dir(room.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::spawn(command, room, prepare).await
    }

    /// The same, where a shell closes something first.
    async fn start_by(script: &str) -> Self {
        let room = room();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$0\" \"$@\" {script}"), env!("CARGO_BIN_EXE_tidings")]);
        command.env_clear().current_dir(room.path()).kill_on_drop(true);
        Self::spawn(command, room, |_| {}).await
    }

    async fn spawn(mut command: Command, room: TempDir, prepare: impl FnOnce(&mut Command)) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, quiet_port()));
        prepare(&mut command);
        let level = ["--log-level", "info,tidings::access=debug"];
        command.args(["serve", "--log", "disk:data", "--listen", &address.to_string()]).args(level);
        let mut child = command.spawn().unwrap();
        drop(command);
        let connect = async {
            while TcpStream::connect(address).await.is_err() {
                assert!(child.try_wait().unwrap().is_none(), "the hub has ended");
                sleep(Duration::from_millis(5)).await;
            }
            Connection::open(address, Version::Http1).await.unwrap()
        };
        let connection = within("the hub to listen", connect).await;
        Self { child, connection, _room: room }
    }

    async fn ask(&mut self, request: Request<Full<bytes::Bytes>>) -> Answer {
        within("an answer", self.connection.ask(request)).await.unwrap()
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Full::default()).unwrap()).await
    }

    async fn dropped(&mut self) -> u64 {
        let text = self.get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix("tidings_log_lines_dropped_total "));
        line.unwrap_or_else(|| panic!("the metric is missing")).parse().unwrap()
    }

    /// Publishes and reads, and ends the hub.
    async fn works_and_ends(mut self) {
        let published = self.ask(Request::post("/topics/a").body(Full::from("hello")).unwrap()).await;
        assert_eq!(published.status, 201);
        assert!(self.get("/topics/a").await.text().contains("\"hello\""));
        let id = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        let status = within("the hub to end", self.child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
    }

    async fn loses_lines(&mut self) {
        let losing = async { while self.dropped().await == 0 {} };
        within("lines to be lost", losing).await;
    }
}

fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A pipe that takes nothing more, and the end to read it from.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    let mut file = std::fs::File::from(writer.try_clone().unwrap());
    while file.write(&[b'\n'; 4_096]).is_ok() {}
    while file.write(b"\n").is_ok() {}
    // The hub is to wait for it.
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

#[tokio::test]
async fn a_full_disk_takes_lines_and_nothing_else() {
    let mut hub = Hub::start(|command| {
        command.stderr(full_disk());
    })
    .await;
    hub.loses_lines().await;
    hub.works_and_ends().await;
}

#[tokio::test]
async fn so_does_a_pipe_whose_reader_has_gone() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let mut hub = Hub::start(|command| {
        command.stderr(writer);
    })
    .await;
    hub.loses_lines().await;
    hub.works_and_ends().await;
}

#[tokio::test]
async fn nothing_is_needed_to_write_to() {
    Hub::start_by("2>&-").await.works_and_ends().await;
    Hub::start_by(">&- 2>&- <&-").await.works_and_ends().await;
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_holds_nothing_up() {
    let (reader, writer) = full_pipe();
    let mut hub = Hub::start(|command| {
        command.stderr(writer);
    })
    .await;
    // What waits to be written is bounded.
    hub.loses_lines().await;
    let lost = hub.dropped().await;

    // Once somebody reads, the log tells how many lines are missing.
    let mut pipe = tokio::fs::File::from_std(std::fs::File::from(reader));
    let told = async {
        let (mut text, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let count = pipe.read(&mut piece).await.unwrap();
            assert_ne!(count, 0, "the hub has closed its log");
            text.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&text);
            if let Some((_, rest)) =
                text.split_once("lines of this log could not be written and are lost lines=")
                && let Some((number, _)) = rest.split_once('\n')
            {
                return number.parse::<u64>().unwrap();
            }
        }
    };
    assert!(within("the line that tells of it", told).await >= lost);
    drop(tokio::spawn(async move { tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await }));
    hub.works_and_ends().await;
}

#[tokio::test]
async fn a_hub_ends_while_nobody_reads_its_log() {
    let (reader, writer) = full_pipe();
    let hub = Hub::start(|command| {
        command.stderr(writer);
    })
    .await;
    hub.works_and_ends().await;
    drop(reader);
}

#[tokio::test]
async fn where_it_listens_need_not_be_told_to_anybody() {
    let hub = Hub::start(|command| {
        command.stdout(full_disk()).stderr(Stdio::null());
    })
    .await;
    hub.works_and_ends().await;
    let (reader, writer) = full_pipe();
    let hub = Hub::start(|command| {
        command.stdout(writer).stderr(Stdio::null());
    })
    .await;
    hub.works_and_ends().await;
    drop(reader);
}
